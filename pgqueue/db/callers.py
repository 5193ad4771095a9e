"""The caller's own connection: what it is, and how a statement is sent over it.

A job is written in the caller's transaction, so that it exists exactly if the rows beside it do.
Nothing here begins, commits or rolls back: a connection that begins a transaction with its first
statement does so as for any statement of the caller's.

What was handed in is recognised by the names of its classes, so that neither SQLAlchemy nor
asyncpg is imported by a program that does not use it; nor Django, to whose connection a statement
is sent as any other of the application's: its hooks and its log of queries see it.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import cache, lru_cache
from typing import Any, Final, Protocol, TypeVar, cast

import psycopg
from psycopg.rows import tuple_row

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.failures import report, translate
from pgqueue.db.statements import copying
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.base import Rows, Statement, colons, numbered

T = TypeVar("T")


class Lender(Protocol):
    """Lend the connections of a framework to calls that are given none; it owns them."""

    def connection(self) -> object:
        """Give the connection of this thread."""

    def in_transaction(self) -> bool:
        """Tell whether that is in a transaction: others do not see what was written over it."""

    async def aside(self, call: Callable[[], T]) -> T:
        """Make a call from a coroutine, where these connections may be used."""

    def dsn(self) -> str:
        """Give where they go, for connections of our own."""


class Kind(Enum):
    """Name the connections that are understood."""

    PSYCOPG = auto()
    PSYCOPG_ASYNC = auto()
    ASYNCPG = auto()
    ALCHEMY = auto()
    ALCHEMY_SESSION = auto()
    ALCHEMY_ASYNC = auto()
    ALCHEMY_ASYNC_SESSION = auto()
    DJANGO = auto()


#: By the package and the name of a class among the ancestors of what was handed in.
_KINDS = {
    ("psycopg", "Connection"): Kind.PSYCOPG,
    ("psycopg", "AsyncConnection"): Kind.PSYCOPG_ASYNC,
    ("asyncpg", "Connection"): Kind.ASYNCPG,
    ("asyncpg", "PoolConnectionProxy"): Kind.ASYNCPG,
    ("sqlalchemy", "Connection"): Kind.ALCHEMY,
    ("sqlalchemy", "Session"): Kind.ALCHEMY_SESSION,
    ("sqlalchemy", "scoped_session"): Kind.ALCHEMY_SESSION,
    ("sqlalchemy", "AsyncConnection"): Kind.ALCHEMY_ASYNC,
    ("sqlalchemy", "AsyncSession"): Kind.ALCHEMY_ASYNC_SESSION,
    ("sqlalchemy", "async_scoped_session"): Kind.ALCHEMY_ASYNC_SESSION,
    ("django", "BaseDatabaseWrapper"): Kind.DJANGO,
    ("django", "ConnectionProxy"): Kind.DJANGO,
}
#: What people hand in instead, and what to do then.
_NEARLY = {
    ("psycopg", "Cursor"): "give the connection of the cursor: cursor.connection",
    ("psycopg", "AsyncCursor"): "give the connection of the cursor: cursor.connection",
    ("psycopg", "Transaction"): "give the connection of the transaction",
    ("psycopg", "AsyncTransaction"): "give the connection of the transaction",
    ("psycopg_pool", "ConnectionPool"): "take one of it: with pool.connection() as connection",
    ("psycopg_pool", "AsyncConnectionPool"): (
        "take one of it: async with pool.connection() as connection"
    ),
    ("asyncpg", "Pool"): "take one of it: async with pool.acquire() as connection",
    ("sqlalchemy", "Engine"): "take one of it: with engine.begin() as connection",
    ("sqlalchemy", "AsyncEngine"): "take one of it: async with engine.begin() as connection",
    ("sqlalchemy", "sessionmaker"): "make a session: with maker.begin() as session",
    ("sqlalchemy", "async_sessionmaker"): "make a session: async with maker.begin() as session",
}


def kind_of(connection: object) -> Kind:
    """Recognise a connection by its class.

    Raises:
        ConfigurationError: it is none of those that are understood.
    """
    return _kind(cast("Any", type(connection)))


def check_connection(connection: object) -> object:
    """Give back a connection that is understood, or raise ConfigurationError."""
    kind_of(connection)
    return connection


@lru_cache(maxsize=256)
def _kind(kind: type) -> Kind:
    hint = ""
    for ancestor in kind.__mro__:
        key = (ancestor.__module__.partition(".")[0], ancestor.__name__)
        if key in _KINDS:
            return _KINDS[key]
        hint = hint or _NEARLY.get(key, "")
    raise ConfigurationError(
        "connection must be a connection of psycopg, asyncpg or Django, or a connection or session "
        f"of SQLAlchemy; got {_name(kind)}" + (f"; {hint}" if hint else "")
    )


def run(connection: object, statement: Statement[T]) -> T:
    """Send a statement over a caller's connection, in whatever transaction that is in.

    Raises:
        ConfigurationError: it is no connection we know, or an async one.
        PgQueueError: the server refused the call.
        Exception: what the driver raises otherwise.
    """
    kind = kind_of(connection)
    match kind:
        case Kind.PSYCOPG:
            return on_psycopg(cast("psycopg.Connection[Any]", connection), statement)
        case Kind.ALCHEMY:
            return statement.decode(_on_alchemy(cast("Any", connection), statement))
        case Kind.ALCHEMY_SESSION:
            return statement.decode(_on_alchemy(cast("Any", connection).connection(), statement))
        case Kind.DJANGO:
            return statement.decode(_on_django(cast("Any", connection), statement))
    raise ConfigurationError(
        f"this call needs a sync connection; got {_name(type(connection))}, an async one; "
        "use the async form of the call, as aenqueue() for enqueue()"
    )


async def arun(connection: object, statement: Statement[T]) -> T:
    """Send a statement over a caller's async connection; see `run`."""
    kind = kind_of(connection)
    match kind:
        case Kind.PSYCOPG_ASYNC:
            return await on_psycopg_async(
                cast("psycopg.AsyncConnection[Any]", connection), statement
            )
        case Kind.ASYNCPG:
            return statement.decode(await _on_asyncpg(cast("Any", connection), statement))
        case Kind.ALCHEMY_ASYNC:
            return statement.decode(await _on_alchemy_async(cast("Any", connection), statement))
        case Kind.ALCHEMY_ASYNC_SESSION:
            inner = await cast("Any", connection).connection()
            return statement.decode(await _on_alchemy_async(inner, statement))
    raise ConfigurationError(
        f"this call needs an async connection; got {_name(type(connection))}, a sync one; "
        "use the sync form of the call, as enqueue() for aenqueue()"
    )


