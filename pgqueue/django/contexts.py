"""The context of Django's tasks, with what a running job can say of itself besides."""

from dataclasses import make_dataclass
from typing import Any

from pgqueue.core.context import Context
from pgqueue.core.offsets import Duration
from pgqueue.django import task_api


def _progress(self: Any, fraction: float, text: str = "") -> None:
    """Say how far the job is; see `pgqueue.Context.progress`."""
    self.job.progress(fraction, text)


def _log(self: Any, message: str, level: str = "info") -> None:
    """Write a line that is kept with the job; see `pgqueue.Context.log`."""
    self.job.log(message, level)


def _cancelled(self: Any) -> bool:
    """Tell whether somebody asked for this job to stop."""
    return bool(self.job.cancelled)


def _check_cancelled(self: Any) -> None:
    """End the job as cancelled if somebody asked for it; see `pgqueue.Context.check_cancelled`."""
    self.job.check_cancelled()


def _extend_timeout(self: Any, duration: Duration) -> float | None:
    """Have at least so much time left; see `pgqueue.Context.extend_timeout`."""
    left: float | None = self.job.extend_timeout(duration)
    return left


def _shorten_timeout(self: Any, duration: Duration) -> float | None:
    """Have at most so much time left; see `pgqueue.Context.shorten_timeout`."""
    left: float | None = self.job.shorten_timeout(duration)
    return left


# Made so, since the class to inherit from is of Django or of its backport.
PgTaskContext: Any = make_dataclass(
    "PgTaskContext",
    [("job", Context)],
    bases=(task_api.TaskContext,),
    namespace={
        "__doc__": "Django's context of a task; `job` is that of the queue.",
        "__module__": __name__,
        "progress": _progress,
        "log": _log,
        "cancelled": property(_cancelled),
        "check_cancelled": _check_cancelled,
        "extend_timeout": _extend_timeout,
        "shorten_timeout": _shorten_timeout,
    },
    frozen=True,
    slots=True,
    kw_only=True,
)
