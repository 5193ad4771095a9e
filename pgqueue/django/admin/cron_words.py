"""A cron expression in words, built from parts that every language has words for."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _

from pgqueue.django.admin.words import clock, each, listed, which

#: More times of a day or days, or bare minutes and hours, than these are not read out.
_MOST: Final = 6
_MOST_NUMBERS: Final = 12
#: A range of days or months that is shorter is a list.
_RANGE: Final = 3
_LAST_DAY: Final = 31
_MONTHS: Final = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Hold one item of a field's list: `7`, `1-5`, `*/2`."""

    first: int
    last: int
    step: int

    @property
    def numbers(self) -> range:
        """What it stands for."""
        return range(self.first, self.last + 1, self.step)


def cron_parts(expression: str) -> Iterator[str]:
    """Say a cron expression of five fields, part by part: when in the year, which days, what times.

    Raises:
        LookupError: there are no words for it.
        ValueError: it cannot be read.
    """
    minute, hour, day, month, weekday = expression.upper().split()
    if month != "*":
        yield _months(_field(month, 1, 12, _MONTHS))
    every_month = month == "*" and (day != "*" or _is_numbered(weekday))
    if every_month:
        yield each("MONTHLY")
    minutes, hours = _field(minute, 0, 59), _field(hour, 0, 23)
    times = [dt.time(*one) for one in product(_numbers(hours), _numbers(minutes))]
    days = _days(day, weekday)
    if days:
        yield days
    if len(times) > _MOST:
        yield from _often(minutes, hours)
        return
    if not days:
        yield each("DAILY")
    yield _("at %(times)s") % {"times": listed([clock(time) for time in times])}


def _often(minutes: Sequence[_Part], hours: Sequence[_Part]) -> Iterator[str]:
    every, every_hours = _every(minutes, 60), _every(hours, 24)
    at = _numbers(minutes)
    window = len(hours) == 1 and hours[0].step == 1
    first, last = hours[0].first, hours[-1].last
    if every:
        yield each("MINUTELY", every)
        if window and every_hours != 1:
            yield _from(clock(dt.time(first)), clock(dt.time(last, 60 - every)))
        elif every_hours != 1:
            yield _hours(hours)
    elif every_hours:
        yield each("HOURLY", every_hours)
        if at != [0]:
            yield _minutes(at)
    elif window:
        yield each("HOURLY") if len(at) == 1 else _minutes(at)
        yield _from(clock(dt.time(first, at[0])), clock(dt.time(last, at[-1])))
    else:
        yield _minutes(at)
        yield _hours(hours)


def _days(day: str, weekday: str) -> str:
    if day == "*" and weekday == "*":
        return ""
    if day == "*":
        return _weekdays(weekday)
    if weekday == "*":
        return _days_of_month(day)
    if day.startswith("*") or weekday.startswith("*"):
        # Both must fit then; else either does.
        raise LookupError(day)
    found = [*_named_days(day), *_named_weekdays(weekday)]
    return str(_("on %(days)s") % {"days": listed(_few(found), _("or"))})


def _weekdays(text: str) -> str:
    if not _is_numbered(text):
        found = _plain_weekdays(text)
        if found == list(range(found[0], found[-1] + 1)) and len(found) >= _RANGE:
            return _from(str(WEEKDAYS[found[0]]), str(WEEKDAYS[found[-1]]))
    return str(_("on %(days)s") % {"days": listed(_named_weekdays(text))})


def _days_of_month(text: str) -> str:
    if "L" not in text:
        parts = _field(text, 1, _LAST_DAY)
        if len(parts) == 1 and parts[0].step > 1 and parts[0].last == _LAST_DAY:
            words = {"step": each("DAILY", parts[0].step), "first": _day(parts[0].first)}
            return str(_("%(step)s from %(first)s") % words)
        if len(parts) == 1 and parts[0].step == 1 and len(parts[0].numbers) >= _RANGE:
            ends = {"first": parts[0].first, "last": parts[0].last}
            return str(_("from day %(first)d to day %(last)d") % ends)
    return str(_("on %(days)s") % {"days": listed(_few(_named_days(text)))})


def _named_days(text: str) -> list[str]:
    named = {"L": which(-1, _("day")), "LW": which(-1, _("weekday"))}
    found: list[str] = []
    for item in text.split(","):
        if item in named:
            found.append(named[item])
        else:
            found += [_day(number) for number in _numbers(_field(item, 1, _LAST_DAY))]
    return found


def _named_weekdays(text: str) -> list[str]:
    if not _is_numbered(text):
        return [str(WEEKDAYS[day]) for day in _plain_weekdays(text)]
    found: list[str] = []
    for item in text.split(","):
        day, mark, number = item.partition("#") if "#" in item else item.partition("L")
        if not mark:
            raise LookupError(text)
        (weekday,) = _plain_weekdays(day)
        found.append(which(int(number or "-1"), str(WEEKDAYS[weekday])))
    return found


def _plain_weekdays(text: str) -> list[int]:
    """Give days of the week as Django counts them: Monday is 0."""
    return sorted({(number - 1) % 7 for number in _numbers(_field(text, 0, 7, _DAYS))})


def _is_numbered(text: str) -> bool:
    return "#" in text or "L" in text


def _months(parts: Sequence[_Part]) -> str:
    names = [str(MONTHS[number]) for number in _numbers(parts)]
    if len(parts) == 1 and parts[0].step == 1 and len(names) >= _RANGE:
        return _from(names[0], names[-1])
    return str(_("in %(months)s") % {"months": listed(names)})


def _minutes(numbers: Sequence[int]) -> str:
    return str(_("at minute %(minutes)s") % {"minutes": _read_out(numbers)})


def _hours(parts: Sequence[_Part]) -> str:
    return str(_("in the hours %(hours)s") % {"hours": _read_out(_numbers(parts))})


def _read_out(numbers: Sequence[int]) -> str:
    if len(numbers) > _MOST_NUMBERS:
        raise LookupError("too many")
    return listed([str(one) for one in numbers])


def _day(number: int) -> str:
    return str(_("day %(number)d") % {"number": number})


def _from(first: str, last: str) -> str:
    return str(_("from %(first)s to %(last)s") % {"first": first, "last": last})


def _few(words: list[str]) -> list[str]:
    if len(words) > _MOST:
        raise LookupError("too many")
    return words


def _every(parts: Sequence[_Part], whole: int) -> int:
    """Give the step of a field that is `*` or `*/n`, if it goes evenly through the whole."""
    (part, *others) = parts
    even = not others and part.first == 0 and part.last == whole - 1 and whole % part.step == 0
    return part.step if even else 0


def _field(text: str, low: int, high: int, names: Sequence[str] = ()) -> list[_Part]:
    """Read a field; what stands behind `#` and `L` is not its concern."""

    def number(one: str) -> int:
        return names.index(one) + low if one in names else int(one)

    found = []
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            part = _Part(first=low, last=high, step=int(step or "1"))
        else:
            end = number(last) if dash else high if slash else number(first)
            part = _Part(first=number(first), last=end, step=int(step or "1"))
        found.append(part)
    return found


def _numbers(parts: Sequence[_Part]) -> list[int]:
    return sorted({number for part in parts for number in part.numbers})
