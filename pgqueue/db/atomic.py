"""The connection of an atomic task: a transaction that the worker begins and ends.

It is opened when first needed and kept for the next job; a broken one is closed and another opened.
Nothing is prepared and nothing is left to the session, so that it works behind a transaction
pooler: all settings stand in the message that begins the transaction.
"""

import asyncio
import contextlib
import random
import time
from typing import Any, Final, LiteralString, NoReturn

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from pgqueue.core.errors import ConnectionLostError, PgQueueError
from pgqueue.db import connections
from pgqueue.db.statements.base import Statement

#: Seconds in which a connection must be had, and the longest pause between two tries.
_PATIENCE: Final = 10.0
_PAUSE: Final = 0.5

# RESET: what another task has set for the session is none of this one's affair. Keepalives: the
# server gives up the transaction, and its locks, of a child that the network has cut off.
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; RESET ALL; RESET ROLE; "
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL tcp_keepalives_idle = 5; SET LOCAL tcp_keepalives_interval = 2; "
    "SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = 8000; "
)
_SINCE_17: Final = "SET LOCAL transaction_timeout = 0; "
# A statement of a killed child goes on until the server looks whether anybody waits for it.
_WATCHED: Final = "SET LOCAL client_connection_check_interval = '2s'; "
_CAN_WATCH: Final = "SET client_connection_check_interval = '2s'"
_MARKED: Final = "SET LOCAL pgqueue.atomic = {}"


class TransactionEnded(PgQueueError):
    """Say that an atomic task has ended its transaction itself, and so had effects of its own."""

    __module__ = "pgqueue"


class TransactionFailed(PgQueueError):
    """Say that an atomic task has left a transaction that cannot be committed."""

    __module__ = "pgqueue"