def on_psycopg(connection: psycopg.Connection[Any], statement: Statement[T]) -> T:
    """Send a statement over a psycopg connection, whatever factories it was given."""
    failure: Exception | None
    try:
        # Not connection.cursor(): its cursor_factory may want other placeholders, or answer in rows
        # of its own making.
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        rows = cursor.execute(statement.text, statement.params).fetchall()
        return statement.decode(rows)
    except psycopg.Error as error:
        failure = translate(error)
        if failure is None:
            raise
    raise failure


async def on_psycopg_async(connection: psycopg.AsyncConnection[Any], statement: Statement[T]) -> T:
    """Send a statement over an async psycopg connection; see `on_psycopg`."""
    failure: Exception | None
    try:
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute(statement.text, statement.params)
        return statement.decode(await cursor.fetchall())
    except psycopg.Error as error:
        failure = translate(error)
        if failure is None:
            raise
    raise failure


def must_copy(connection: object, kind: Kind) -> None:
    """Pass when a caller's connection is of the kind that this COPY is written for.

    Raises:
        ConfigurationError: it is another.
    """
    if kind_of(connection) is not kind:
        raise ConfigurationError(
            f"this call needs a psycopg {'Async' if kind is Kind.PSYCOPG_ASYNC else ''}Connection, "
            f"for COPY; got {_name(type(connection))}; use enqueue_many() or aenqueue_many()"
        )


def copy(connection: psycopg.Connection[Any], jobs: Iterable[JobSpec]) -> int:
    """Insert jobs by COPY; gives how many."""
    now = on_psycopg(connection, copying.server_time())
    total = 0
    try:
        with psycopg.Cursor(connection, row_factory=tuple_row).copy(copying.COPY) as target:
            for text, count in copying.lines(jobs, now):
                target.write(text)
                total += count
    except psycopg.Error as error:
        failure = translate(error, chained=False) or _without_line(error)
    else:
        return total
    raise failure


async def acopy(connection: psycopg.AsyncConnection[Any], jobs: Iterable[JobSpec]) -> int:
    """Insert jobs by COPY; gives how many."""
    now = await on_psycopg_async(connection, copying.server_time())
    total = 0
    try:
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        async with cursor.copy(copying.COPY) as target:
            for text, count in copying.lines(jobs, now):
                await target.write(text)
                total += count
    except psycopg.Error as error:
        failure = translate(error, chained=False) or _without_line(error)
    else:
        return total
    raise failure


def _without_line(error: psycopg.Error) -> psycopg.Error:
    """Give the error of a COPY without the line that the server quotes in it; of the same class,
    for the caller's own retry to know."""
    _code, message, _hint = report(error)
    return type(error)(message) if message else error


async def _on_asyncpg(connection: Any, statement: Statement[Any]) -> Rows:
    text, names = numbered(statement.text)
    failure: Exception | None
    try:
        return cast(
            "Rows", await connection.fetch(text, *[statement.params[name] for name in names])
        )
    except Exception as error:
        failure = translate(error)
        if failure is None:
            raise
    raise failure


