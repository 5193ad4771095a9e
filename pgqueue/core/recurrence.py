"""When a schedule is due: rules, and the instants they give. Pure: no clock, no database.

A rule knows its slots, the planned instants, and answers one question: which is the first slot
after this instant? Nothing is added up along the way, so nothing drifts.

Wall-clock rules (days and longer, cron, RRULE) live in a time zone. A wall-clock time that a zone
skips runs once, as much later as the zone skipped; one that it repeats runs once, the first time,
unless the rule fits every hour, which then runs in both.
"""

import calendar
import datetime as dt
import itertools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cronsim import CronSim
from dateutil import rrule

_MICROSECOND: Final = dt.timedelta(microseconds=1)
_SECOND: Final = dt.timedelta(seconds=1)
#: How far around an instant a change of the zone's offset is looked for: more than the longest
#: shift there was, a day (Apia, Manila, Kwajalein).
_AROUND: Final = dt.timedelta(hours=26)

#: Seconds of one step, for frequencies whose steps are alike.
_STEP: Final = {2: 604_800, 3: 86_400, 4: 3_600, 5: 60, 6: 1}


class Rule(Protocol):
    """What all kinds of rules have in common."""

    def __hash__(self) -> int:
        """Rules are values."""
        ...

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant, in UTC; None when there is none any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A single slot."""

    at: dt.datetime

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the slot, if it is after the instant."""
        return self.at if self.at > moment else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A slot every so many seconds from the first one, whatever clocks on walls do.

    Attributes:
        start: the first slot.
        step: between two slots; at least a second.
    """

    start: dt.datetime
    step: dt.timedelta

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant."""
        if moment < self.start:
            return self.start
        try:
            return self.start + ((moment - self.start) // self.step + 1) * self.step
        except OverflowError:
            return None


class _Walls(Protocol):
    """Give wall-clock times after one, without end or until the rule ends, in order."""

    def __call__(self, after: dt.datetime) -> Iterator[dt.datetime]:
        """Begin behind a naive time, or a little before: those not after it are dropped."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A slot every so many months or days at the same time of day, in a time zone.

    A day that a month does not have becomes its last: from 31 January to 28 February, and then to
    31 March, since each slot is counted from the first one.

    Attributes:
        start: the first slot.
        months, days: one of them is the step, the other is 0.
        zone: whose clocks.
    """

    start: dt.datetime
    zone: zoneinfo.ZoneInfo
    months: int = 0
    days: int = 0

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant."""
        if moment < self.start:
            return self.start
        return _first_after(self.zone, self._walls, moment, both=False)

    def following(self, slot: dt.datetime) -> dt.datetime | None:
        """Give the slot after this one as if it were the first: from 28 February to 28 March."""
        return Calendar(start=slot, zone=self.zone, months=self.months, days=self.days).after(slot)

    def _walls(self, after: dt.datetime) -> Iterator[dt.datetime]:
        first = self.start.astimezone(self.zone).replace(tzinfo=None, fold=0)
        if self.days:
            number = max(0, (after - first).days // self.days)
        else:
            apart = (after.year - first.year) * 12 + after.month - first.month
            number = max(0, apart // self.months - 1)
        for count in itertools.count(number):
            yield _add(first, months=count * self.months, days=count * self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The slots of a cron expression, in a time zone.

    Attributes:
        expression: five fields, as `cronsim` reads them.
        zone: whose clocks.
    """

    expression: str
    zone: zoneinfo.ZoneInfo

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant."""
        every_hour = self.expression.split()[1] == "*"
        return _first_after(self.zone, self._walls, moment, both=every_hour)

    def _walls(self, after: dt.datetime) -> Iterator[dt.datetime]:
        return CronSim(self.expression, after)


@dataclass(frozen=True, slots=True, kw_only=True)
class RRule:
    """The slots of a recurrence rule of RFC 5545, in a time zone.

    Attributes:
        rule: what dateutil made of it, in wall-clock times.
        excluded: wall-clock times it leaves out.
        zone: whose clocks.
    """

    rule: rrule.rrule
    zone: zoneinfo.ZoneInfo
    excluded: frozenset[dt.datetime] = field(default_factory=frozenset)

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant.

        For a rule that never fits again (30 February) the search goes to the year 9999 and takes
        seconds.
        """
        return _first_after(self.zone, self._walls, moment, both=self._frequency > 3)

    @property
    def _frequency(self) -> int:
        return int(self.rule._freq)  # type: ignore[attr-defined]  # it has no other way to tell

    def _walls(self, after: dt.datetime) -> Iterator[dt.datetime]:
        # dateutil walks from the first slot to the one asked for; so begin nearer, in step.
        found: Any = self.rule
        step = _STEP.get(self._frequency)
        if step is not None and found._count is None and after > found._dtstart:
            whole = dt.timedelta(seconds=step * found._interval)
            found = found.replace(
                dtstart=found._dtstart + max(0, (after - found._dtstart) // whole - 1) * whole
            )
        return (wall for wall in found.xafter(after, inc=True) if wall not in self.excluded)


def _add(moment: dt.datetime, *, months: int, days: int) -> dt.datetime:
    """Go on by months, to the last day of a month that is too short, or by days."""
    if days:
        return moment + dt.timedelta(days=days)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if year > dt.MAXYEAR:
        raise OverflowError
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def _first_after(
    zone: zoneinfo.ZoneInfo, walls: _Walls, moment: dt.datetime, *, both: bool
) -> dt.datetime | None:
    """Give the first instant after another whose wall-clock time is one of those.

    Wall-clock times come in order, but their instants need not where a zone changes its offset:
    there, all that lie within the change are looked at.

    Args:
        both: whether a wall-clock time that the zone repeats counts twice.
    """
    try:
        here = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        first = next((wall for wall in walls(here) if wall > here), None)
        offsets = _offsets_around(zone, moment)
        if first is not None:
            offsets |= _offsets_around(zone, _instant(first, zone, 0))
        change = max(offsets) - min(offsets)
        if not change:
            return None if first is None else _instant(first, zone, 0)
        best: dt.datetime | None = None
        until = dt.datetime.max
        for wall in walls(here - change - _SECOND):
            if wall > until:
                break
            for fold in (0, 1) if both else (0,):
                instant = _instant(wall, zone, fold)
                if instant <= moment or (fold and not _is_repeated(wall, zone)):
                    continue
                if best is None:
                    until = wall + change
                if best is None or instant < best:
                    best = instant
        return best
    except (OverflowError, ValueError):
        # The end of the calendar.
        return None


def _instant(wall: dt.datetime, zone: zoneinfo.ZoneInfo, fold: int) -> dt.datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC)


def _is_repeated(wall: dt.datetime, zone: zoneinfo.ZoneInfo) -> bool:
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


def _offsets_around(zone: zoneinfo.ZoneInfo, moment: dt.datetime) -> set[dt.timedelta]:
    found = (
        (moment + shift).astimezone(zone).utcoffset() for shift in (-_AROUND, 0 * _SECOND, _AROUND)
    )
    return {offset for offset in found if offset is not None}
