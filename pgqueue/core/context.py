"""What a running task can ask about its job."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pgqueue.core.describe import storable
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.offsets import Duration, When, to_delay_or_time, to_seconds
from pgqueue.core.outcome import Cancel

#: What a line of the log may be called.
LEVELS: Final = ("debug", "info", "warning", "error")

_NOTE_LIMIT: Final = 500
_LINE_LIMIT: Final = 4096


class Again(Protocol):
    """Enqueue a running job once more; the worker fills it."""

    def enqueue(self, when: dt.timedelta | dt.datetime, /) -> int:
        """Enqueue it for a time, or for so long from now; gives the id."""
        ...

    async def aenqueue(self, when: dt.timedelta | dt.datetime, /) -> int:
        """Enqueue it from a coroutine; see `enqueue`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Stand as first argument of a task declared with `context=True`.

    Attributes:
        job_id: the job that runs.
        attempt: number of this execution, 1 for the first.
        lost: executions before it that ended through no fault of the job.
        max_attempts: how many may fail before the job does.
        timeout: longest run in seconds, or None.
        meta: the producer's own JSON object; empty without one.
        group_id: the group the job is a member of, to which it may add others; None for none.
        deadline: when the timeout ends, by `time.monotonic()`, or None; `extend_timeout` and
            `shorten_timeout` move it.
    """

    job_id: int
    task: str
    queue: str
    priority: int = 0
    attempt: int = 1
    lost: int = 0
    max_attempts: int = 1
    timeout: float | None = None
    meta: dict[str, object] = field(default_factory=dict)
    group_id: int | None = None
    deadline: float | None = None
    is_cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)
    atomic_connection: Any = field(default=None, repr=False)
    tell_progress: Callable[[float, str], None] | None = field(default=None, repr=False)
    tell_log: Callable[[str, str], None] | None = field(default=None, repr=False)
    move_deadline: Callable[[float, bool], float | None] | None = field(default=None, repr=False)
    again: Again | None = field(default=None, repr=False)

    @property
    def connection(self) -> Any:
        """The connection of an atomic task: what is written over it commits with the job's finish.

        A psycopg `Connection`, in an async task an `AsyncConnection`; with Django's connections
        the one that Django uses. It is in a transaction, which the worker ends; for a part that
        may fail there is `with context.connection.transaction():`, a savepoint.

        Raises:
            ConfigurationError: the task is not atomic.
        """
        if self.atomic_connection is None:
            raise ConfigurationError(
                f"only an atomic task has a connection; declare {self.task} with "
                "@task(context=True, atomic=True), or open a connection of its own"
            )
        return self.atomic_connection

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that made the job; None without one."""
        found = self._planned().get("schedule")
        return found if isinstance(found, str) else None

    @property
    def planned_at(self) -> dt.datetime | None:
        """The planned instant of a job that a schedule made, or that was rescheduled; else None."""
        try:
            return dt.datetime.fromisoformat(str(self._planned()["planned_at"])).astimezone(dt.UTC)
        except (KeyError, ValueError):
            return None

    def reschedule(self, in_: When, *, from_planned: bool = False) -> int:
        """Enqueue this job again, with the same arguments, for later; gives the new job's id.

        It has the same keys. Where another job has the unique key by then, and waits, that one's id
        is given.

        In an atomic task it is enqueued if the task's own writes commit; in others at once, so
        that an attempt which fails afterwards and is retried does it again.

        Args:
            in_: a duration, or a time.
            from_planned: count the duration from the planned instant, so that nothing drifts,
                instead of from now by the server's clock.

        Raises:
            ConfigurationError: the duration is wrong, there is no planned instant, or the job has a
                unique key that it keeps while it runs.
        """
        again, when = self._again(in_, from_planned)
        return again.enqueue(when)

    async def areschedule(self, in_: When, *, from_planned: bool = False) -> int:
        """Enqueue this job again, from an async task; see `reschedule`."""
        again, when = self._again(in_, from_planned)
        return await again.aenqueue(when)

    def _again(self, in_: When, from_planned: bool) -> tuple[Again, dt.timedelta | dt.datetime]:
        when = to_delay_or_time(in_, "in_")
        if from_planned and isinstance(when, dt.timedelta):
            if self.planned_at is None:
                raise ConfigurationError(
                    "from_planned needs a job with a planned instant: one of a schedule, or one "
                    "that was rescheduled itself"
                )
            when = self.planned_at + when
        if self.again is None:
            raise ConfigurationError("reschedule() works in a job that a worker runs")
        return self.again, when

    def _planned(self) -> dict[str, object]:
        found = self.meta.get("pgqueue")
        return found if isinstance(found, dict) else {}

    @property
    def cancelled(self) -> bool:
        """Tell whether somebody asked for this job to stop."""
        return self.is_cancelled()

    def check_cancelled(self) -> None:
        """End the job as cancelled if somebody asked for it.

        Raises:
            Cancel: somebody did.
        """
        if self.is_cancelled():
            raise Cancel

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the job is; shown with it within about a second.

        What is said in quick succession is not all written down: the last word counts. It costs no
        statement of its own, and is seen outside before an atomic task has committed.

        Args:
            fraction: 0 to 1; what lies beyond is clipped.
            text: a line for people, cut to 500 characters.

        Raises:
            ConfigurationError: `fraction` is no number, or `text` no string.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, int | float):
            raise ConfigurationError(
                f"fraction must be a number from 0 to 1; got {shown(fraction)}"
            )
        if fraction != fraction:  # NaN
            raise ConfigurationError("fraction must be a number from 0 to 1; got nan")
        if not isinstance(text, str):
            raise ConfigurationError(f"text must be a string; got {shown(text)}")
        if self.tell_progress is not None:
            self.tell_progress(max(0.0, min(1.0, fraction)), storable(text, _NOTE_LIMIT))

    def log(self, message: str, level: str = "info") -> None:
        """Write a line that is kept with the job: 500 lines an attempt, of the last ten attempts.

        Args:
            message: the line, cut to 4,096 characters.
            level: `debug`, `info`, `warning` or `error`.

        Raises:
            ConfigurationError: `message` is no string, or `level` none of these.
        """
        if not isinstance(message, str):
            raise ConfigurationError(f"message must be a string; got {shown(message)}")
        if level not in LEVELS:
            raise ConfigurationError(
                f"level must be one of {', '.join(LEVELS)}; got {shown(level)}"
            )
        if self.tell_log is not None:
            self.tell_log(level, storable(message, _LINE_LIMIT))

    def extend_timeout(self, duration: Duration) -> float | None:
        """Have at least so much time left, counted from now; a limit further away stays.

        Args:
            duration: in any form of duration.

        Returns:
            The seconds that are left now; None where the job has no limit.

        Raises:
            ConfigurationError: it is no duration.
        """
        return self._move(duration, nearer=False)

    def shorten_timeout(self, duration: Duration) -> float | None:
        """Have at most so much time left, counted from now; a limit that is nearer stays.

        A job without a limit has one then: for a task that knows only from its arguments how long
        it may take.

        Args:
            duration: in any form of duration.

        Returns:
            The seconds that are left now; None where no worker runs the job.

        Raises:
            ConfigurationError: it is no duration.
        """
        return self._move(duration, nearer=True)

    def _move(self, duration: Duration, *, nearer: bool) -> float | None:
        seconds = to_seconds(duration, "duration")
        moved = None if self.move_deadline is None else self.move_deadline(seconds, nearer)
        if moved is not None:
            # Finished otherwise, since nobody else may change it.
            object.__setattr__(self, "deadline", moved)
        return self.remaining()

    def remaining(self) -> float | None:
        """Give the seconds until the timeout ends, or None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
