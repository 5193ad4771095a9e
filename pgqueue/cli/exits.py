"""What a command ends with: an exit code, and one sentence where something went wrong."""

from enum import IntEnum

from pgqueue.core.errors import (
    BadArgumentsError,
    ConfigurationError,
    ConnectionLostError,
    NotSerializableError,
    PgQueueError,
    RefusedJobError,
    SchemaMissingError,
    SchemaModifiedError,
    SchemaOutdatedError,
    SchemaTooNewError,
    TaskAlreadyRegisteredError,
    TaskNotFoundError,
)
from pgqueue.db import failures


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    WRONG_INPUT = 2
    NO_CONNECTION = 3
    SCHEMA = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


#: What each code means; the reference shows it.
MEANINGS: dict[Exit, str] = {
    Exit.OK: "done; a worker: stopped when told to, or with nothing left to do",
    Exit.FAILED: (
        "not done, or the answer is no: there is no such job, its state does not allow it, the "
        "server refused, `health` is not ok, `check` or `schema verify` found something"
    ),
    Exit.WRONG_INPUT: (
        "wrong input: an unknown command or option, a wrong value, arguments that do not fit the "
        "task, an application that cannot be imported"
    ),
    Exit.NO_CONNECTION: "PostgreSQL cannot be reached, or the connection to it broke",
    Exit.SCHEMA: (
        "the schema is missing, older than this program needs, newer and breaking, or modified"
    ),
    Exit.INTERRUPTED: "interrupted by Ctrl-C; a worker stops gracefully instead, with 0",
    Exit.PIPE_CLOSED: "whoever read the output, such as `head`, had enough",
}

_SCHEMA = (SchemaMissingError, SchemaOutdatedError, SchemaTooNewError, SchemaModifiedError)
_INPUT = (
    ConfigurationError,
    BadArgumentsError,
    NotSerializableError,
    RefusedJobError,
    TaskAlreadyRegisteredError,
    TaskNotFoundError,
)
_NO_PRIVILEGE = "42501"


class UsageError(Exception):
    """Say that what was typed is no command line of ours."""


def explain(error: Exception) -> tuple[str, Exit] | None:
    """Give the sentence and the exit code for an error; None for one that is a fault of ours."""
    match error:
        case UsageError():
            return str(error), Exit.WRONG_INPUT
        case ConnectionLostError():
            return str(error), Exit.NO_CONNECTION
        case PgQueueError():
            if isinstance(error, _SCHEMA):
                return str(error), Exit.SCHEMA
            return str(error), Exit.WRONG_INPUT if isinstance(error, _INPUT) else Exit.FAILED
    # What the driver raised and the library does not say better: no right, a deadlock.
    code, message, _ = failures.report(error)
    if code is None:
        return None
    remedy = "; connect as a role that may" if code == _NO_PRIVILEGE else ""
    return f"the server refused: {message} (SQLSTATE {code}){remedy}", Exit.FAILED
