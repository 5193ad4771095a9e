"""Real workers on bad networks: what is lost is found, what was done is not done again."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, stop
from tests.faults.proxy import Proxy
from tests.faults.relay import Connection
from tests.fixtures.databases import Database, start_server
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually


@pytest.fixture
def jobs(db: Database) -> Iterator[Jobs]:
    """The jobs of the test's database, seen past the proxy."""
    found = Jobs(db.dsn)
    found.make_notes()
    yield found
    found.query("DROP TABLE notes")
    found.close()


@pytest.fixture
def proxy(db: Database) -> Iterator[Proxy]:
    with Proxy.before(db.tcp_dsn) as made:
        yield made


@pytest.fixture
def dsn(db: Database, proxy: Proxy) -> str:
    """The way to the test's database through the proxy."""
    return proxy.dsn(db.tcp_dsn)


def settled(jobs: Jobs, proxy: Proxy) -> None:
    """Wait until a worker has run a job and sleeps behind its doorbell.

    That it holds the locks of a sleeper does not tell: it has a last look for jobs after that, and
    what is to hit the next claim would hit that look.
    """
    jobs.wait(jobs.add("noop"), timeout=60)
    eventually(proxy.worker_sleeps, 60)


def said(running: RunningWorker) -> list[str]:
    """Give the lines of a worker's log that complain."""
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


def passers_by(proxy: Proxy, text: str) -> list[Connection]:
    """Give a list to which the connection of every statement with this text comes."""
    found: list[Connection] = []

    def notes(connection: Connection) -> bool:
        found.append(connection)
        return False

    proxy.trap(text, where=notes)
    return found


def finishes(connection: Connection) -> bool:
    """Whether the statement that comes by brings outcomes."""
    return b'"batch"' in connection.bound


def claims(connection: Connection) -> bool:
    """Whether it brings none, and so can only be a claim."""
    return not finishes(connection)


@pytest.mark.parametrize("at", ["request", "reply"])
@pytest.mark.parametrize("fault", ["cut", "reset"])
@pytest.mark.parametrize("what", [claims, finishes])
def test_a_call_of_work_is_lost(
    what: Any, fault: Any, at: Any, dsn: str, proxy: Proxy, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "1", "--fallback", "60", *_QUICK, dsn=dsn)
    settled(jobs, proxy)
    trap = proxy.trap("pgqueue.work(", fault, at=at, where=what)
    job = jobs.add("note_it", "once")
    row = jobs.wait(job, timeout=60)
    assert trap.sprung == 1
    # A claim that nobody heard of was never started; an outcome that was stored is not refused.
    assert (row["attempt"], row["lost"], row["crashes"]) == (1, 0, 0)
    assert jobs.notes() == ["once"]
    counts = stop(running)
    assert counts["lost_leases"] == 0
    assert counts["by_fallback"] == 0
    lost = what is claims and at == "reply"
    assert ("giving back 1 jobs of a lost reply" in running.log()) == lost


@pytest.mark.parametrize("fault", ["cut", "reset", "half-open"])
def test_the_listener_is_lost(
    fault: Any, dsn: str, proxy: Proxy, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "1", "--fallback", "60", *_QUICK, dsn=dsn)
    settled(jobs, proxy)
    (listener,) = proxy.connections(listens=True)
    listener.do(fault)
    jobs.wait(jobs.add("noop"), timeout=60)
    eventually(lambda: [one for one in proxy.connections(listens=True) if one is not listener])
    settled(jobs, proxy)
    counts = stop(running)
    assert counts["by_fallback"] == 0
    # A silence may last until others have given it up, itself included; that is said, each once.
    most = 6 if fault == "half-open" else 1
    assert 1 <= counts["reconnects"] <= min(2, most)
    assert len(said(running)) <= most, running.log()