class LentConnection(psycopg.Connection[TupleRow]):
    """A connection in a transaction that is not the task's to end."""

    lent: bool = False
    watched: bool = False

    def commit(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("commit")
        super().commit()

    def rollback(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("rollback")
        super().rollback()

    def close(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("close")
        super().close()


class AsyncLentConnection(psycopg.AsyncConnection[TupleRow]):
    """See `LentConnection`."""

    lent: bool = False
    watched: bool = False

    async def commit(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("commit")
        await super().commit()

    async def rollback(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("rollback")
        await super().rollback()

    async def close(self) -> None:
        """Refuse, while a task has it."""
        if self.lent:
            _refuse("close")
        await super().close()


class Transaction:
    """One transaction after the other, over one connection; for one thread.

    Args:
        dsn: see `connections.resolve`.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._dsn = dsn
        self._connection: LentConnection | None = None

    @property
    def connection(self) -> LentConnection:
        """What the task gets."""
        assert self._connection is not None
        return self._connection

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke, so that the transaction is rolled back, or will be."""
        return (
            self._connection is None or self._connection.pgconn.status != psycopg.pq.ConnStatus.OK
        )

    def begin(self, mark: str) -> None:
        """Begin, on a new connection where the old one has died; tries for some seconds.

        Raises:
            ConnectionLostError: no connection could be had.
            psycopg.Error: the server refused what it was asked.
        """
        until, pause = time.monotonic() + _PATIENCE, 0.05
        while True:
            try:
                connection = self._connection
                if connection is None or not connections.is_alive(connection):
                    self._drop()
                    connection = self._connection = _connect(connections.resolve(self._dsn))
                connection.execute(_beginning(connection, mark))
                break
            except (ConnectionLostError, psycopg.OperationalError):
                self._drop()
                if time.monotonic() + pause > until:
                    raise
                # Full jitter, so that all slots of all workers do not come back at one moment.
                time.sleep(pause * random.random())
                pause = min(_PAUSE, 2 * pause)
        connection.lent = True

    def finish(self, statement: Statement[str]) -> str:
        """Send the statement that finishes the job.

        Raises:
            TransactionEnded: the transaction is over already.
            TransactionFailed: it can only be rolled back.
            psycopg.Error: the server refused it.
        """
        connection = self.connection
        _check(connection)
        _tidy(connection, psycopg.Cursor)
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        return statement.decode(cursor.execute(statement.text, statement.params).fetchall())

    def commit(self) -> None:
        """Commit.

        Raises:
            TransactionFailed: the server rolled back instead.
            psycopg.Error: the server refused it; with `is_lost`, nobody knows whether it did it.
        """
        connection = self.connection
        connection.lent = False
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        _check_committed(cursor.execute("COMMIT").statusmessage)

    def rollback(self, *, interrupted: bool = False) -> None:
        """Roll back; never raises.

        Args:
            interrupted: an exception came from outside in the middle of something; then the
                connection is not trusted any more, nor waited for.
        """
        connection = self._connection
        if connection is None:
            return
        connection.lent = False
        try:
            if interrupted or not _can_roll_back(connection):
                self._drop()
            else:
                _tidy(connection, psycopg.Cursor)
                connection.rollback()
        except Exception:
            self._drop()

    def interrupt(self) -> None:
        """End the statement that is under way, if any; for another thread, never raises."""
        connection = self._connection
        with contextlib.suppress(Exception):
            if connection is not None:
                connection.cancel_safe(timeout=2)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.lent = False
        with contextlib.suppress(Exception):
            if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Or the server goes on with the statement, and holds its locks.
                connection.cancel_safe(timeout=2)
        with contextlib.suppress(Exception):
            connection.close()


class AsyncTransaction:
    """One transaction after the other, over one connection of an event loop; see `Transaction`.

    Args:
        dsn: see `connections.resolve`.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._dsn = dsn
        self._connection: AsyncLentConnection | None = None

    @property
    def connection(self) -> AsyncLentConnection:
        """What the task gets."""
        assert self._connection is not None
        return self._connection

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke; see `Transaction.is_lost`."""
        return (
            self._connection is None or self._connection.pgconn.status != psycopg.pq.ConnStatus.OK
        )

    async def begin(self, mark: str) -> None:
        """Begin; see `Transaction.begin`."""
        until, pause = time.monotonic() + _PATIENCE, 0.05
        while True:
            try:
                connection = self._connection
                if connection is None or not connections.is_alive(connection):
                    await self._drop()
                    connection = self._connection = await _aconnect(connections.resolve(self._dsn))
                await connection.execute(_beginning(connection, mark))
                break
            except (ConnectionLostError, psycopg.OperationalError):
                await self._drop()
                if time.monotonic() + pause > until:
                    raise
                await asyncio.sleep(pause * random.random())
                pause = min(_PAUSE, 2 * pause)
        connection.lent = True

    async def finish(self, statement: Statement[str]) -> str:
        """Send the statement that finishes the job; see `Transaction.finish`."""
        connection = self.connection
        _check(connection)
        _tidy(connection, psycopg.AsyncCursor)
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute(statement.text, statement.params)
        return statement.decode(await cursor.fetchall())

    async def commit(self) -> None:
        """Commit; see `Transaction.commit`."""
        connection = self.connection
        connection.lent = False
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute("COMMIT")
        _check_committed(cursor.statusmessage)

    async def rollback(self, *, interrupted: bool = False) -> None:
        """Roll back; see `Transaction.rollback`."""
        connection = self._connection
        if connection is None:
            return
        connection.lent = False
        try:
            if interrupted or not _can_roll_back(connection):
                await self._drop()
            else:
                _tidy(connection, psycopg.AsyncCursor)
                await connection.rollback()
        except Exception:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.lent = False
        with contextlib.suppress(Exception):
            if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await connection.cancel_safe(timeout=2)
        with contextlib.suppress(Exception):
            await connection.close()


def _connect(dsn: str) -> LentConnection:
    found = connections.parameters(dsn)
    failure: psycopg.Error
    try:
        connection = LentConnection.connect(**found, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        failure = error
    else:
        with contextlib.suppress(psycopg.Error):
            connection.execute(_CAN_WATCH)
            connection.watched = True
        return connection
    raise connections.unreachable(failure, found)


async def _aconnect(dsn: str) -> AsyncLentConnection:
    found = connections.parameters(dsn)
    failure: psycopg.Error
    try:
        connection = await AsyncLentConnection.connect(
            **found, autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        failure = error
    else:
        with contextlib.suppress(psycopg.Error):
            await connection.execute(_CAN_WATCH)
            connection.watched = True
        return connection
    raise connections.unreachable(failure, found)


def _beginning(connection: LentConnection | AsyncLentConnection, mark: str) -> sql.Composed:
    text: LiteralString = _BEGIN
    if connection.info.server_version >= 170000:
        text += _SINCE_17
    if connection.watched:
        text += _WATCHED
    return sql.SQL(text + _MARKED).format(sql.Literal(mark))


def _check(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    match connection.pgconn.transaction_status:
        case TransactionStatus.IDLE:
            raise ended()
        case TransactionStatus.INERROR:
            raise TransactionFailed(
                "a statement of the task failed, and the task went on; its transaction can only be "
                "rolled back; put what may fail into a block of "
                "`with context.connection.transaction():`"
            )
        case TransactionStatus.ACTIVE:
            raise TransactionFailed(
                "the task returned while a statement of its transaction was under way; wait for "
                "what it has begun, and read results to their end"
            )


def ended() -> TransactionEnded:
    """Say that the transaction was ended by the task."""
    return TransactionEnded(
        "the task has ended its transaction itself, so its job could not be finished in it; "
        "leave COMMIT and ROLLBACK to the worker"
    )


def _can_roll_back(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    return connection.pgconn.transaction_status in (
        TransactionStatus.IDLE,
        TransactionStatus.INTRANS,
        TransactionStatus.INERROR,
    )


def _tidy(connection: Any, cursor_factory: type) -> None:
    """Take back what the task has said about its cursors: the next one has its own wishes."""
    connection.row_factory = tuple_row
    connection.cursor_factory = cursor_factory
    connection.prepare_threshold = None


def _check_committed(status: str | None) -> None:
    if status != "COMMIT":
        raise TransactionFailed(
            f"the transaction was to be committed; the server answered {status}"
        )


def _refuse(what: str) -> NoReturn:
    raise psycopg.ProgrammingError(
        f"{what}() is not the task's to call: an atomic task's transaction is committed when it "
        "returns and rolled back when it raises; for a part that may fail use a block of "
        "`with context.connection.transaction():`"
    )
