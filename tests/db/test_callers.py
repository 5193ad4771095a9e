"""The caller's connection: a job exists exactly if the caller's own rows do."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import rows
from sqlalchemy import orm
from sqlalchemy.ext import asyncio as sa_asyncio

from pgqueue.core.errors import (
    ConfigurationError,
    PgQueueError,
    RefusedJobError,
    SchemaMissingError,
    SchemaOutdatedError,
)
from pgqueue.core.options import EnqueueOptions
from pgqueue.db import callers
from pgqueue.db.statements import adding
from pgqueue.db.statements.adding import JobSpec
from tests.fixtures.databases import Database

SECRET = "hunter2"
SPEC = JobSpec(
    task="mail.send",
    args=f'["{SECRET}"]',
    kwargs=f'{{"password":"{SECRET}"}}',
    options=EnqueueOptions(queue="mail", priority=3, meta={"secret": SECRET}),
)
GOOD = adding.enqueue(SPEC)
MANY = adding.enqueue_many([SPEC, SPEC])
#: Refused by the server, since Python did not look.
BAD = adding.enqueue(JobSpec(task="", args=SPEC.args, kwargs=SPEC.kwargs, options=SPEC.options))
BAD_JSON = adding.enqueue(JobSpec(task="t", args=f'["{SECRET}', kwargs=SPEC.kwargs))

BUSINESS = "INSERT INTO orders VALUES (1)"


class Sync:
    """One way to hand in a sync connection.

    Attributes:
        name: of the way.
        opened: gives what is handed in, and a function that executes SQL on it; a transaction has
            begun, or begins with the first statement.
    """

    def __init__(self, opened: Callable[[Database], Any]) -> None:
        self.name = opened.__name__
        self.opened = contextlib.contextmanager(opened)


@contextlib.contextmanager
def engine_of(db: Database, **options: Any) -> Iterator[sa.Engine]:
    url = db.dsn.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url, poolclass=sa.NullPool, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def psycopg_plain(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn)) as connection:
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_dict_rows(db: Database) -> Iterator[Any]:
    options: Any = {"row_factory": rows.dict_row, "cursor_factory": psycopg.ClientCursor}
    with contextlib.closing(psycopg.connect(db.dsn, **options)) as connection:
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_raw_cursors(db: Database) -> Iterator[Any]:
    options: Any = {"row_factory": rows.scalar_row, "cursor_factory": psycopg.RawCursor}
    with contextlib.closing(psycopg.connect(db.dsn, **options)) as connection:
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_always_prepared(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn, prepare_threshold=0)) as connection:
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_never_prepared(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn, prepare_threshold=None)) as connection:
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_autocommit_begun(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn, autocommit=True)) as connection:
        connection.execute("BEGIN")
        yield (
            connection,
            connection.execute,
            lambda: connection.execute("COMMIT"),
            lambda: connection.execute("ROLLBACK"),
        )


def psycopg_serializable(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        yield connection, connection.execute, connection.commit, connection.rollback


def psycopg_pipeline(db: Database) -> Iterator[Any]:
    with contextlib.closing(psycopg.connect(db.dsn)) as connection, connection.pipeline():
        yield connection, connection.execute, connection.commit, connection.rollback


def sqlalchemy_connection(db: Database) -> Iterator[Any]:
    with engine_of(db) as engine, engine.connect() as connection:
        yield (
            connection,
            lambda text: connection.execute(sa.text(text)),
            connection.commit,
            connection.rollback,
        )


def sqlalchemy_session(db: Database) -> Iterator[Any]:
    with engine_of(db) as engine, orm.Session(engine) as session:
        yield session, lambda text: session.execute(sa.text(text)), session.commit, session.rollback


def sqlalchemy_scoped_session(db: Database) -> Iterator[Any]:
    with engine_of(db) as engine:
        session = orm.scoped_session(orm.sessionmaker(engine))
        try:
            yield (
                session,
                lambda text: session.execute(sa.text(text)),
                session.commit,
                session.rollback,
            )
        finally:
            session.remove()


SYNC = [
    Sync(opened)
    for opened in (
        psycopg_plain,
        psycopg_dict_rows,
        psycopg_raw_cursors,
        psycopg_always_prepared,
        psycopg_never_prepared,
        psycopg_autocommit_begun,
        psycopg_serializable,
        psycopg_pipeline,
        sqlalchemy_connection,
        sqlalchemy_session,
        sqlalchemy_scoped_session,
    )
]
every_sync = pytest.mark.parametrize("way", SYNC, ids=lambda way: way.name)


@contextlib.asynccontextmanager
async def aengine_of(db: Database, driver: str) -> AsyncIterator[sa_asyncio.AsyncEngine]:
    url = db.tcp_dsn.replace("postgresql://", f"postgresql+{driver}://")
    engine = sa_asyncio.create_async_engine(url, poolclass=sa.NullPool)
    try:
        yield engine
    finally:
        await engine.dispose()


async def psycopg_async(db: Database) -> AsyncIterator[Any]:
    connection = await psycopg.AsyncConnection.connect(db.dsn)
    try:
        yield connection, connection.execute, connection.commit, connection.rollback
    finally:
        await connection.close()


async def psycopg_async_raw_cursors(db: Database) -> AsyncIterator[Any]:
    options: Any = {"row_factory": rows.dict_row, "cursor_factory": psycopg.AsyncRawCursor}
    connection = await psycopg.AsyncConnection.connect(db.dsn, **options)
    try:
        yield connection, connection.execute, connection.commit, connection.rollback
    finally:
        await connection.close()


async def asyncpg_connection(db: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(db.tcp_dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, connection.execute, transaction.commit, transaction.rollback
    finally:
        await connection.close()


async def asyncpg_of_a_pool(db: Database) -> AsyncIterator[Any]:
    pool = asyncpg.create_pool(db.tcp_dsn, min_size=1, max_size=1)
    async with pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, connection.execute, transaction.commit, transaction.rollback


async def sqlalchemy_async_psycopg(db: Database) -> AsyncIterator[Any]:
    async with aengine_of(db, "psycopg") as engine, engine.connect() as connection:
        yield (
            connection,
            lambda text: connection.execute(sa.text(text)),
            connection.commit,
            connection.rollback,
        )


async def sqlalchemy_async_asyncpg(db: Database) -> AsyncIterator[Any]:
    async with aengine_of(db, "asyncpg") as engine, engine.connect() as connection:
        yield (
            connection,
            lambda text: connection.execute(sa.text(text)),
            connection.commit,
            connection.rollback,
        )


async def sqlalchemy_async_session(db: Database) -> AsyncIterator[Any]:
    async with aengine_of(db, "asyncpg") as engine, sa_asyncio.AsyncSession(engine) as session:
        yield session, lambda text: session.execute(sa.text(text)), session.commit, session.rollback


class Async:
    """One way to hand in an async connection; see `Sync`."""

    def __init__(self, opened: Callable[[Database], AsyncIterator[Any]]) -> None:
        self.name = opened.__name__
        self.opened = contextlib.asynccontextmanager(opened)


ASYNC = [
    Async(opened)
    for opened in (
        psycopg_async,
        psycopg_async_raw_cursors,
        asyncpg_connection,
        asyncpg_of_a_pool,
        sqlalchemy_async_psycopg,
        sqlalchemy_async_asyncpg,
        sqlalchemy_async_session,
    )
]
every_async = pytest.mark.parametrize("way", ASYNC, ids=lambda way: way.name)


@pytest.fixture
def orders(db: Database) -> Callable[[], tuple[int, int]]:
    """Count business rows and jobs, as another session sees them."""
    db.execute("CREATE TABLE orders (id integer)")
    query = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM pgqueue.jobs)"
    return lambda: db.execute(query)[0]


def run(coroutine: Awaitable[None]) -> None:
    async def main() -> None:
        await coroutine

    asyncio.run(main())


@every_sync
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_job_and_row_or_neither(way: Sync, db: Database, orders: Any, commit: bool) -> None:
    with way.opened(db) as (connection, execute, do_commit, do_rollback):
        execute(BUSINESS)
        assert callers.run(connection, GOOD) > 0
        first, second = callers.run(connection, MANY)
        assert first < second
        assert orders() == (0, 0)
        do_commit() if commit else do_rollback()
    assert orders() == ((1, 3) if commit else (0, 0))


@every_async
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_job_and_row_or_neither_async(way: Async, db: Database, orders: Any, commit: bool) -> None:
    async def main() -> None:
        async with way.opened(db) as (connection, execute, do_commit, do_rollback):
            await execute(BUSINESS)
            assert await callers.arun(connection, GOOD) > 0
            first, second = await callers.arun(connection, MANY)
            assert first < second
            assert orders() == (0, 0)
            await (do_commit() if commit else do_rollback())

    run(main())
    assert orders() == ((1, 3) if commit else (0, 0))


@every_sync
def test_a_savepoint_takes_its_job_along(way: Sync, db: Database, orders: Any) -> None:
    with way.opened(db) as (connection, execute, do_commit, _):
        execute(BUSINESS)
        callers.run(connection, GOOD)
        execute("SAVEPOINT a")
        execute(BUSINESS)
        callers.run(connection, GOOD)
        execute("ROLLBACK TO a")
        do_commit()
    assert orders() == (1, 1)


@every_async
def test_a_savepoint_takes_its_job_along_async(way: Async, db: Database, orders: Any) -> None:
    async def main() -> None:
        async with way.opened(db) as (connection, execute, do_commit, _):
            await execute(BUSINESS)
            await callers.arun(connection, GOOD)
            await execute("SAVEPOINT a")
            await execute(BUSINESS)
            await callers.arun(connection, GOOD)
            await execute("ROLLBACK TO a")
            await do_commit()

    run(main())
    assert orders() == (1, 1)


def test_a_nested_transaction_of_psycopg(db: Database, orders: Any) -> None:
    with psycopg.connect(db.dsn) as connection, connection.transaction():
        connection.execute(BUSINESS)
        callers.run(connection, GOOD)
        with contextlib.suppress(ZeroDivisionError), connection.transaction():
            callers.run(connection, GOOD)
            raise ZeroDivisionError
    assert orders() == (1, 1)


def test_autocommit_writes_at_once(db: Database, orders: Any) -> None:
    callers.run(db.connect(), GOOD)
    assert orders() == (0, 1)
    with engine_of(db, isolation_level="AUTOCOMMIT") as engine, engine.connect() as connection:
        callers.run(connection, GOOD)
        assert orders() == (0, 2)

    async def main() -> None:
        plain = await asyncpg.connect(db.tcp_dsn)
        await callers.arun(plain, GOOD)
        await plain.close()
        async with await psycopg.AsyncConnection.connect(db.dsn, autocommit=True) as connection:
            await callers.arun(connection, GOOD)

    run(main())
    assert orders() == (0, 4)


def test_a_session_in_run_sync_is_a_sync_one(db: Database, orders: Any) -> None:
    async def main() -> None:
        async with aengine_of(db, "asyncpg") as engine, engine.begin() as connection:
            await connection.run_sync(lambda sync: callers.run(sync, GOOD))

    run(main())
    assert orders() == (0, 1)


@every_sync
def test_a_refusal_shows_no_arguments(way: Sync, db: Database) -> None:
    for bad, said in ((BAD, "task must be a name of 1 to 500 bytes"), (BAD_JSON, "cannot store")):
        with way.opened(db) as (connection, _, _, do_rollback):
            with pytest.raises(RefusedJobError, match=said) as caught:
                callers.run(connection, bad)
            assert SECRET not in all_text(caught.value)
            with contextlib.suppress(psycopg.errors.PipelineAborted):
                do_rollback()


@every_async
def test_a_refusal_shows_no_arguments_async(way: Async, db: Database) -> None:
    async def main(bad: Any, said: str) -> None:
        async with way.opened(db) as (connection, _, _, do_rollback):
            with pytest.raises(RefusedJobError, match=said) as caught:
                await callers.arun(connection, bad)
            assert SECRET not in all_text(caught.value)
            await do_rollback()

    run(main(BAD, "task must be a name of 1 to 500 bytes"))
    run(main(BAD_JSON, "cannot store"))


@every_sync
def test_a_failed_transaction_is_named(way: Sync, db: Database) -> None:
    with way.opened(db) as (connection, execute, _, do_rollback):
        with contextlib.suppress(Exception):
            execute("SELECT 1/0").fetchall()
        # In pipeline mode psycopg itself sends nothing any more until the next synchronisation.
        with pytest.raises((PgQueueError, psycopg.errors.PipelineAborted)) as caught:
            callers.run(connection, GOOD)
        if isinstance(caught.value, PgQueueError):
            assert "has failed already; roll it back" in str(caught.value)
        with contextlib.suppress(psycopg.errors.PipelineAborted):
            do_rollback()


@every_async
def test_a_failed_transaction_is_named_async(way: Async, db: Database) -> None:
    async def main() -> None:
        async with way.opened(db) as (connection, execute, _, do_rollback):
            with contextlib.suppress(Exception):
                await execute("SELECT 1/0")
            with pytest.raises(PgQueueError, match="has failed already; roll it back"):
                await callers.arun(connection, GOOD)
            await do_rollback()

    run(main())


@every_sync
def test_what_is_not_ours_stays_the_drivers(way: Sync, db: Database) -> None:
    db.execute(f'ALTER DATABASE "{db.name}" SET default_transaction_read_only = on')
    with way.opened(db) as (connection, _, _, do_rollback):
        with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, sa.exc.InternalError)) as caught:
            callers.run(connection, GOOD)
        assert SECRET not in all_text(caught.value)
        with contextlib.suppress(psycopg.errors.PipelineAborted):
            do_rollback()
    with db.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{db.name}" RESET default_transaction_read_only')


def test_a_missing_schema_is_named(bare_db: Database) -> None:
    with pytest.raises(SchemaMissingError, match="python -m pgqueue schema upgrade"):
        callers.run(bare_db.connect(), GOOD)
    with engine_of(bare_db) as engine, engine.connect() as connection:
        with pytest.raises(SchemaMissingError) as caught:
            callers.run(connection, GOOD)
        assert SECRET not in all_text(caught.value)


@pytest.mark.dirty
def test_an_older_schema_is_named(db: Database) -> None:
    db.execute("DROP VIEW pgqueue.job_overview CASCADE")
    db.execute("ALTER TABLE pgqueue.jobs DROP COLUMN meta CASCADE")
    with pytest.raises(SchemaOutdatedError, match="python -m pgqueue schema upgrade"):
        callers.run(db.connect(), GOOD)


class _Proxy:
    """Something that is no connection."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "got NoneType"),
        ("postgresql:///x", "got str"),
        (_Proxy(), "got tests._Proxy"),
        (sa.create_engine("postgresql+psycopg://"), "with engine.begin"),
        (sa_asyncio.create_async_engine("postgresql+asyncpg://"), "async with engine.begin"),
        (orm.sessionmaker(), "maker.begin"),
    ],
    ids=["none", "dsn", "stranger", "engine", "async engine", "sessionmaker"],
)
def test_what_is_no_connection_is_refused(given: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match="connection must be a connection of psycopg") as e:
        callers.check_connection(given)
    assert said in str(e.value)


