"""What a driver's error means to us, whichever driver it was.

psycopg, psycopg2, asyncpg and SQLAlchemy each wrap the server's report differently; here it is
unwrapped, by attributes and not by classes, so that none of them need be imported.
"""

import re

from pgqueue.core.errors import (
    JobError,
    PgQueueError,
    RefusedJobError,
    SchemaMissingError,
    SchemaOutdatedError,
    from_sqlstate,
)
from pgqueue.db.status import UPGRADE

_JOB = re.compile(r"\bjob ([0-9]+)\b")
_MISSING = frozenset({"42P01", "3F000"})  # undefined table, invalid schema name
_OUTDATED = frozenset({"42883", "42703"})  # undefined function, undefined column


def translate(error: BaseException, *, chained: bool = True) -> PgQueueError | None:
    """Give our error for what the server reported.

    Args:
        error: what the driver raised.
        chained: whether its text is free of the job's arguments, as far as it depends on the
            driver, so that it may be the cause of ours.

    Returns:
        An error to raise in its place, outside of the ``except`` that caught it, lest that becomes
        its context; None when the driver's own says it better, as for a deadlock, a serialization
        failure or a lost connection of the caller's.
    """
    code, message, hint = report(error)
    if code is None:
        return None
    ours = _ours(code, message, hint)
    # A value that the server cannot read is quoted in its report.
    if ours is not None and chained and not code.startswith("22"):
        ours.__cause__ = error
    return ours


def report(error: BaseException) -> tuple[str | None, str, str | None]:
    """Unwrap what the server said.

    Returns:
        The SQLSTATE, or None where the error is not the server's; the primary message, which
        holds no job's arguments; the hint.
    """
    found: BaseException | None = error
    for _ in range(4):
        if found is None:
            break
        code = getattr(found, "sqlstate", None) or getattr(found, "pgcode", None)
        diag = getattr(found, "diag", None)
        if code and diag is not None:  # psycopg, psycopg2
            return code, diag.message_primary or "", diag.message_hint
        if code and hasattr(found, "message"):  # asyncpg
            return code, str(found.message or ""), getattr(found, "hint", None)
        # SQLAlchemy has the driver's error in orig, and for asyncpg one more shell around it.
        found = getattr(found, "orig", None) or found.__cause__
    return None, "", None


def _ours(code: str, message: str, hint: str | None) -> PgQueueError | None:
    ours = from_sqlstate(code, message, hint)
    if ours is not None:
        if isinstance(ours, JobError):
            named = _JOB.search(message)
            ours.job_id = int(named[1]) if named else None
        return ours
    if code == "25P02":
        ours = PgQueueError(
            "the transaction of this connection has failed already; "
            "roll it back, or to a savepoint, before enqueueing"
        )
    elif code in _MISSING and "pgqueue" in message:
        ours = SchemaMissingError(f"pgqueue is not installed in this database; {UPGRADE}")
    elif code in _OUTDATED and ("pgqueue" in message or "jobs" in message):
        ours = SchemaOutdatedError(
            f"this database has an older pgqueue than this program ({message}); {UPGRADE}"
        )
    elif code.startswith("22"):
        # A value the server cannot read. The primary message names the value's type; the rest of
        # the report, which may quote the value, is left out.
        ours = RefusedJobError(f"the server cannot store the job: {_unquoted(message)}")
    if ours is not None:
        ours.sqlstate = code
    return ours


def _unquoted(message: str) -> str:
    return message.split(': "', 1)[0]
