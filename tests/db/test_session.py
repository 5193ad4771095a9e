"""The worker's connection: bytes in and out, notifications, and what it says when it ends."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest

from pgqueue.core.errors import ConnectionLostError, LeaseLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from tests.fixtures.databases import Database
from tests.helpers import PATIENCE, aeventually, eventually


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


def peek(connection: socket.socket) -> bytes:
    """Look at what has arrived and was not read."""
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1 << 16, socket.MSG_PEEK)
    return b""


def test_a_notification_right_behind_an_answer_is_not_left_lying(db: Database) -> None:
    """Both are read at once, and nothing comes after them that would wake us."""
    heard: list[str] = []

    async def use(session: Session) -> None:
        await session.call("LISTEN pgqueue")
        answer = asyncio.ensure_future(session.call("SELECT 1"))
        await asyncio.sleep(0)
        assert session.is_busy
        with db.connect() as other, socket.socket(fileno=os.dup(session._fd)) as peeked:
            # The loop stands still meanwhile, so that both come to lie in the socket.
            eventually(lambda: b"SELECT 1" in peek(peeked))
            other.execute("NOTIFY pgqueue, 'behind'")
            eventually(lambda: b"behind" in peek(peeked))
        assert await answer == [[b"1"]]
        assert heard == ["behind"]

    with_session(db, use, lambda _, payload: heard.append(payload))


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

        async with asyncio.timeout(PATIENCE):
            await session.lost

    with_session(db, use)


def test_an_abandoned_call_ends_the_session_rather_than_answer_the_next_one(db: Database) -> None:
    async def use(session: Session) -> None:
        abandoned = asyncio.ensure_future(session.call("SELECT 'late' FROM pg_sleep(60)"))
        await until(lambda: session.is_busy)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned

        with pytest.raises(ConnectionLostError):
            await session.call("SELECT 1")

    with_session(db, use)


# So long that a machine that stands still for a moment does not run into them.
HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "statement_timeout": "1min",
    "lock_timeout": "1min",
    "idle_session_timeout": "1min",
    "idle_in_transaction_session_timeout": "1min",
    "search_path": "evil, pg_catalog",
}

WANTED = """SELECT current_setting('transaction_isolation'),
    current_setting('transaction_read_only'), current_setting('statement_timeout'),
    current_setting('lock_timeout'), current_setting('search_path'), now()::text"""

EVIL = """CREATE SCHEMA evil;
CREATE FUNCTION evil.now() RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
CREATE FUNCTION evil.pg_backend_pid() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql
AS $$ SELECT 'evil' $$"""


@pytest.fixture
def hostile(db: Database) -> Database:
    """A database whose defaults suit no program."""
    with db.connect() as other:
        other.execute(EVIL)
        for name, value in HOSTILE.items():
            quoted = value if name == "search_path" else f"'{value}'"
            other.execute(f'ALTER DATABASE "{db.name}" SET {name} = {quoted}'.encode())
    return db


@pytest.mark.parametrize("shared", [False, True])
def test_a_session_has_its_own_settings_whatever_the_database_says(
    shared: bool, hostile: Database
) -> None:
    async def main() -> None:
        session = await Session.open(hostile.dsn, cap=7.5, shared=shared)
        ((*found, now),) = await session.call(WANTED)
        if not shared:
            ((idle,),) = await session.call("SELECT current_setting('idle_session_timeout')")
            assert idle == b"0"
        session.close()
        assert found == [b"read committed", b"off", b"6s", b"5s", b"pg_catalog, pg_temp"]
        assert now != b"evil"

    asyncio.run(main())


def test_a_shared_session_leaves_nothing_behind(db: Database) -> None:
    async def main() -> None:
        session = await Session.open(db.dsn, shared=True)
        for number in (b"1", b"it's", b"back\\slash", b"$1", None):
            row = await session.call("SELECT $1::text, $2::text", [number, b"x"], prepare=True)
            assert row == [[number, b"x"]]
        with pytest.raises(StatementError, match="nothing"):
            await session.call("SELECT nothing")
        with pytest.raises(LeaseLostError, match="worker 77"):
            await worker_calls.work(session, 77, 1, b"{default}", 1, [], None, 1 << 20)
        ((count,),) = await session.call("SELECT count(*) FROM pg_prepared_statements")
        assert count == b"0"
        session.shared = False
        ((path,),) = await session.call("SELECT source FROM pg_settings WHERE name = 'search_path'")
        assert path == b"session", "set by open, since no pooler was in the way"
        session.close()

    asyncio.run(main())


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD PLANS"])
def test_a_prepared_statement_that_is_gone_is_done_without(statement: str, db: Database) -> None:
    async def use(session: Session) -> None:
        assert await session.call("SELECT $1::integer", [b"1"], prepare=True) == [[b"1"]]
        await session.call(statement)  # type: ignore[arg-type]  # from the list above
        assert await session.call("SELECT $1::integer", [b"2"], prepare=True) == [[b"2"]]
        assert session.shared == (statement == "DEALLOCATE ALL")
        assert await session.call("SELECT $1::integer", [b"3"], prepare=True) == [[b"3"]]

    with_session(db, use)


def test_a_prepared_statement_outlives_a_change_of_its_result(db: Database) -> None:
    async def use(session: Session) -> None:
        await session.call("CREATE TEMPORARY TABLE changing (a integer)")
        assert await session.call("SELECT * FROM pg_temp.changing", prepare=True) == []
        await session.call("ALTER TABLE pg_temp.changing ADD COLUMN b integer")
        await session.call("INSERT INTO pg_temp.changing VALUES (1, 2)")
        for _ in range(2):
            rows = await session.call("SELECT * FROM pg_temp.changing", prepare=True)
            assert rows == [[b"1", b"2"]]
        assert not session.shared

    with_session(db, use)


def test_a_statement_without_an_answer_ends_the_session(db: Database) -> None:
    """A server that stands still, as one behind a half-open connection seems to."""

    async def main() -> None:
        session = await Session.open(db.dsn)
        session.doubt(0.5)
        backend = session.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectionLostError, match="no answer came within"):
                await session.call("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)
        assert session.lost.done()

    asyncio.run(main())


def test_the_server_gives_up_before_we_do(db: Database) -> None:
    """After the part of the cap that it is told, and what it gives up costs no connection."""

    async def use(session: Session) -> None:
        # For less than that, lest we have to wait as long.
        await session.call("SELECT set_config('statement_timeout', '1s', false)")
        with pytest.raises(StatementError) as caught:
            await session.call("SELECT pg_sleep(60)")
        assert (caught.value.sqlstate, caught.value.may_pass) == ("57014", True)
        assert await session.call("SELECT set_config('statement_timeout', '0', false)") == [[b"0"]]

    with_session(db, use)


def test_an_answer_that_takes_long_and_moves_is_waited_for(db: Database) -> None:
    async def main() -> None:
        session = await Session.open(db.dsn, cap=3)
        await session.call("SELECT set_config('statement_timeout', '0', false)")
        rows = await session.call(
            "SELECT pg_sleep(0.4), repeat('x', 200000) FROM generate_series(1, 8)"
        )
        assert len(rows) == 8
        session.close()

    asyncio.run(main())


def test_a_text_array_takes_every_queue_name_there_is(db: Database) -> None:
    names = ["plain", 'quo"ted', "back\\slash", "{brace}", "comma,", " space ", "NULL", "ünïcode"]

    async def use(session: Session) -> None:
        rows = await session.call(
            "SELECT n FROM unnest($1::text[]) AS n", [worker_calls.array_of(names)]
        )

        assert rows == [[name.encode()] for name in names]

    with_session(db, use)


def test_a_session_in_doubt_is_given_less_time(db: Database) -> None:
    async def main() -> None:
        session = await Session.open(db.dsn)
        await session.call("SELECT 1")
        waiting = asyncio.ensure_future(session.call("SELECT pg_sleep(20)"))
        await asyncio.sleep(0)
        session.doubt(0.2)
        with pytest.raises(ConnectionLostError, match=r"no answer came within 0\.2 s"):
            await waiting
        assert session.was_silent

    asyncio.run(main())


def test_doubt_does_no_harm_to_a_session_that_answers(db: Database) -> None:
    async def main() -> None:
        session = await Session.open(db.dsn)
        session.doubt(25)
        assert await session.call("SELECT 1") == [[b"1"]]
        session.close()
        assert not session.was_silent

    asyncio.run(main())