def test_notifications_are_lost(dsn: str, proxy: Proxy, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--heartbeat", "0.3", dsn=dsn)
    settled(jobs, proxy)
    proxy.drops_notifications = True
    # First the beat finds jobs, then the worker knows that it is deaf, and looks by itself.
    jobs.wait(jobs.add("noop"))
    eventually(lambda: "notifications do not arrive" in running.log(), 60)
    jobs.wait(jobs.add("noop"))
    proxy.drops_notifications = False
    eventually(lambda: "notifications arrive after all" in running.log(), 60)
    settled(jobs, proxy)
    counts = stop(running)
    assert counts["by_fallback"] >= 1
    assert len(said(running)) <= 3, running.log()


def test_resets_rain(dsn: str, proxy: Proxy, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--fallback", "60", *_QUICK, dsn=dsn)
    ids: list[int] = []
    for _ in range(8):
        ids += jobs.add_many(200, "noop")
        eventually(lambda: proxy.connections(works=True) and proxy.connections(listens=True))
        proxy.do("reset")
    jobs.wait_all(ids, timeout=60)
    wrong = jobs.query(
        "SELECT * FROM pgqueue.finished_jobs WHERE attempt <> 1 OR lost <> 0 LIMIT 5"
    )
    assert wrong == []
    settled(jobs, proxy)
    counts = stop(running)
    assert counts["by_fallback"] == 0
    # A line or less for each connection that was lost, and few more than took the place of those.
    assert len(said(running)) <= 2 * 8
    assert proxy.accepted <= 3 + 4 * 8


def test_connections_are_refused_for_a_while(
    dsn: str, proxy: Proxy, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "1", "--fallback", "60", *_PATIENT, dsn=dsn)
    settled(jobs, proxy)
    proxy.admit("refuse")
    proxy.do("cut")
    eventually(lambda: "trying until it works" in running.log())
    job = jobs.add("noop")
    # Refused by a server that lets nobody in, as one that starts up does.
    accepted = proxy.accepted
    proxy.admit("reset")
    eventually(lambda: proxy.accepted >= accepted + 5)
    assert jobs.state(job) == "ready"
    proxy.admit("pass")
    jobs.wait(job)
    settled(jobs, proxy)
    stop(running)
    assert running.log().count("trying until it works") == 1
    assert running.log().count("connected again") == 1
    assert len(said(running)) <= 3, running.log()


@pytest.mark.dirty
def test_the_notification_queue_is_full(postgres_bin: str | None, worker: StartWorker) -> None:
    # Only since PostgreSQL 17 can it be made small enough to be filled; before, it is 8 GB.
    small = {"max_notify_queue_pages": "64"}
    settings = small if _major(postgres_bin) >= 17 else {}
    with start_server(postgres_bin, **settings) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            schema.upgrade(connection)
        with Proxy.before(server.tcp_dsn()) as proxy:
            full = _fill_and_empty(server, proxy, worker, may_fill=bool(settings))
        assert full == bool(settings)


def _fill_and_empty(
    server: EmbeddedServer, proxy: Proxy, worker: StartWorker, *, may_fill: bool
) -> bool:
    jobs = Jobs(server.dsn())
    options = ("--processes", "1", "--heartbeat", "0.2", "--fallback", "0.5", "--lease", "60")
    running = worker(*options, dsn=proxy.dsn(server.tcp_dsn()), ready=False)
    settled(jobs, proxy)
    probes = passers_by(proxy, "pg_notify('pgqueue_control'")
    with (
        psycopg.connect(server.dsn()) as deaf,
        psycopg.connect(server.dsn(), autocommit=True) as loud,
    ):
        deaf.execute("LISTEN flood")
        deaf.commit()
        # In a transaction it hears nothing, and what it has not heard is kept.
        deaf.execute("SELECT 1")
        full = fill(loud)
        for always in ("auto", "always"):
            jobs.query(f"SET pgqueue.notify = {always}")
            ids = [jobs.add("noop") for _ in range(200)]
            jobs.wait_all(ids)
        # The worker does not take a probe that it cannot send for one that it does not hear.
        before = len(probes)
        eventually(lambda: len(probes) >= before + 2)
        deaf.rollback()
    eventually(lambda: jobs.value("SELECT pg_notification_queue_usage() < 0.1"))
    jobs.query("RESET pgqueue.notify")
    settled(jobs, proxy)
    late = jobs.add("noop")
    jobs.wait(late)
    assert jobs.problems() == []
    jobs.close()
    counts = stop(running)
    assert counts["by_ring"] >= 1
    assert said(running) == []
    if not may_fill:
        # On a busy machine the clock may come before the ring, but not again and again.
        assert counts["by_fallback"] <= 3
    return full


def fill(connection: psycopg.Connection[Any]) -> bool:
    """Notify until the queue is full, or until what would fill a small one; say which."""
    try:
        for _ in range(300):
            connection.execute("SELECT pg_notify('flood', repeat('x', 4000) || random())")
    except psycopg.errors.ProgramLimitExceeded:
        return True
    return False


def _major(postgres_bin: str | None) -> int:
    if postgres_bin is None:
        return 18
    found = re.search(r"postgresql/(\d+)", postgres_bin)
    return int(found[1]) if found else 0


_QUICK = ("--heartbeat", "0.5", "--lease", "60")
# Beats so rare that no lock stands for the worker's life, which it would have to give up after 7 s
# without one; by its lease it may be silent for longer than all of a test takes.
_PATIENT = ("--heartbeat", "3", "--lease", "90")
