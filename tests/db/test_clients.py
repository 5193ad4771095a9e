"""Our own connection: where it goes, how it dies and comes back, who shares it."""

import asyncio
import contextlib
import gc
import os
import threading
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pgqueue.core.errors import ConfigurationError, ConnectionLostError, SchemaMissingError
from pgqueue.db import connections
from pgqueue.db.async_client import AsyncClient
from pgqueue.db.client import Client
from pgqueue.db.embedded import EmbeddedServer
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.base import Statement, first_str
from tests.fixtures.databases import Database
from tests.helpers import eventually

SPEC = JobSpec(task="t", args='["hunter2"]')
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgqueue' AND datname = %s"
#: The server ends our session in the middle of the INSERT.
CUT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NEW; END $$;
CREATE TRIGGER cut BEFORE INSERT ON pgqueue.jobs FOR EACH ROW EXECUTE FUNCTION cut()
"""


@pytest.fixture
def client(db: Database) -> Iterator[Client]:
    made = Client(db.dsn)
    yield made
    made.close()


def sessions(db: Database) -> list[int]:
    return [row[0] for row in db.execute(SESSIONS, (db.name,))]


def count(db: Database) -> int:
    return int(db.execute("SELECT count(*) FROM pgqueue.jobs")[0][0])


def setting(name: str) -> Statement[str]:
    return Statement(
        text="SELECT current_setting(CAST(%(name)s AS text))",
        params={"name": name},
        decode=first_str,
    )


def test_one_connection_is_kept_and_closed(db: Database, client: Client) -> None:
    assert sessions(db) == []
    client.enqueue(SPEC)
    (first,) = sessions(db)
    client.enqueue(SPEC)
    assert sessions(db) == [first]
    client.close()
    client.close()
    assert client.enqueue(SPEC) == 3


def test_the_session_is_not_bound_by_settings_for_people(db: Database, client: Client) -> None:
    for text in (
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1min'",
        "lock_timeout = '1min'",
        "idle_session_timeout = '1min'",
        "idle_in_transaction_session_timeout = '1min'",
    ):
        db.execute(f'ALTER DATABASE "{db.name}" SET {text}')
    assert client.run(setting("transaction_isolation")) == "read committed"
    for name in ("statement_timeout", "lock_timeout", "idle_session_timeout"):
        assert client.run(setting(name)) == "0"


def test_a_connection_found_dead_is_replaced(db: Database, client: Client) -> None:
    client.enqueue(SPEC)
    (pid,) = sessions(db)
    db.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    assert client.enqueue(SPEC) == 2
    assert sessions(db) != [pid]


def test_a_connection_found_dead_is_replaced_async(db: Database) -> None:
    async def main() -> None:
        client = AsyncClient(db.dsn)
        await client.enqueue(SPEC)
        (pid,) = sessions(db)
        await asyncio.to_thread(db.execute, "SELECT pg_terminate_backend(%s, 10000)", (pid,))
        assert await client.enqueue(SPEC) == 2
        await client.close()

    asyncio.run(main())


def test_a_restarted_server_is_found_again(own_server: EmbeddedServer) -> None:
    client = Client(own_server.dsn())
    assert client.run(setting("server_version_num"))
    own_server.restart()
    assert client.run(setting("server_version_num"))
    own_server.stop(keep=True)
    with pytest.raises(ConnectionLostError, match="cannot connect to PostgreSQL at host"):
        client.run(setting("server_version_num"))
    own_server.restart()
    assert client.run(setting("server_version_num"))
    client.close()


def test_a_connection_that_breaks_during_a_call_says_so(db: Database, client: Client) -> None:
    db.execute(CUT)
    with pytest.raises(ConnectionLostError, match="it is not known whether it took effect") as e:
        client.enqueue(SPEC)
    assert "hunter2" not in "".join(traceback.format_exception(e.value))
    db.execute("DROP TRIGGER cut ON pgqueue.jobs")
    assert client.enqueue(SPEC) > 0
    assert count(db) == 1


def test_a_connection_that_breaks_during_a_call_says_so_async(db: Database) -> None:
    async def main() -> None:
        client = AsyncClient(db.dsn)
        db.execute(CUT)
        with pytest.raises(ConnectionLostError, match="it is not known whether"):
            await client.enqueue(SPEC)
        with pytest.raises(ConnectionLostError, match="it is not known whether"):
            await client.copy([SPEC])
        db.execute("DROP TRIGGER cut ON pgqueue.jobs")
        assert await client.enqueue(SPEC) > 0
        await client.close()

    asyncio.run(main())
    assert count(db) == 1


def test_a_copy_that_breaks_says_so(db: Database, client: Client) -> None:
    db.execute(CUT)
    with pytest.raises(ConnectionLostError, match="it is not known whether"):
        client.copy([SPEC])


def test_threads_share_it(db: Database, client: Client) -> None:
    ids: list[int] = []

    def work() -> None:
        ids.extend([client.enqueue(SPEC) for _ in range(25)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 200
    assert len(sessions(db)) == 1


def test_a_forked_child_has_its_own(db: Database, client: Client) -> None:
    client.enqueue(SPEC)
    held = client._own[0].lock
    with held:  # as another thread may, that the fork leaves behind
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                client.enqueue(SPEC)
                client.close()
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    client.enqueue(SPEC)
    assert count(db) == 3


def test_an_interrupted_call_leaves_nothing_half_done(db: Database, client: Client) -> None:
    client.enqueue(SPEC)
    own = client._own[0].connection
    assert own is not None
    own.execute("BEGIN")
    client.enqueue(SPEC)
    assert count(db) == 2


def test_tasks_of_a_loop_share_it_and_loops_do_not(db: Database) -> None:
    client = AsyncClient(db.dsn)

    async def main() -> None:
        ids = await asyncio.gather(*[client.enqueue(SPEC) for _ in range(20)])
        assert len(set(ids)) == 20
        # The server needs a moment to let go of that of the loop before.
        eventually(lambda: len(sessions(db)) == 1)

    # Each leaves its connection open, as asyncio.run() in a script does.
    asyncio.run(main())
    asyncio.run(main())
    gc.collect()
    asyncio.run(client.close())
    assert count(db) == 40


def test_a_dropped_client_leaves_no_connection(db: Database) -> None:
    client = Client(db.dsn)
    client.enqueue(SPEC)
    (pid,) = sessions(db)
    del client
    gc.collect()
    db.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    assert sessions(db) == []


def test_where_the_dsn_comes_from(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    query = setting("session_authorization")
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    with contextlib.closing(Client()) as client:
        assert client.run(query)
        client.enqueue(SPEC)
    assert count(db) == 1
    monkeypatch.delenv("PGQUEUE_DSN")
    parts = psycopg.conninfo.conninfo_to_dict(db.dsn)
    for name, variable in (
        ("host", "PGHOST"),
        ("port", "PGPORT"),
        ("dbname", "PGDATABASE"),
        ("user", "PGUSER"),
    ):
        monkeypatch.setenv(variable, str(parts[name]))
    with contextlib.closing(Client()) as client:
        client.enqueue(SPEC)
    assert count(db) == 2


BAD_DSNS = [
    "host=localhost password=hunter2 nonsense",
    "postgresql://ann:hunter2@localhost/x?nonsense=1",
    "host='hunter2",
    "http://ann:hunter2@localhost",
    "hunter2",
]


@pytest.mark.parametrize("dsn", BAD_DSNS)
def test_a_dsn_that_cannot_be_read_is_not_shown(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="the DSN cannot be read; expected") as caught:
        connections.check(dsn)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigurationError):
        Client(dsn).enqueue(SPEC)


def test_a_dsn_is_a_string() -> None:
    with pytest.raises(ConfigurationError, match="must be a string; got bytes"):
        connections.check(b"postgresql://")  # type: ignore[arg-type]


def test_a_failed_connection_names_the_place_and_no_password(db: Database) -> None:
    url = urlsplit(db.tcp_dsn)
    wrong = f"postgresql://ann:hunter2@{url.hostname}:{url.port}/{db.name}"
    nobody = f"postgresql://ann:hunter2@{url.hostname}:1/{db.name}"
    for dsn in (wrong, nobody):
        with pytest.raises(ConnectionLostError, match="user ann") as caught:
            Client(dsn).enqueue(SPEC)
        shown = "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in shown
        assert f"dbname {db.name}" in shown

        async def main(dsn: str = dsn) -> None:
            with pytest.raises(ConnectionLostError, match="user ann"):
                await AsyncClient(dsn).enqueue(SPEC)

        asyncio.run(main())


def test_a_missing_schema_is_named(bare_db: Database) -> None:
    with contextlib.closing(Client(bare_db.dsn)) as client:
        for call in (
            lambda: client.enqueue(SPEC),
            lambda: client.enqueue_many([SPEC]),
            lambda: client.copy([SPEC]),
            lambda: client.cancel(1),
            client.health,
        ):
            with pytest.raises(SchemaMissingError, match="python -m pgqueue schema upgrade"):
                call()


def test_the_twins_have_the_same_calls() -> None:
    def calls(kind: type[Any]) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert calls(Client) == calls(AsyncClient)
