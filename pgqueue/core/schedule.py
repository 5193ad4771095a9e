"""What a schedule says, checked: `every("1h")`, `cron("0 9 * * 1-5")`, `rrule(…)`, `at(…)`.

When its slots are is in `recurrence`, what becomes of them in `planning`.
"""

import datetime as dt
import itertools
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import Duration, to_delta, to_time
from pgqueue.core.planning import Due, Slots
from pgqueue.core.rules import completed, read_rule

MAX_NAME_BYTES: Final = 200
MAX_JITTER: Final = dt.timedelta(days=1)
MAX_CATCH_UP: Final = 100_000
CATCH_UP: Final = ("all", "once", "skip")
OVERLAP: Final = ("allow", "skip", "queue")
_FIRST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
_LAST: Final = dt.datetime(9990, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """Say when something recurs: one of `every`, `cron`, `rrule` and `at`, and how.

    Attributes:
        every: an interval: seconds, `"90s"`, `"5m"`, `"1 day"`, `"3 months"`, `"weekly"`. Seconds,
            minutes and hours are spans of time; days and longer keep the time of day.
        cron: five fields, `"0 9 * * 1-5"`, or `"@daily"` and the like.
        rrule: a rule of RFC 5545, with EXDATE lines if need be. What it does not name of the time
            of day is that of `starts_at`; without one, BYHOUR means the full hour.
        at: once, at an aware datetime.
        timezone: whose clocks, an IANA name.
        starts_at: the first slot of `every`, and what it counts from; no slot of others is earlier.
            None for the moment when the schedule is made, the first slot being an interval later.
        ends_at: no slot is later.
        repeats: runs after which it ends.
        jitter: each run is up to so much later than its slot, up to a day.
        catch_up: what becomes of slots that are more than a minute late: `"all"` of them run in
            order (True means that too), `"once"` for all of them (False), or `"skip"`.
        max_catch_up: the most slots that run with `"all"`, the newest ones.
        overlap: when the last job still lives: `"allow"` another, `"skip"` the slot, or `"queue"`:
            wait for the end.
        sticky: whether a short month shortens those that follow: 31 Jan, 28 Feb, 28 Mar.
        planned_kwarg: name of the keyword argument that gets the planned instant, a datetime.
        name: of the schedule; None for the task's.
        args: positional arguments, for a schedule that code declares.
        kwargs: keyword arguments, likewise.

    Raises:
        ConfigurationError: an option is wrong, or the rule cannot be read.
    """

    every: str | None = None
    cron: str | None = None
    rrule: str | None = None
    at: dt.datetime | None = None
    timezone: str = "UTC"
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None
    repeats: int | None = None
    jitter: dt.timedelta = dt.timedelta(0)
    catch_up: str = "once"
    max_catch_up: int = 1000
    overlap: str = "allow"
    sticky: bool = False
    planned_kwarg: str | None = None
    name: str | None = None
    args: tuple[object, ...] = field(default=(), repr=False)
    kwargs: dict[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check every option and give it its plain form."""
        given = [
            name for name in ("every", "cron", "rrule", "at") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ConfigurationError(
                "a schedule needs one of every, cron, rrule and at, and only one; "
                f"got {' and '.join(given) or 'none'}"
            )
        _put(self, "every", _interval(self.every))
        for name in ("at", "starts_at", "ends_at"):
            _put(self, name, _moment(getattr(self, name), name))
        if self.at is not None and self.starts_at is not None:
            raise ConfigurationError("at says when it runs, once; leave starts_at out")
        for name in ("cron", "rrule", "timezone"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"{name} must be a string; got {shown(value)}")
        if self.rrule is not None and self.starts_at is None:
            _put(self, "rrule", completed(self.rrule))
        _put(self, "jitter", to_delta(self.jitter, "jitter"))
        if self.jitter > MAX_JITTER:
            raise ConfigurationError(f"jitter must be at most 1 day; got {shown(self.jitter)}")
        _put(self, "catch_up", _policy(self.catch_up))
        _check_word("catch_up", self.catch_up, CATCH_UP)
        _check_word("overlap", self.overlap, OVERLAP)
        if self.repeats is not None:
            _check_number("repeats", self.repeats, 2**31 - 1)
        _check_number("max_catch_up", self.max_catch_up, MAX_CATCH_UP)
        if type(self.sticky) is not bool:
            raise ConfigurationError(f"sticky must be True or False; got {shown(self.sticky)}")
        if self.planned_kwarg is not None and not str(self.planned_kwarg).isidentifier():
            raise ConfigurationError(
                "planned_kwarg must be the name of a keyword argument; "
                f"got {shown(self.planned_kwarg)}"
            )
        if self.name is not None:
            check_schedule_name(self.name)
        _put(self, "args", tuple(self.args))
        _put(self, "kwargs", dict(self.kwargs))
        read_rule(self.kind, self.text, self.timezone, self.starts_at or self.at or _FIRST)

    @classmethod
    def from_kwargs(cls, **options: object) -> Self:
        """Make one from words; one that is not known is an error with the nearest known."""
        known = [item.name for item in fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"unknown option of a schedule {shown(name)}{suggest(name, known)}; "
                    f"known are {', '.join(known)}"
                )
        return cls(**options)  # type: ignore[arg-type]  # checked by __post_init__

    @property
    def kind(self) -> str:
        """Tell which kind of rule it is: once, every, cron or rrule."""
        if self.at is not None:
            return "once"
        return "every" if self.every is not None else "cron" if self.cron is not None else "rrule"

    @property
    def text(self) -> str:
        """Give the rule; empty for once."""
        return self.every or self.cron or self.rrule or ""

    def preview(self, count: int, now: dt.datetime) -> list[dt.datetime]:
        """Compute the next slots, as if the schedule was made now.

        Args:
            count: how many.
            now: the time it is.
        """
        due = Due(
            kind=self.kind,
            rule=self.text,
            timezone=self.timezone,
            starts_at=self.at or self.starts_at or now,
            ends_at=self.ends_at,
            sticky=self.sticky,
            done_until=now,
        )
        most = count if self.repeats is None else min(count, self.repeats)
        return list(itertools.islice(Slots(due).walk(now), most))

    def words(self) -> dict[str, Any]:
        """Give it as the parameters of `pgqueue.schedule`, without those that are not set."""
        found: dict[str, Any] = {
            "every": self.every,
            "cron": self.cron,
            "rrule": self.rrule,
            "run_at": _iso(self.at),
            "timezone": self.timezone,
            "starts_at": _iso(self.starts_at),
            "ends_at": _iso(self.ends_at),
            "repeats": self.repeats,
            "jitter": self.jitter.total_seconds() or None,
            "catch_up": self.catch_up,
            "max_catch_up": self.max_catch_up,
            "overlap": self.overlap,
            "sticky": self.sticky or None,
            "planned_kwarg": self.planned_kwarg,
        }
        return {name: value for name, value in found.items() if value is not None}


def every(interval: Duration, **options: Any) -> Recurrence:
    """Say that a task recurs at an interval, for `@task(schedule=every("1h"))`.

    Args:
        interval: seconds, a timedelta, `"5m"`, `"1 day"`, `"3 months"`, `"weekly"`.
        options: as of `Recurrence`.
    """
    return Recurrence.from_kwargs(every=interval, **options)


def cron(expression: str, **options: Any) -> Recurrence:
    """Say that a task recurs by a cron expression, for `@task(schedule=cron("0 9 * * 1-5"))`.

    Args:
        expression: five fields, or `"@daily"` and the like.
        options: as of `Recurrence`.
    """
    return Recurrence.from_kwargs(cron=expression, **options)


def rrule(rule: str, **options: Any) -> Recurrence:
    """Say that a task recurs by a rule of RFC 5545, for `@task(schedule=rrule(…))`.

    Args:
        rule: such as `"FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17"`.
        options: as of `Recurrence`.
    """
    return Recurrence.from_kwargs(rrule=rule, **options)


def check_schedule_name(value: object) -> str:
    """Give back the name of a schedule, or raise ConfigurationError."""
    if (
        not isinstance(value, str)
        or not 1 <= len(value.encode(errors="replace")) <= MAX_NAME_BYTES
        or "\0" in value
    ):
        raise ConfigurationError(
            f"a schedule's name must be a string of 1 to {MAX_NAME_BYTES} bytes; got {shown(value)}"
        )
    return value


def declared(value: object) -> tuple[Recurrence, ...]:
    """Read the `schedule` option of a task: one recurrence, or several."""
    items = value if isinstance(value, tuple | list) else (value,)
    for item in items:
        if not isinstance(item, Recurrence):
            raise ConfigurationError(
                "schedule must be what every(), cron() or rrule() makes, or a list of them; "
                f"got {shown(item)}"
            )
    if len({item.name for item in items}) < len(items):
        raise ConfigurationError("schedules of one task must differ by their name")
    return tuple(items)


def _put(target: object, name: str, value: object) -> None:
    object.__setattr__(target, name, value)


def _interval(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    seconds = to_delta(value, "every").total_seconds()
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s"


def _moment(value: object, name: str) -> dt.datetime | None:
    if value is None:
        return None
    found = to_time(value, name)
    if not _FIRST <= found <= _LAST:
        raise ConfigurationError(
            f"{name} must lie between the years 1900 and 9990; got year {found.year}"
        )
    return found


def _policy(value: object) -> object:
    return ("all" if value else "once") if isinstance(value, bool) else value


def _iso(value: dt.datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _check_word(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        near = suggest(value, known) if isinstance(value, str) else ""
        raise ConfigurationError(
            f"{name} must be one of {', '.join(known)}; got {shown(value)}{near}"
        )


def _check_number(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be between 1 and {most}; got {shown(value)}")
