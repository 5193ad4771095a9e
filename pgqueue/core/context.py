"""What a running task can ask about its job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.outcome import Cancel


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
