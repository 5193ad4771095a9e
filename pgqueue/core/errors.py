"""The one tree of errors, and how a sentence about a wrong value is put together.

Every error pgqueue raises stands below `PgQueueError`; control flow of tasks (`Retry`, `Snooze`,
`Cancel`, `JobTimeout`) does not. Facts are attributes, messages say what was expected, what came
and what to do, and never print a job's arguments.
"""

import datetime as dt
import difflib
from collections.abc import Iterable

_SHOWN_CHARACTERS = 60
_SHOWN_INT_BITS = 256
_SHOWN_TYPES = frozenset({type(None), bool, float, dt.datetime, dt.date, dt.time, dt.timedelta})


class PgQueueError(Exception):
    """Stand above every error that pgqueue raises.

    Attributes:
        sqlstate: the server's five-character code when the server refused, else None.
    """

    __module__ = "pgqueue"
    sqlstate: str | None = None


class ConfigurationError(PgQueueError, ValueError):
    """Say that an option, a setting or a DSN is wrong."""

    __module__ = "pgqueue"


class TaskNotFoundError(PgQueueError, LookupError):
    """Say that no task is registered under a name."""

    __module__ = "pgqueue"


class TaskAlreadyRegisteredError(PgQueueError, ValueError):
    """Say that two different functions claim one task name."""

    __module__ = "pgqueue"


class NotSerializableError(PgQueueError, TypeError):
    """Say that a value cannot be written as JSON.

    Attributes:
        path: where the value stands, as a JSON path such as `$.args[2].x`.
    """

    __module__ = "pgqueue"

    def __init__(self, message: str, path: str = "$") -> None:
        """Keep the JSON path beside the message."""
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        """Give the message; the path is already in it."""
        return str(self.args[0])


class DecodeError(PgQueueError, ValueError):
    """Say that stored JSON cannot be read back: broken text or a malformed tagged value.

    Attributes:
        path: where the value stands, as a JSON path such as `$.args[2].x`.
    """

    __module__ = "pgqueue"

    def __init__(self, message: str, path: str = "$") -> None:
        """Keep the JSON path beside the message."""
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        """Give the message; the path is already in it."""
        return str(self.args[0])


class BadArgumentsError(PgQueueError, TypeError):
    """Say that a call does not fit the signature of its task."""

    __module__ = "pgqueue"


class ArgumentGoneError(PgQueueError, LookupError):
    """Say that an argument of a job stands for a row that does not exist any more."""

    __module__ = "pgqueue"


class RefusedJobError(PgQueueError, ValueError):
    """Say that the server refused a job row (SQLSTATE PQ001)."""

    __module__ = "pgqueue"


class SchemaError(PgQueueError):
    """Stand above everything that is wrong with the installed schema.

    Attributes:
        needed: the schema version this program needs, if known.
        found: the schema version the database has, if any.
    """

    __module__ = "pgqueue"

    def __init__(
        self, message: str = "", needed: int | None = None, found: int | None = None
    ) -> None:
        """Keep both versions beside the message."""
        super().__init__(message, needed, found)
        self.needed = needed
        self.found = found

    def __str__(self) -> str:
        """Give the message; the versions are already in it."""
        return str(self.args[0])


class SchemaMissingError(SchemaError):
    """Say that the database has no pgqueue schema."""

    __module__ = "pgqueue"


class SchemaOutdatedError(SchemaError):
    """Say that the database has an older schema than this program needs."""

    __module__ = "pgqueue"


class SchemaTooNewError(SchemaError):
    """Say that the database has a newer, breaking schema."""

    __module__ = "pgqueue"


class SchemaModifiedError(SchemaError):
    """Say that the installed schema is not the one that was released."""

    __module__ = "pgqueue"


