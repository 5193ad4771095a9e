"""What a running task can ask about its job."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.offsets import When, to_delay_or_time
from pgqueue.core.outcome import Cancel


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
        deadline: when the timeout ends, by `time.monotonic()`, or None.
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
    deadline: float | None = None
    is_cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)
    atomic_connection: Any = field(default=None, repr=False)
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

        In an atomic task it is enqueued if the task's own writes commit; in others at once, so
        that an attempt which fails afterwards and is retried does it again.

        Args:
            in_: a duration, or a time.
            from_planned: count the duration from the planned instant, so that nothing drifts,
                instead of from now by the server's clock.

        Raises:
            ConfigurationError: the duration is wrong, or there is no planned instant.
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

    def remaining(self) -> float | None:
        """Give the seconds until the timeout ends, or None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
