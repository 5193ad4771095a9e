"""The worker's connection: bytes in and out, notifications, and what it says when it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pgqueue.core.errors import ConnectionLostError, LeaseLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from tests.fixtures.databases import Database
from tests.helpers import aeventually


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is true, letting the event loop go on."""

    async def look() -> None:
        assert condition()

    await aeventually(look)


def with_session(
    db: Database,
    use: Callable[[Session], Awaitable[None]],
    on_notify: Callable[[str, str], None] | None = None,
) -> None:
    async def main() -> None:
        session = await Session.open(db.dsn, on_notify)
        try:
            await use(session)
        finally:
            session.close()

    asyncio.run(main())


def test_call_gives_each_value_as_the_bytes_of_its_text(db: Database) -> None:
    async def use(session: Session) -> None:
        rows = await session.call(
            "SELECT $1::integer + 1, $2::text, NULL, '{1,2}'::bigint[]", [b"41", "ä".encode()]
        )

        assert rows == [[b"42", "ä".encode(), None, b"{1,2}"]]

    with_session(db, use)


def test_a_prepared_statement_is_planned_once_a_session(db: Database) -> None:
    async def use(session: Session) -> None:
        for number in (b"1", b"2", b"3"):
            assert await session.call("SELECT $1::integer", [number], prepare=True) == [[number]]

        ((count,),) = await session.call("SELECT count(*) FROM pg_prepared_statements")
        assert count == b"1"

    with_session(db, use)


def test_calls_from_several_tasks_wait_for_each_other(db: Database) -> None:
    async def use(session: Session) -> None:
        answers = await asyncio.gather(
            *(session.call("SELECT $1::integer", [b"%d" % n]) for n in range(20))
        )

        assert answers == [[[b"%d" % n]] for n in range(20)]

    with_session(db, use)


def test_a_value_larger_than_any_socket_buffer_goes_both_ways(db: Database) -> None:
    async def use(session: Session) -> None:
        large = b"x" * (20 << 20)

        ((back,),) = await session.call("SELECT $1::text", [large])

        assert back == large

    with_session(db, use)


def test_notifications_arrive_at_rest_and_beside_other_calls(db: Database) -> None:
    heard: list[tuple[str, str]] = []

    async def use(session: Session) -> None:
        await session.call("LISTEN pgqueue")
        with db.connect() as other:
            other.execute("NOTIFY pgqueue, 'at rest'")
            await until(lambda: heard == [("pgqueue", "at rest")])
            other.execute("NOTIFY pgqueue, 'beside'")
        await session.call("SELECT 1")
        await until(lambda: len(heard) == 2)

    with_session(db, use, lambda channel, payload: heard.append((channel, payload)))
    assert heard[1] == ("pgqueue", "beside")


@pytest.mark.parametrize(
    ("statement", "sqlstate", "may_pass", "is_about_data"),
    [
        ("SELECT 'x'::integer", "22P02", False, True),
        ("SELECT nothing", "42703", False, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$", "40P01", True, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$", "53100", True, False),
    ],
)
def test_a_refused_statement_says_its_sqlstate_and_leaves_the_session_usable(
    db: Database, statement: str, sqlstate: str, may_pass: bool, is_about_data: bool
) -> None:
    async def use(session: Session) -> None:
        with pytest.raises(StatementError) as caught:
            await session.call(statement)  # type: ignore[arg-type]  # from the table above

        found = caught.value
        assert (found.sqlstate, found.may_pass, found.is_about_data) == (
            sqlstate,
            may_pass,
            is_about_data,
        )
        assert await session.call("SELECT 1") == [[b"1"]]

    with_session(db, use)


def test_work_of_an_unknown_worker_is_a_lost_lease(db: Database) -> None:
    async def use(session: Session) -> None:
        with pytest.raises(LeaseLostError, match="worker 77 is not registered"):
            await worker_calls.work(session, 77, 1, b"{default}", 1, [], None, 1 << 20)

    with_session(db, use)


def test_a_session_that_the_server_ends_is_lost_and_says_so(db: Database) -> None:
    async def use(session: Session) -> None:
        waiting = asyncio.ensure_future(session.call("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        with db.connect() as other:

            def ended() -> bool:
                row = other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND query LIKE '%%pg_sleep(60)'",
                    (session.backend_pid,),
                ).fetchone()
                return row == (True,)

            await until(ended)

        with pytest.raises(ConnectionLostError):
            await waiting
        await session.lost
        with pytest.raises(ConnectionLostError, match="gone"):
            await session.call("SELECT 1")

    with_session(db, use)


def test_an_idle_session_that_the_server_ends_is_noticed_without_a_call(db: Database) -> None:
    async def use(session: Session) -> None:
        with db.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (session.backend_pid,))

        async with asyncio.timeout(20):
            await session.lost

    with_session(db, use)


def test_an_abandoned_call_ends_the_session_rather_than_answer_the_next_one(db: Database) -> None:
    async def use(session: Session) -> None:
        abandoned = asyncio.ensure_future(session.call("SELECT 'late' FROM pg_sleep(0.2)"))
        await until(lambda: session.is_busy)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned

        with pytest.raises(ConnectionLostError):
            await session.call("SELECT 1")

    with_session(db, use)


def test_a_session_reads_committed_without_timeouts_whatever_the_database_says(
    db: Database,
) -> None:
    with db.connect() as other:
        other.execute(
            f'ALTER DATABASE "{db.name}" SET default_transaction_isolation = serializable'
        )
        other.execute(f'ALTER DATABASE "{db.name}" SET statement_timeout = 50')
        other.execute(f'ALTER DATABASE "{db.name}" SET idle_session_timeout = 50')

    async def use(session: Session) -> None:
        rows = await session.call(
            "SELECT current_setting('transaction_isolation'), current_setting('statement_timeout'),"
            " current_setting('idle_session_timeout')"
        )

        assert rows == [[b"read committed", b"0", b"0"]]

    with_session(db, use)


def test_a_text_array_takes_every_queue_name_there_is(db: Database) -> None:
    names = ["plain", 'quo"ted', "back\\slash", "{brace}", "comma,", " space ", "NULL", "ünïcode"]

    async def use(session: Session) -> None:
        rows = await session.call(
            "SELECT n FROM unnest($1::text[]) AS n", [worker_calls.array_of(names)]
        )

        assert rows == [[name.encode()] for name in names]

    with_session(db, use)
