"""Tasks that leave Django's connection in the middle of something."""

import contextlib
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_app.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402

from pgqueue import task  # noqa: E402


@task
def leave(how: str) -> None:
    """Leave a transaction, in one of the ways in which that happens."""
    if how == "autocommit off":
        transaction.set_autocommit(False)
    elif how != "by hand":
        transaction.atomic().__enter__()
        transaction.on_commit(lambda: os._exit(9))
    with connection.cursor() as cursor:
        if how == "by hand":
            cursor.execute("BEGIN")
        cursor.execute("INSERT INTO notes (text) VALUES ('never')")
        if how == "aborted":
            with contextlib.suppress(Exception):
                cursor.execute("SELECT 1 / 0")


@task
def use() -> list[bool]:
    """Use the connection, and tell in which state it was."""
    found = [connection.in_atomic_block, connection.get_autocommit()]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes (text) VALUES ('well')")
    return found
