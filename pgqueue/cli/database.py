"""Where the database is, as the command line says it."""

from argparse import Namespace

from pgqueue.api.app import PgQueue
from pgqueue.cli.output import note
from pgqueue.db import connections
from pgqueue.db.embedded import is_embedded


def warn_of_password(words: Namespace) -> None:
    """Say on standard error that a password was typed where others can read it."""
    given = {
        connections.DSN_VARIABLE: words.dsn,
        "PGQUEUE_LISTEN_DSN": getattr(words, "listen_dsn", None),
    }
    for variable, dsn in given.items():
        if dsn and not is_embedded(dsn) and connections.parameters(dsn).get("password"):
            note(
                "warning: a password on the command line can be read by other users of this "
                f"machine; give the DSN in {variable}, or the password in PGPASSWORD or ~/.pgpass"
            )


def open_app(words: Namespace) -> PgQueue:
    """Give the app of the database that was named; a context manager."""
    return PgQueue(words.dsn)
