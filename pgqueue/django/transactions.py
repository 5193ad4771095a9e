"""Atomic tasks in Django's transactions: what the ORM writes and the finish commit together."""

import contextlib
import logging
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, reset_queries
from django.db import transaction as transactions
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionDoesNotExist

from pgqueue.api.atomic import use_transactions
from pgqueue.core.errors import ConfigurationError, ConnectionLostError, shown
from pgqueue.db.atomic import TransactionFailed
from pgqueue.db.statements.base import Statement
from pgqueue.db.statements.finishing import MARK

#: PQTRANS_INERROR, which psycopg and psycopg2 both have from libpq.
_FAILED = 3

log = logging.getLogger("pgqueue.worker")


def use_django_connections(alias: str = DEFAULT_DB_ALIAS) -> None:
    """Let atomic tasks run inside `transaction.atomic()` of Django.

    Call it where the tasks are, once the settings are there. Then `@task(atomic=True)` needs no
    context: what the function writes through the ORM commits together with the finish of its job.

    Args:
        alias: of the database that holds the queue.

    Raises:
        ConfigurationError: there is no such database, or it is not PostgreSQL.
    """
    try:
        vendor = connections[alias].vendor
    except ConnectionDoesNotExist:
        vendor = ""
    if vendor != "postgresql":
        found = f"a {vendor} database" if vendor else "none of that name"
        raise ConfigurationError(
            f"alias must name a PostgreSQL database of DATABASES; {shown(alias)} is {found}"
        )
    use_transactions(partial(DjangoTransaction, alias))


class DjangoTransaction:
    """Django's transactions of one thread, one after the other; an `AtomicTransaction`.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._block: transactions.Atomic | None = None
        self._driver: Any = None
        self._committed = False

    @property
    def connection(self) -> Any:
        """The driver's connection that Django uses; the ORM needs none."""
        return self._driver

    @property
    def is_lost(self) -> bool:
        """Whether the connection of the transaction is gone."""
        # Not that of the wrapper: Django opens another when COMMIT has failed on a broken one.
        return self._driver is None or bool(self._driver.closed)

    def begin(self, mark: str) -> None:
        """Begin, on a connection that is neither broken nor older than CONN_MAX_AGE.

        Raises:
            ConnectionLostError: it cannot be opened.
        """
        close_old_connections()
        block = transactions.atomic(using=self._alias, durable=True)
        try:
            block.__enter__()
        except Exception as error:
            raise ConnectionLostError(f"Django cannot begin a transaction: {error}") from error
        self._block, self._committed = block, False
        self._driver = self._wrapper.connection
        # The first of its hooks, so that it is called before any of the application's can fail.
        transactions.on_commit(self._note_commit, using=self._alias)
        with self._wrapper.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [MARK, mark])

    def finish(self, statement: Statement[str]) -> str:
        """Send the statement that finishes the job.

        Raises:
            TransactionFailed: a statement failed, or `set_rollback()` was called.
            django.db.Error: the server refused it.
        """
        if self._wrapper.needs_rollback or self._driver.info.transaction_status == _FAILED:
            raise TransactionFailed(
                "the task has left its transaction to be rolled back: a statement failed, or "
                "set_rollback() was called; put what may fail into a block of "
                "`with transaction.atomic():`"
            )
        with self._wrapper.cursor() as cursor:
            cursor.execute(statement.text, dict(statement.params))
            return statement.decode(cursor.fetchall())

    def commit(self) -> None:
        """Commit, and call the hooks; one that raises is logged.

        Raises:
            django.db.Error: the server refused it; with `is_lost`, nobody knows.
        """
        block, self._block = self._block, None
        assert block is not None
        try:
            block.__exit__(None, None, None)
        except BaseException:
            if not self._committed:
                raise
            log.exception("a function given to on_commit() failed; its job has succeeded")
        if not self._committed:
            raise TransactionFailed("the transaction was to be committed; Django rolled it back")
        self._tidy()

    def rollback(self, *, interrupted: bool = False) -> None:
        """Roll back; never raises."""
        block, self._block = self._block, None
        with contextlib.suppress(Exception):
            if interrupted:
                # Somewhere in the middle of something, and perhaps for long.
                self._abandon()
            if block is not None:
                self._wrapper.needs_rollback = True
                block.__exit__(None, None, None)
        self._tidy()

    def interrupt(self) -> None:
        """End the statement that is under way, if any; for another thread, never raises."""
        with contextlib.suppress(Exception):
            self._driver.cancel()

    @property
    def _wrapper(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    def _note_commit(self) -> None:
        self._committed = True

    def _abandon(self) -> None:
        self.interrupt()
        with contextlib.suppress(Exception):
            self._driver.close()

    def _tidy(self) -> None:
        with contextlib.suppress(Exception):
            close_old_connections()
        reset_queries()
