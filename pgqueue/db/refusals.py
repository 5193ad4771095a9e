"""What it means for the worker when the server refuses a statement of a ``session``."""

from psycopg import pq

from pgqueue.core.errors import ConnectionLostError, PgQueueError, from_sqlstate

# Ends of a session: shutdown, crash of a neighbour, database dropped, idle too long.
_FAREWELLS = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04")


class StatementError(PgQueueError):
    """The server refused a statement of the worker.

    Attributes:
        sqlstate: its five characters; empty where the server gave none.
    """

    __module__ = "pgqueue"

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate: str = sqlstate

    @property
    def is_about_data(self) -> bool:
        """Whether the values sent were at fault, so that sending fewer may help.

        Also what a trigger of the application's raises (P0).
        """
        return self.sqlstate[:2] in ("22", "23", "54", "P0")

    @property
    def may_pass(self) -> bool:
        """Whether the same statement may succeed a moment later."""
        return self.sqlstate[:2] in ("40", "53", "55", "57", "58")


def refusal(result: "pq.abc.PGresult", *, leading: bool) -> PgQueueError:
    """Give the error for a result that is one.

    Args:
        leading: it is the result of a setting that travels with a statement.

    Returns:
        One of ours, a `StatementError`, or a `ConnectionLostError` where the connection is of no
        use any more.
    """

    def field(which: pq.DiagnosticField) -> str:
        return (result.error_field(which) or b"").decode("utf-8", "replace")

    state = field(pq.DiagnosticField.SQLSTATE)
    message = field(pq.DiagnosticField.MESSAGE_PRIMARY)
    known = from_sqlstate(state, message, field(pq.DiagnosticField.MESSAGE_HINT) or None)
    if known is not None:
        return known
    if state == "25006" or (leading and state == "0A000"):
        # Our sessions may write wherever that is possible at all.
        return ConnectionLostError(f"the server is not the primary any more: {message}")
    if state in _FAREWELLS or field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in ("FATAL", "PANIC"):
        return ConnectionLostError(f"the connection to PostgreSQL was lost: {message}")
    return StatementError(f"the server refused a statement: {message}", state)
