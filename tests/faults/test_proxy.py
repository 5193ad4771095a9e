"""The proxy does to connections what it says, seen from both ends."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import psycopg
import pytest

from tests.faults.proxy import Proxy
from tests.fixtures.databases import Database
from tests.helpers import eventually

T = TypeVar("T")

Client = psycopg.Connection[Any]


@pytest.fixture
def proxy(db: Database) -> Iterator[Proxy]:
    with Proxy.before(db.tcp_dsn) as made:
        yield made


@pytest.fixture
def client(db: Database, proxy: Proxy) -> Iterator[Client]:
    with psycopg.connect(proxy.dsn(db.tcp_dsn), autocommit=True) as made:
        yield made


def in_thread(what: Callable[[], T]) -> "Future[T]":
    """Call in a thread that nobody waits for."""
    future: Future[T] = Future()

    def called() -> None:
        try:
            future.set_result(what())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=called, daemon=True).start()
    return future


def backends(db: Database, pid: int) -> int:
    return int(db.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,))[0][0])


def is_silent(client: Client) -> bool:
    """Whether there is nothing to read, neither a message nor an end."""
    return select.select([client.fileno()], [], [], 0.3)[0] == []


def test_everything_passes(db: Database, proxy: Proxy, client: Client) -> None:
    assert client.execute("SELECT repeat('x', 5000000)").fetchone() == ("x" * 5_000_000,)
    client.execute("CREATE TABLE copied (n int)")
    with client.cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
        for number in range(10_000):
            copy.write_row((number,))
    assert client.execute("SELECT count(*) FROM copied").fetchone() == (10_000,)
    client.execute("LISTEN bell")
    db.execute("NOTIFY bell, 'hello'")
    assert next(client.notifies(timeout=20)).payload == "hello"
    (through,) = proxy.connections(listens=True)
    assert through.backend_pid == client.info.backend_pid
    assert through.options["user"] == client.info.user
    assert through.notified == 1
    assert proxy.connections(works=True) == []
    waiting = in_thread(lambda: client.execute("SELECT pg_sleep(60)"))
    eventually(lambda: db.execute("SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sl'"))
    client.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        waiting.result(20)


def test_encryption_is_declined(db: Database, proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn(db.tcp_dsn), sslmode="prefer") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not connection.pgconn.ssl_in_use


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_both_sides_end(fault: Any, db: Database, proxy: Proxy, client: Client) -> None:
    pid = client.info.backend_pid
    proxy.do(fault)
    eventually(lambda: backends(db, pid) == 0)
    with socket.socket(fileno=os.dup(client.fileno())) as end:
        end.settimeout(20)
        if fault == "cut":
            assert end.recv(1) == b""
        else:
            with pytest.raises(ConnectionResetError):
                end.recv(1)
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    assert proxy.connections() == []


def test_a_hole_passes_nothing_on_and_heals(db: Database, proxy: Proxy, client: Client) -> None:
    client.execute("CREATE TABLE seen (n int)")
    proxy.hole()
    answer = in_thread(lambda: client.execute("INSERT INTO seen VALUES (1) RETURNING n"))
    assert is_silent(client)
    assert db.execute("SELECT n FROM seen") == []
    assert backends(db, client.info.backend_pid) == 1
    proxy.heal()
    assert answer.result(20).fetchone() == (1,)


def test_a_hole_towards_the_client(db: Database, proxy: Proxy, client: Client) -> None:
    client.execute("CREATE TABLE seen (n int)")
    (through,) = proxy.connections()
    through.hole(to_server=False)
    answer = in_thread(lambda: client.execute("INSERT INTO seen VALUES (1) RETURNING n"))
    eventually(lambda: db.execute("SELECT n FROM seen") == [(1,)])
    assert not answer.done()
    through.heal()
    assert answer.result(20).fetchone() == (1,)


def test_a_hole_hides_the_end_of_the_client(db: Database, proxy: Proxy, client: Client) -> None:
    pid = client.info.backend_pid
    proxy.hole()
    client.close()
    with socket.create_connection(("127.0.0.1", proxy.port)) as late:
        assert select.select([late], [], [], 0.3)[0] == []
    assert backends(db, pid) == 1
    proxy.heal()
    eventually(lambda: backends(db, pid) == 0)


def test_half_open(db: Database, proxy: Proxy, client: Client) -> None:
    pid = client.info.backend_pid
    proxy.do("half-open")
    eventually(lambda: backends(db, pid) == 0)
    answer = in_thread(lambda: client.execute("SELECT 1"))
    assert is_silent(client)
    assert not answer.done()
    proxy.do("cut")
    with pytest.raises(psycopg.OperationalError):
        answer.result(20)


def test_delay_and_throttle(proxy: Proxy, client: Client) -> None:
    proxy.delay = 0.3
    begun = time.monotonic()
    client.execute("SELECT 1")
    assert time.monotonic() - begun >= 0.6
    proxy.delay, proxy.rate = 0.0, 100_000
    begun = time.monotonic()
    client.execute("SELECT repeat('x', 60000)")
    assert time.monotonic() - begun >= 0.5


def test_the_entrance(db: Database, proxy: Proxy) -> None:
    dsn = proxy.dsn(db.tcp_dsn)
    port = proxy.port
    proxy.admit("refuse")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(dsn)
    assert proxy.accepted == 0
    proxy.admit("pass")
    assert proxy.port == port
    psycopg.connect(dsn).close()
    proxy.admit("reset")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)
    assert proxy.accepted == 2
    proxy.admit("hole")
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(dsn, connect_timeout=2)
    waiting = in_thread(lambda: psycopg.connect(dsn))
    eventually(lambda: proxy.accepted == 4)
    proxy.heal()
    waiting.result(20).close()


def test_notifications_are_dropped(db: Database, proxy: Proxy, client: Client) -> None:
    client.execute("LISTEN bell")
    (through,) = proxy.connections()
    proxy.drops_notifications = True
    db.execute("NOTIFY bell, 'lost'")
    eventually(lambda: through.dropped == 1)
    proxy.heal()
    db.execute("NOTIFY bell, 'heard'")
    assert next(client.notifies(timeout=20)).payload == "heard"


@pytest.mark.parametrize("fault", ["cut", "reset", "hole", "half-open"])
@pytest.mark.parametrize("at", ["request", "reply"])
def test_a_commit_of_which_nobody_knows(at: Any, fault: Any, db: Database, proxy: Proxy) -> None:
    db.execute("CREATE TABLE bought (n int)")
    trap = proxy.trap("commit", fault, at=at)
    connection = psycopg.connect(proxy.dsn(db.tcp_dsn))
    connection.execute("INSERT INTO bought VALUES (1)")
    commit = in_thread(connection.commit)
    eventually(lambda: trap.sprung == 1)
    if fault in ("hole", "half-open"):
        assert is_silent(connection)
        assert not commit.done()
        proxy.do("cut")
    with pytest.raises(psycopg.OperationalError):
        commit.result(20)
    eventually(lambda: backends(db, connection.info.backend_pid) == 0)
    assert db.execute("SELECT count(*) FROM bought") == [(int(at == "reply"),)]
    # It sprang once, as asked.
    with psycopg.connect(proxy.dsn(db.tcp_dsn)) as another:
        another.execute("INSERT INTO bought VALUES (2)")
    assert (trap.seen, trap.sprung) == (1, 1)


def test_traps_count_statements_prepared_ones_included(
    db: Database, proxy: Proxy, client: Client
) -> None:
    trap = proxy.trap("generate_series(1, $1", nth=3, times=2)
    for _ in range(2):
        client.execute("SELECT count(*) FROM generate_series(1, %s)", (5,), prepare=True)
        client.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT count(*) FROM generate_series(1, %s)", (5,), prepare=True)
    assert (trap.seen, trap.sprung) == (3, 1)


def test_a_connection_is_cut_at_a_message(proxy: Proxy, client: Client) -> None:
    (through,) = proxy.connections()
    query = "SELECT n FROM generate_series(1, 1000) AS n"
    assert client.execute(query).rowcount == 1000
    through.cut_after = 1500
    with pytest.raises(psycopg.OperationalError):
        client.execute(query)


def test_the_server_moves(db: Database, proxy: Proxy) -> None:
    good = proxy.target
    proxy.target = ("127.0.0.1", 1)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.dsn(db.tcp_dsn))
    proxy.target = good
    psycopg.connect(proxy.dsn(db.tcp_dsn)).close()
