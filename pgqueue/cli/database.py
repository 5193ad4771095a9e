"""Where the database is, as the command line says it."""

from argparse import Namespace

from pgqueue.api.app import PgQueue
from pgqueue.cli.output import note
from pgqueue.db import connections
from pgqueue.db.embedded import is_embedded


def warn_of_password(words: Namespace) -> None:
    """Say on standard error that a password was typed where others can read it."""
    dsn: str | None = words.dsn
    if dsn and not is_embedded(dsn) and connections.parameters(dsn).get("password"):
        note(
            "warning: a password on the command line can be read by other users of this machine; "
            f"give the DSN in {connections.DSN_VARIABLE}, or the password in PGPASSWORD or "
            "~/.pgpass"
        )


def open_app(words: Namespace) -> PgQueue:
    """Give the app of the database that was named; a context manager."""
    return PgQueue(words.dsn)
