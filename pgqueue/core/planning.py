"""What becomes of a schedule that is due: which slots run now, which are dropped, what is next.

Pure: the time it is comes in, a plan goes out; `pgqueue.fire_schedules` carries it out.

A schedule is *late* when the slot that is due lies further back than any change of leaders takes.
Until then every slot runs, in order, whatever its policy; from then on `catch_up` decides.
"""

import collections
import datetime as dt
import functools
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.recurrence import Calendar, Rule
from pgqueue.core.rules import read_rule

#: Slots further back than this were missed.
GRACE: Final = dt.timedelta(seconds=60)
#: The most slots of one schedule in one firing, and the pause before the next ones.
MOST_AT_ONCE: Final = 100
_BETWEEN: Final = dt.timedelta(seconds=1)
#: After this long a schedule that cannot be planned is looked at again.
_AGAIN: Final = dt.timedelta(minutes=5)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_NOTHING: Final = dt.timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A schedule as far as planning needs it: what `pgqueue.due_schedules` gives.

    Attributes:
        jitter: the most delay of a run.
        done_until: slots up to here are dealt with.
        last_slot: the last one that was; None before the first.
        held_slot: one that was due while the last job still lived, and waits for its end.
    """

    id: int = 0
    revision: int = 0
    kind: str
    rule: str
    timezone: str = "UTC"
    starts_at: dt.datetime
    ends_at: dt.datetime | None = None
    repeats: int | None = None
    runs: int = 0
    sticky: bool = False
    jitter: dt.timedelta = _NOTHING
    catch_up: str = "once"
    max_catch_up: int = 1000
    overlap: str = "allow"
    done_until: dt.datetime
    last_slot: dt.datetime | None = None
    held_slot: dt.datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Due":
        """Read one of the objects of `pgqueue.due_schedules`."""
        found = dict(row)
        for name in ("starts_at", "ends_at", "done_until", "last_slot", "held_slot"):
            if found[name] is not None:
                found[name] = dt.datetime.fromisoformat(found[name]).astimezone(dt.UTC)
        found["jitter"] = dt.timedelta(seconds=float(found["jitter"]))
        return cls(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done with a schedule: what `pgqueue.fire_schedules` takes.

    Attributes:
        slots: those that run now, in order.
        done_until: slots up to here are dealt with then.
        next_slot: the next planned instant; None when there is none.
        next_run_at: when to look again; None for never.
        error: why nothing could be computed.
    """

    id: int
    revision: int
    slots: list[dt.datetime] = field(default_factory=list)
    done_until: dt.datetime
    next_slot: dt.datetime | None = None
    next_run_at: dt.datetime | None = None
    error: str | None = None


@functools.lru_cache(maxsize=8192)
def _after(rule: Rule, moment: dt.datetime) -> dt.datetime | None:
    """Give the first slot after an instant; kept, since thousands may share a rule and a slot."""
    return rule.after(moment)