def test_a_cursor_is_refused_with_the_remedy(db: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"cursor\.connection"):
        callers.check_connection(db.connect().cursor())


def test_another_database_is_refused() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(ConfigurationError, match="'sqlite'"):
        callers.run(connection, GOOD)
    engine.dispose()


@every_sync
def test_a_sync_connection_awaited_is_refused(way: Sync, db: Database) -> None:
    with way.opened(db) as (connection, _, _, do_rollback):
        with pytest.raises(ConfigurationError, match="use the sync form"):
            run(callers.arun(connection, GOOD))  # type: ignore[arg-type]
        do_rollback()


@every_async
def test_an_async_connection_not_awaited_is_refused(way: Async, db: Database) -> None:
    async def main() -> None:
        async with way.opened(db) as (connection, _, _, do_rollback):
            with pytest.raises(ConfigurationError, match=r"as aenqueue\(\) for enqueue\(\)"):
                callers.run(connection, GOOD)
            await do_rollback()

    run(main())


@pytest.mark.parametrize("commit", [True, False])
def test_copy_is_part_of_the_transaction(db: Database, orders: Any, commit: bool) -> None:
    with contextlib.closing(psycopg.connect(db.dsn, row_factory=rows.dict_row)) as connection:
        connection.execute(BUSINESS)
        assert callers.copy(connection, [SPEC] * 2500) == 2500
        connection.commit() if commit else connection.rollback()
    assert orders() == ((1, 2500) if commit else (0, 0))


