"""How an attempt ends: what a task may ask for by raising, and what was decided, as values.

Running a job gives an `Outcome`; writing it down is another file's work.
"""

from dataclasses import dataclass

from pgqueue.core.describe import ErrorInfo, describe_exception, storable
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.offsets import Duration, to_seconds

__all__ = [
    "Cancel",
    "Cancelled",
    "ErrorInfo",
    "Failed",
    "Outcome",
    "Retried",
    "Retry",
    "Snooze",
    "Snoozed",
    "Succeeded",
    "TaskControl",
    "describe_exception",
]

_REASON_LIMIT = 1_000


class TaskControl(Exception):
    """Stand above what a task may raise to decide its own outcome; not an error."""

    __module__ = "pgqueue"


class Retry(TaskControl):
    """End this attempt and ask for another.

    Args:
        in_: when: a timedelta, seconds or an offset such as `"10m"`; None for the task's backoff.
        reason: one sentence for the job's error history.

    Attributes:
        delay: `in_` in seconds, or None.
        reason: the sentence, cut to what can be stored.

    Raises:
        ConfigurationError: `in_` is no duration, or `reason` no string.
    """

    __module__ = "pgqueue"

    def __init__(self, in_: Duration | None = None, reason: str = "") -> None:
        """Check both and keep them as attributes."""
        super().__init__(in_, reason)
        self.delay = None if in_ is None else to_seconds(in_, "in_")
        self.reason = _reason(reason)

    def __str__(self) -> str:
        """Give the reason, or say what is asked for."""
        return self.reason or "retry asked for by the task"


class Snooze(TaskControl):
    """Give the job back for later; no attempt is spent.

    Args:
        in_: how long: a timedelta, seconds or an offset such as `"1h"`.

    Attributes:
        delay: `in_` in seconds.

    Raises:
        ConfigurationError: `in_` is no duration.
    """

    __module__ = "pgqueue"

    def __init__(self, in_: Duration) -> None:
        """Check the duration and keep it as attribute."""
        super().__init__(in_)
        self.delay = to_seconds(in_, "in_")

    def __str__(self) -> str:
        """Say what is asked for."""
        return f"snoozed for {self.delay:g} seconds by the task"


class Cancel(TaskControl):
    """End the job as cancelled; no further attempt is made.

    Args:
        reason: one sentence, shown with the job.

    Attributes:
        reason: the sentence, cut to what can be stored.

    Raises:
        ConfigurationError: `reason` is no string.
    """

    __module__ = "pgqueue"

    def __init__(self, reason: str = "") -> None:
        """Check the reason and keep it as attribute."""
        super().__init__(reason)
        self.reason = _reason(reason)

    def __str__(self) -> str:
        """Give the reason, or say what is asked for."""
        return self.reason or "cancelled by the task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The task returned.

    Attributes:
        result: what it returned, as JSON from `codec.dumps`.
    """

    result: bytes = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last attempt failed, or the error is one that is not retried."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The attempt failed and another follows.

    Attributes:
        delay: seconds until then.
        error: what went wrong, for the error history.
        priority: the job's from now on; None for what it was.
    """

    delay: float
    error: ErrorInfo
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed:
    """The task gave the job back for later.

    Attributes:
        delay: seconds until then.
    """

    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The job was cancelled, by its task or from outside.

    Attributes:
        reason: one sentence; may be empty, then that of the request is shown, if it gave one.
        error: what the task raised when it was asked to stop, for the error history.
    """

    reason: str = ""
    error: ErrorInfo | None = None


Outcome = Succeeded | Failed | Retried | Snoozed | Cancelled


def _reason(reason: object) -> str:
    if not isinstance(reason, str):
        raise ConfigurationError(f"reason must be a string; got {shown(reason)}")
    return storable(reason, _REASON_LIMIT)
