"""The rule of a schedule in words, in the language that is active as far as there are some."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from itertools import product
from typing import Final

from cronsim import CronSim, CronSimError
from django.utils import formats, timezone
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.rules import parse_cron, parse_zone

#: More times of a day than these are not read out.
_MOST_TIMES: Final = 6
_EACH: Final = {
    "YEARLY": ngettext_lazy("every year", "every %(count)d years", "count"),
    "MONTHLY": ngettext_lazy("every month", "every %(count)d months", "count"),
    "WEEKLY": ngettext_lazy("every week", "every %(count)d weeks", "count"),
    "DAILY": ngettext_lazy("every day", "every %(count)d days", "count"),
    "HOURLY": ngettext_lazy("every hour", "every %(count)d hours", "count"),
    "MINUTELY": ngettext_lazy("every minute", "every %(count)d minutes", "count"),
    "SECONDLY": ngettext_lazy("every second", "every %(count)d seconds", "count"),
}
#: Those that have a time of day.
_OF_DAYS: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WHICH: Final = {
    1: gettext_lazy("the first %(what)s"),
    2: gettext_lazy("the second %(what)s"),
    3: gettext_lazy("the third %(what)s"),
    4: gettext_lazy("the fourth %(what)s"),
    5: gettext_lazy("the fifth %(what)s"),
    -1: gettext_lazy("the last %(what)s"),
    -2: gettext_lazy("the last but one %(what)s"),
}
_KNOWN: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS"}
    | {"BYHOUR", "BYMINUTE", "BYSECOND"}
)


def in_words(kind: str, rule: str, zone: str, starts_at: dt.datetime | None = None) -> str:
    """Say a rule in words, as far as there are some; else as it is written.

    Args:
        kind: once, every, cron or rrule.
        zone: whose clocks.
        starts_at: where a rule of the calendar has the time of day from that it does not name.
    """
    text = rule
    if kind in ("once", "at"):
        return str(_("once"))
    if kind == "cron":
        # What SQL has written no worker may be able to read.
        with contextlib.suppress(ConfigurationError, CronSimError, LookupError, ValueError):
            expression = parse_cron(rule, parse_zone("UTC")).expression
            text = str(CronSim(expression, timezone.now()).explain())
    elif kind == "every":
        # "daily" and the like are words already.
        text = rule if rule.isalpha() else _("every %(interval)s") % {"interval": rule}
    elif kind == "rrule":
        with contextlib.suppress(ConfigurationError, LookupError, ValueError):
            start = None if starts_at is None else starts_at.astimezone(parse_zone(zone))
            text = " ".join(_parts(rule, start))
    return f"{text} ({zone})"


def _parts(rule: str, start: dt.datetime | None) -> Iterator[str]:
    """Say a rule of RFC 5545, part by part.

    Raises:
        LookupError: there are no words for it.
        ValueError: it cannot be read.
    """
    lines = [line.strip().upper() for line in rule.splitlines() if line.strip()]
    (text,) = (line for line in lines if not line.startswith("EXDATE"))
    parts = dict(
        part.split("=", 1) for part in text.removeprefix("RRULE:").strip(";").split(";") if part
    )
    if parts.keys() - _KNOWN:
        raise LookupError(rule)
    yield str(_EACH[parts["FREQ"]] % {"count": int(parts.get("INTERVAL", "1"))})
    if "BYMONTH" in parts:
        yield _("in %(months)s") % {
            "months": _list([str(MONTHS[number]) for number in _numbers(parts["BYMONTH"])])
        }
    days = _days(parts)
    if days:
        yield _("on %(days)s") % {"days": _list(days)}
    yield from _times(parts, start)
    if "COUNT" in parts:
        count = int(parts["COUNT"])
        yield ngettext("%(count)d time", "%(count)d times", count) % {"count": count}
    if "UNTIL" in parts:
        day = dt.datetime.strptime(parts["UNTIL"][:8], "%Y%m%d").date()
        yield _("until %(day)s") % {"day": formats.date_format(day, "DATE_FORMAT")}
    left_out = sum(
        line.rpartition(":")[2].count(",") + 1 for line in lines if line.startswith("EXDATE")
    )
    if left_out:
        yield ngettext("but not on %(count)d day", "but not on %(count)d days", left_out) % {
            "count": left_out
        }


def _days(parts: dict[str, str]) -> list[str]:
    days: list[str] = []
    if "BYDAY" in parts:
        named = parts["BYDAY"].split(",")
        if "BYSETPOS" in parts:
            kind = {frozenset(_DAYS): _("day"), frozenset(_DAYS[:5]): _("weekday")}.get(
                frozenset(named)
            )
            what = kind or _list([_weekday(day) for day in named], _("or"))
            days += [_which(number, what) for number in _numbers(parts["BYSETPOS"])]
        else:
            days += [_weekday(day) for day in named]
    elif "BYSETPOS" in parts:
        raise LookupError(parts["BYSETPOS"])
    if "BYMONTHDAY" in parts:
        if days:
            raise LookupError(parts["BYMONTHDAY"])
        days += [
            _("day %(number)d") % {"number": number} if number > 0 else _which(number, _("day"))
            for number in _numbers(parts["BYMONTHDAY"])
        ]
    return days


def _times(parts: dict[str, str], start: dt.datetime | None) -> Iterator[str]:
    hours, minutes, seconds = (
        _numbers(parts[name]) if name in parts else []
        for name in ("BYHOUR", "BYMINUTE", "BYSECOND")
    )
    if start is not None and parts["FREQ"] in _OF_DAYS:
        hours = hours or [start.hour]
        minutes = minutes or [start.minute]
        seconds = seconds or [start.second]
    if hours and minutes:
        times = [dt.time(*one) for one in product(hours, minutes, seconds or [0])]
        if len(times) > _MOST_TIMES:
            raise LookupError(parts["BYHOUR"])
        shown = [f"{one:%H:%M:%S}" if one.second else f"{one:%H:%M}" for one in times]
        yield _("at %(times)s") % {"times": _list(shown)}
    elif minutes and seconds in ([], [0]):
        yield _("at minute %(minutes)s") % {"minutes": _list([str(one) for one in minutes])}
    elif hours or minutes or seconds not in ([], [0]):
        raise LookupError("times")


def _weekday(day: str) -> str:
    name = str(WEEKDAYS[_DAYS.index(day[-2:])])
    return _which(int(day[:-2]), name) if len(day) > 2 else name


def _which(number: int, what: str) -> str:
    return str(_WHICH[number] % {"what": what})


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _list(words: list[str], last: str | None = None) -> str:
    return str(get_text_list(words, last or _("and")))