def test_copy_async(db: Database, orders: Any) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db.dsn) as connection:
            assert await callers.acopy(connection, (SPEC for _ in range(3))) == 3

    run(main())
    assert orders() == (0, 3)


def test_a_refused_copy_shows_no_arguments(db: Database) -> None:
    bad = JobSpec(task="", args=SPEC.args, kwargs=SPEC.kwargs)
    with pytest.raises(RefusedJobError, match="task must be a name") as caught:
        callers.copy(db.connect(), [SPEC, bad])
    assert SECRET not in all_text(caught.value)
    bad = JobSpec(task="t", args=f'["{SECRET}')
    with pytest.raises(RefusedJobError, match="cannot store") as caught:
        callers.copy(db.connect(), [SPEC, bad])
    assert SECRET not in all_text(caught.value)


_CLASH = """
    CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'somebody was faster' USING ERRCODE = '40001';
    END
    $$;
    CREATE TRIGGER clash BEFORE INSERT ON pgqueue.jobs FOR EACH ROW EXECUTE FUNCTION clash();
"""


def test_a_copy_that_clashes_shows_no_arguments(db: Database) -> None:
    """Its error stays the driver's, for the caller's own retry to know, but for the line in it."""
    db.execute(_CLASH)
    with pytest.raises(psycopg.errors.SerializationFailure, match="somebody was faster") as caught:
        callers.copy(db.connect(), [SPEC])
    assert SECRET not in all_text(caught.value)
    assert caught.value.sqlstate == "40001"

    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(db.dsn) as connection:
            await callers.acopy(connection, [SPEC])

    with pytest.raises(psycopg.errors.SerializationFailure, match="somebody was faster") as caught:
        asyncio.run(run())
    assert SECRET not in all_text(caught.value)


def test_copy_needs_psycopg(db: Database) -> None:
    refused = pytest.raises(ConfigurationError, match="needs a psycopg Connection")
    with engine_of(db) as engine, engine.connect() as connection, refused:
        callers.must_copy(connection, callers.Kind.PSYCOPG)


def all_text(error: BaseException) -> str:
    """Everything that a log would show of an error, its causes and their attributes included."""
    text = ["".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        text += [str(seen), repr(seen)]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    # The lines of this file that make the secret are no leak.
    return "\n".join(text)
