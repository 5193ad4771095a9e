"""The rule of a schedule in words, in the language that is active."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from itertools import product
from typing import Final

from cronsim import CronSim, CronSimError
from django.utils import formats, timezone
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.recurrence import Calendar, Interval
from pgqueue.core.rules import parse_cron, parse_every, parse_zone
from pgqueue.django.admin.cron_words import cron_parts
from pgqueue.django.admin.words import clock, each, listed, which

#: More times of a day than these are not read out.
_MOST_TIMES: Final = 6
#: Those that have a time of day.
_OF_DAYS: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
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
    # What SQL has written no worker may be able to read.
    with contextlib.suppress(ConfigurationError, CronSimError, LookupError, ValueError):
        start = None if starts_at is None else starts_at.astimezone(parse_zone(zone))
        if kind == "cron":
            text = _cron(rule)
        elif kind == "every":
            if isinstance(step := parse_every(rule, timezone.now(), parse_zone("UTC")), Interval):
                # No clock on a wall has a say in it.
                return _span(step) or str(_("every %(interval)s") % {"interval": rule})
            text = " ".join(_steps(step, start))
        elif kind == "rrule":
            text = " ".join(_parts(rule, start))
    return f"{text} ({zone})"


def _cron(rule: str) -> str:
    expression = parse_cron(rule, parse_zone("UTC")).expression
    try:
        return " ".join(cron_parts(expression))
    except LookupError:
        if not (get_language() or "en").startswith("en"):
            raise
        # It finds words for everything, in this language only.
        return CronSim(expression, timezone.now()).explain()


def _span(rule: Interval) -> str:
    """Say an interval; nothing where it is no whole number of seconds."""
    seconds, left = divmod(rule.step, dt.timedelta(seconds=1))
    if left:
        return ""
    for length, frequency in ((3600, "HOURLY"), (60, "MINUTELY")):
        if not seconds % length:
            return each(frequency, seconds // length)
    return each("SECONDLY", seconds)


def _steps(rule: Calendar, start: dt.datetime | None) -> Iterator[str]:
    """Say an interval of the calendar, which has its time of day from its start."""
    years, months = divmod(rule.months, 12)
    weeks, days = divmod(rule.days, 7)
    if rule.months:
        yield each("MONTHLY", rule.months) if months else each("YEARLY", years)
    else:
        yield each("DAILY", rule.days) if days else each("WEEKLY", weeks)
    if start is not None:
        if weeks and not days:
            yield _("on %(days)s") % {"days": WEEKDAYS[start.weekday()]}
        yield _("at %(times)s") % {"times": clock(start.time())}


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
    yield each(parts["FREQ"], int(parts.get("INTERVAL", "1")))
    if "BYMONTH" in parts:
        yield _("in %(months)s") % {
            "months": listed([str(MONTHS[number]) for number in _numbers(parts["BYMONTH"])])
        }
    days = _days(parts)
    if days:
        yield _("on %(days)s") % {"days": listed(days)}
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
            what = kind or listed([_weekday(day) for day in named], _("or"))
            days += [which(number, what) for number in _numbers(parts["BYSETPOS"])]
        else:
            days += [_weekday(day) for day in named]
    elif "BYSETPOS" in parts:
        raise LookupError(parts["BYSETPOS"])
    if "BYMONTHDAY" in parts:
        if days:
            raise LookupError(parts["BYMONTHDAY"])
        days += [
            _("day %(number)d") % {"number": number} if number > 0 else which(number, _("day"))
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
        shown = [clock(one) for one in times]
        yield _("at %(times)s") % {"times": listed(shown)}
    elif minutes and seconds in ([], [0]):
        yield _("at minute %(minutes)s") % {"minutes": listed([str(one) for one in minutes])}
    elif hours or minutes or seconds not in ([], [0]):
        raise LookupError("times")


def _weekday(day: str) -> str:
    name = str(WEEKDAYS[_DAYS.index(day[-2:])])
    return which(int(day[:-2]), name) if len(day) > 2 else name


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]