class Slots:
    """The slots of one schedule.

    Raises:
        ConfigurationError: its rule cannot be read, or its zone is not known here.
    """

    def __init__(self, due: Due) -> None:
        self._due = due
        self._rule = read_rule(due.kind, due.rule, due.timezone, due.starts_at)

    def walk(self, after: dt.datetime) -> Iterator[dt.datetime]:
        """Give the slots after an instant, in order."""
        begin = max(after, self._due.starts_at - _MICROSECOND)
        for slot in self._endless(begin):
            if self._due.ends_at is not None and slot > self._due.ends_at:
                return
            yield slot

    def _endless(self, after: dt.datetime) -> Iterator[dt.datetime]:
        rule, last = self._rule, self._due.last_slot
        if self._due.sticky and isinstance(rule, Calendar) and rule.months and last is not None:
            # Each slot from the one before, so there is no way but through all of them.
            following = rule.following(last)
            while following is not None:
                if following > after:
                    yield following
                following = rule.following(following)
            return
        sticky = self._due.sticky and isinstance(rule, Calendar) and rule.months
        slot = _after(rule, after)
        while slot is not None:
            yield slot
            if sticky and isinstance(rule, Calendar):
                slot = rule.following(slot)
            else:
                slot = _after(rule, slot)

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Give the first slot after an instant; None when there is none any more."""
        return next(self.walk(moment), None)

    def run_at(self, slot: dt.datetime) -> dt.datetime:
        """Give the instant at which a slot runs: itself, and its jitter."""
        if not self._due.jitter:
            return slot
        seed = f"{self._due.id} {slot.timestamp():.6f}".encode()
        number = int.from_bytes(hashlib.blake2b(seed, digest_size=6).digest())
        part = number / 2**48
        return slot + dt.timedelta(milliseconds=int(self._due.jitter / _MICROSECOND * part / 1000))

    def due(self, at: dt.datetime, most: int) -> tuple[list[dt.datetime], dt.datetime | None]:
        """Give the slots that are due and not dealt with, in order, and the one after them.

        Args:
            at: the time it is.
            most: how many are enough; then the one after them is not looked for.
        """
        found: list[dt.datetime] = []
        for slot in self.walk(self._due.done_until):
            if self.run_at(slot) > at:
                return found, slot
            found.append(slot)
            if len(found) == most:
                break
        return found, None

    def newest(self, first: dt.datetime, until: dt.datetime, most: int) -> list[dt.datetime]:
        """Give the last slots up to an instant, in order.

        There may be millions, so they are looked for from the end, further and further back.

        Args:
            first: the first slot that counts.
            until: the instant.
            most: how many.
        """
        second = self.after(first)
        if second is None or second > until:
            return [first]
        span = (second - first) * (most + 1)
        while True:
            begin = first - _MICROSECOND
            if until - begin > span and not self._due.sticky:
                begin = until - span
            slots = itertools.takewhile(lambda slot: slot <= until, self.walk(begin))
            found = collections.deque(slots, maxlen=most)
            if len(found) == most or begin < first:
                return list(found)
            span *= 4


def plan(due: Due, at: dt.datetime, most: int = MOST_AT_ONCE) -> Plan:
    """Decide what becomes of a schedule.

    Args:
        due: the schedule.
        at: the time it is, by the server's clock.
        most: the most slots to run now.
    """
    try:
        slots = Slots(due)
    except ConfigurationError as error:
        return failed(due, at, str(error))
    if due.repeats is not None:
        most = min(most, due.repeats - due.runs)
        if most <= 0:
            return _moved(due, slots, at, [], None)
    waiting, beyond = slots.due(at, min(most, due.max_catch_up) + 1)
    if not waiting:
        return _moved(due, slots, at, [], beyond)
    until = max(waiting[0], at - due.jitter)
    if waiting[0] == due.held_slot:
        # It was not missed: it waited, as it was told. What came after it is judged the next time.
        waiting, beyond = waiting[:1], None
    elif at - slots.run_at(waiting[0]) > GRACE:
        # Late. What is dropped here was missed while nobody could run it.
        match due.catch_up:
            case "skip":
                until = max(until, due.done_until)
                return _moved(due, slots, at, [], slots.after(until), until)
            case "once":
                waiting, beyond = slots.newest(waiting[0], until, 1), None
            case _ if len(waiting) > due.max_catch_up or len(waiting) > most:
                waiting, beyond = slots.newest(waiting[0], until, due.max_catch_up), None
    now = waiting[: 1 if due.overlap == "queue" else most]
    if beyond is None or len(now) < len(waiting):
        beyond = _following(due, slots, now)
    return _moved(due, slots, at, now, beyond, now[-1])


def failed(due: Due | Plan, at: dt.datetime, why: str, again: dt.timedelta = _AGAIN) -> Plan:
    """Say that a schedule cannot be planned; it is looked at again later."""
    return Plan(
        id=due.id,
        revision=due.revision,
        done_until=due.done_until,
        next_run_at=at + again,
        error=why,
    )


def unreadable(number: int, revision: int, at: dt.datetime, why: str) -> Plan:
    """Say that the row of a schedule cannot be read; it is looked at again later."""
    return Plan(
        id=number,
        revision=revision,
        done_until=at,
        next_run_at=at + _AGAIN,
        error=f"its row cannot be read: {why}",
    )


def _moved(
    due: Due,
    slots: Slots,
    at: dt.datetime,
    now: list[dt.datetime],
    following: dt.datetime | None,
    done_until: dt.datetime | None = None,
) -> Plan:
    """Give the plan that runs these slots and goes on with the following one."""
    run_at = None if following is None else slots.run_at(following)
    if run_at is not None and run_at <= at:
        # There is more to catch up with: others get their turn, and the database a breath.
        run_at = at + _BETWEEN
    return Plan(
        id=due.id,
        revision=due.revision,
        slots=now,
        done_until=done_until or due.done_until,
        next_slot=following,
        next_run_at=run_at,
    )


def _following(due: Due, slots: Slots, now: list[dt.datetime]) -> dt.datetime | None:
    if due.sticky and due.last_slot is None:
        # The first slot has just come to be what the others are counted from.
        return next((slot for slot in slots.walk(now[0] - _MICROSECOND) if slot > now[-1]), None)
    return slots.after(now[-1])