def _on_alchemy(connection: Any, statement: Statement[Any]) -> Rows:
    _check_dialect(connection)
    failure: Exception | None
    try:
        return cast(
            "Rows", connection.execute(_alchemy_text(statement.text), statement.params).fetchall()
        )
    except Exception as error:
        failure = translate(error, chained=False)
        if failure is None:
            _hide_parameters(error)
            raise
    # Unchained: SQLAlchemy's error prints the parameters, psycopg2's the statement with them in it.
    raise failure


async def _on_alchemy_async(connection: Any, statement: Statement[Any]) -> Rows:
    _check_dialect(connection)
    failure: Exception | None
    try:
        result = await connection.execute(_alchemy_text(statement.text), statement.params)
        return cast("Rows", result.fetchall())
    except Exception as error:
        failure = translate(error, chained=False)
        if failure is None:
            _hide_parameters(error)
            raise
    raise failure


#: What makes a statement that the server refuses leave the caller's transaction as it was. It all
#: travels in one message. Released, a savepoint costs the server some microseconds.
_BEFORE: Final = "SAVEPOINT pgqueue_call; "
_AFTER: Final = "; RELEASE SAVEPOINT pgqueue_call"
_UNDO: Final = "ROLLBACK TO SAVEPOINT pgqueue_call; RELEASE SAVEPOINT pgqueue_call"


def _on_django(connection: Any, statement: Statement[Any]) -> Rows:
    if connection.vendor != "postgresql":
        raise ConfigurationError(
            f"the connection must lead to PostgreSQL; got one of Django's {connection.vendor!r}"
        )
    failure: Exception | None
    try:
        if connection.get_autocommit():
            with connection.cursor() as cursor:
                cursor.execute(statement.text, statement.params)
                return cast("Rows", cursor.fetchall())
        return _in_savepoint(connection, statement)
    except Exception as error:
        failure = translate(error)
        if failure is None:
            raise
    raise failure


def _in_savepoint(connection: Any, statement: Statement[Any]) -> Rows:
    # The extended protocol takes one statement a message.
    apart = bool(connection.settings_dict.get("OPTIONS", {}).get("server_side_binding"))
    with connection.cursor() as cursor:
        if apart:
            cursor.execute(_BEFORE.rstrip("; "))
        try:
            if apart:
                cursor.execute(statement.text, statement.params)
                rows = cursor.fetchall()
                cursor.execute(_AFTER.lstrip("; "))
                return cast("Rows", rows)
            cursor.execute(_BEFORE + statement.text + _AFTER, statement.params)
            cursor.nextset()
            return cast("Rows", cursor.fetchall())
        except Exception as error:
            if report(error)[0] is not None:
                _undo(cursor)
            raise


def has_failed(connection: object) -> bool:
    """Tell whether the transaction of a connection of Django's can only be rolled back."""
    driver = cast("Any", connection).connection
    failed = psycopg.pq.TransactionStatus.INERROR
    return driver is not None and driver.info.transaction_status == failed


def copy_over(connection: object, jobs: Iterable[JobSpec]) -> int:
    """Insert jobs by COPY over a caller's connection; gives how many.

    Raises:
        ConfigurationError: it is none that can.
    """
    if kind_of(connection) is not Kind.DJANGO:
        must_copy(connection, Kind.PSYCOPG)
        return copy(cast("psycopg.Connection[Any]", connection), jobs)
    wrapper = cast("Any", connection)
    with wrapper.cursor() as cursor:
        if wrapper.get_autocommit():
            return copy(wrapper.connection, jobs)
        cursor.execute(_BEFORE.rstrip("; "))
        try:
            total = copy(wrapper.connection, jobs)
        except BaseException:
            _undo(cursor)
            raise
        cursor.execute(_AFTER.lstrip("; "))
        return total


def _undo(cursor: Any) -> None:
    with contextlib.suppress(Exception):
        for text in _UNDO.split("; "):
            cursor.execute(text)


@cache
def _alchemy_text(text: str) -> Any:
    return importlib.import_module("sqlalchemy").text(colons(text))


def _check_dialect(connection: Any) -> None:
    name = connection.dialect.name
    if name != "postgresql":
        raise ConfigurationError(
            f"the connection must lead to PostgreSQL; got one of SQLAlchemy's {name!r} dialect"
        )


def _hide_parameters(error: Exception) -> None:
    # A deadlock or a serialization failure stays SQLAlchemy's, for the caller's own retry to know;
    # but its text must not print the job's arguments.
    if hasattr(error, "hide_parameters"):
        error.hide_parameters = True


def _name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}".removeprefix("builtins.")