class JobError(PgQueueError):
    """Stand above everything that is wrong with one job.

    Attributes:
        job_id: the job it is about, or None if it is not known here.
    """

    __module__ = "pgqueue"

    def __init__(self, message: str = "", job_id: int | None = None) -> None:
        """Keep the job's id beside the message."""
        super().__init__(message, job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        """Give the message alone."""
        return str(self.args[0])


class JobNotFoundError(JobError, LookupError):
    """Say that there is no such job (SQLSTATE PQ002)."""

    __module__ = "pgqueue"


class ScheduleNotFoundError(PgQueueError, LookupError):
    """Say that there is no schedule of this name."""

    __module__ = "pgqueue"


class JobStateError(JobError):
    """Say that the job's state does not allow this, as retrying a running job (SQLSTATE PQ003)."""

    __module__ = "pgqueue"


class JobFailedError(JobError):
    """Say that a job whose result was asked for has none: it failed, was cancelled or expired.

    Attributes:
        state: `failed`, `cancelled` or `expired`.
        kind: class of the exception of its last attempt, as in `pgqueue.job_errors`; empty without
            one.
        message: of that exception.
        traceback: of that exception, as text; Python shows it below this one's.
        attempt: attempts that were begun.
    """

    __module__ = "pgqueue"

    def __init__(
        self,
        message: str = "",
        job_id: int | None = None,
        *,
        state: str = "failed",
        kind: str = "",
        error: str = "",
        traceback: str = "",
        attempt: int = 0,
    ) -> None:
        """Keep what is known of the failure beside the message."""
        super().__init__(message, job_id)
        self.state = state
        self.kind = kind
        self.message = error
        self.traceback = traceback
        self.attempt = attempt
        if traceback:
            self.add_note(f"In the worker:\n{traceback}")


class ResultTimeoutError(PgQueueError, TimeoutError):
    """Say that a job or a group was not over in the time that somebody waited for it."""

    __module__ = "pgqueue"


class DuplicateJobError(JobError):
    """Say that another job has the unique key, and no second one may have it (SQLSTATE PQ006).

    Attributes:
        job_id: the job that has it; of a retry, the job that was to be retried.
    """

    __module__ = "pgqueue"


class QueueFullError(PgQueueError):
    """Say that too many jobs wait in a queue for another to be enqueued (SQLSTATE PQ007)."""

    __module__ = "pgqueue"


class LeaseLostError(JobError):
    """Say that a job or a worker is not ours any more (SQLSTATE PQ005)."""

    __module__ = "pgqueue"


class ConnectionLostError(PgQueueError, ConnectionError):
    """Say that the connection to PostgreSQL broke."""

    __module__ = "pgqueue"


class JobTimeout(Exception):
    """Tell a running task that its timeout has passed; raised inside the task."""

    __module__ = "pgqueue"


#: The codes that the SQL functions and triggers of pgqueue raise, and the error each becomes.
SQLSTATES: dict[str, type[PgQueueError]] = {
    "PQ001": RefusedJobError,
    "PQ002": JobNotFoundError,
    "PQ003": JobStateError,
    "PQ004": ConfigurationError,
    "PQ005": LeaseLostError,
    "PQ006": DuplicateJobError,
    "PQ007": QueueFullError,
}


def from_sqlstate(code: str | None, message: str, hint: str | None = None) -> PgQueueError | None:
    """Turn what the server raised into an error of this tree.

    Args:
        code: the SQLSTATE.
        message: the server's primary message.
        hint: the server's hint, appended to the message after a semicolon.

    Returns:
        The error, not raised; None when the code is not one of ours.
    """
    kind = SQLSTATES.get(code) if code is not None else None
    if kind is None:
        return None
    error = kind(f"{message}; {hint}" if hint else message)
    error.sqlstate = code
    return error


def suggest(name: str, known: Iterable[str]) -> str:
    """Name the nearest known word for one that is not known.

    Returns:
        `; did you mean 'x'?`, or the empty string when nothing is near.
    """
    # The comparison is quadratic in the length, so a hostile name is cut first.
    near = difflib.get_close_matches(name[:200], known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def shown(value: object) -> str:
    """Write an option's value into a message, short and without calling code of strangers.

    Never to be used for a job's arguments.
    """
    kind = type(value)
    if kind is str:
        text = str(value)
        cut = repr(text[:_SHOWN_CHARACTERS])
        return cut if len(text) <= _SHOWN_CHARACTERS else f"{cut}… ({len(text)} characters)"
    if isinstance(value, int) and kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= _SHOWN_INT_BITS else f"an int of {bits} bits"
    return repr(value) if kind in _SHOWN_TYPES else f"a value of type {kind.__name__}"
