"""Workers that lose their database, or their time: nothing runs twice at once, nothing is lost."""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, children, closed_gate, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, eventually


class Forwarder:
    """A way to the server that can be closed without a word, and opened again."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._open = threading.Event()
        self._open.set()
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def block(self) -> None:
        """Pass nothing on from now on; connections look as if they were well."""
        self._open.clear()

    def unblock(self) -> None:
        """Pass everything on again, also what has come meanwhile."""
        self._open.set()

    def close(self) -> None:
        self._ending = True
        self._open.set()
        self._thread.join()
        for one in (self._listening, *self._pairs):
            one.close()

    def _run(self) -> None:
        while not self._ending:
            self._open.wait()
            ready, _, _ = select.select([self._listening, *self._pairs], [], [], 0.05)
            for one in ready:
                if not self._open.is_set():
                    break
                if one is self._listening:
                    self._connect()
                elif one in self._pairs:
                    self._pass_on(one)

    def _connect(self) -> None:
        client, _ = self._listening.accept()
        there = socket.create_connection(self._server)
        self._pairs[client], self._pairs[there] = there, client

    def _pass_on(self, one: socket.socket) -> None:
        other = self._pairs[one]
        try:
            data = one.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for ended in (one, other):
            del self._pairs[ended]
            ended.close()


@pytest.fixture
def way(db: Database) -> Iterator[tuple[Forwarder, str]]:
    """A forwarder to the server of the test, and the DSN of the test's database through it."""
    info = psycopg.conninfo.conninfo_to_dict(db.tcp_dsn)
    made = Forwarder((str(info["host"]), int(str(info["port"]))))
    yield made, psycopg.conninfo.make_conninfo(db.tcp_dsn, host="127.0.0.1", port=made.port)
    made.close()


def test_a_worker_without_its_database_stops_its_jobs_in_time(
    db: Database, jobs: Jobs, worker: StartWorker, way: tuple[Forwarder, str]
) -> None:
    forwarder, dsn = way
    jobs.make_notes()
    direct = {"PGQUEUE_TEST_DSN": db.dsn}
    cut_off = worker(
        "--processes", "2", "--lease", "3", "--heartbeat", "0.5", dsn=dsn, env=direct,
        ready=False,
    )  # fmt: skip
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers") == 1)
    with closed_gate(db, 1):
        job = jobs.add("gate_past_the_way", 1)
        jobs.wait_at_gate(1)
        before = children(cut_off)
        forwarder.block()
        # Killed before anybody else may have them, by this machine's clock.
        eventually(lambda: not any(map(is_running, before)))
        # Once more, if a busy machine has put the worker off for that long before.
        so_far = jobs.look(job)
        assert so_far["state"] == "running"
        assert "others may have its jobs" in cut_off.log()
        other = worker("--processes", "1", env=direct)
        jobs.wait_at_gate(1)
        eventually(lambda: jobs.look(job)["lost"] == so_far["lost"] + 1)
    found = jobs.wait(job)
    assert (found["attempt"], found["crashes"]) == (so_far["attempt"] + 1, 0)
    waiting = jobs.add_many(5, "noop")
    jobs.wait_all(waiting)
    stop(other)
    forwarder.unblock()
    # It finds out that it was given up, and goes on as another.
    eventually(lambda: "given up as lost" in cut_off.log())
    jobs.wait_all(jobs.add_many(20, "noop"))
    eventually(lambda: len(children(cut_off)) == 2)
    assert "Traceback" not in cut_off.log()
    stop(cut_off)


def test_a_frozen_worker_kills_its_children_before_it_writes(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    with closed_gate(db, 1), closed_gate(db, 2):
        jobs.make_notes()
        first = jobs.add("note_and_gate", "first", 1)
        second = jobs.add("note_and_gate", "second", 2)
        frozen = worker("--processes", "2", "--lease", "3", "--heartbeat", "0.5")
        jobs.wait_at_gate(1)
        jobs.wait_at_gate(2)
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            before = children(frozen)
            # More, if a busy machine has put the worker off for that long before.
            so_far = {job: jobs.look(job) for job in (first, second)}
            other = worker("--processes", "2")
            for job in (first, second):
                eventually(lambda job=job: jobs.look(job)["lost"] == so_far[job]["lost"] + 1)
            jobs.wait_at_gate(2, 2)
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        eventually(lambda: not any(map(is_running, before)))
        eventually(lambda: "given up as lost" in frozen.log())
        jobs.wait_at_gate(1)
        jobs.wait_at_gate(2)
        said = frozen.log()
        assert said.index("children are killed") < said.index("given up as lost")
    for job in (first, second):
        found = jobs.wait(job)
        assert (found["attempt"], found["crashes"]) == (so_far[job]["attempt"] + 1, 0)
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers") == 2)
    for job, note in ((first, "first"), (second, "second")):
        assert jobs.notes().count(note) == so_far[job]["attempt"] + 1
    jobs.wait_all(jobs.add_many(100, "noop"))
    assert stop(frozen)["lost_leases"] == 0
    stop(other)


@pytest.fixture
def own_jobs(own_server: EmbeddedServer) -> Iterator[Jobs]:
    """Jobs in a server of this test alone."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        schema.upgrade(connection)
    found = Jobs(own_server.dsn())
    yield found
    found.close()


def test_a_server_that_is_down_for_a_while_costs_no_job(
    own_server: EmbeddedServer, own_jobs: Jobs, worker: StartWorker, tmp_path: Path
) -> None:
    """Nobody can take its jobs meanwhile, so they go on; their outcomes are kept."""
    jobs = own_jobs
    running = worker("--processes", "2", "--threads", "2", dsn=jobs.dsn, ready=False)
    path = tmp_path / "go on"
    ids = jobs.add_many(3, "until_file", str(path))
    eventually(lambda: jobs.states() == {"running": 3})
    eventually(lambda: len(children(running)) == 2)
    before = children(running)
    jobs.close()
    own_server.stop("fast", keep=True)
    eventually(lambda: "trying until it works" in running.log())
    began = os.times().elapsed
    # Longer than a worker may be silent whose lock is free.
    eventually(lambda: os.times().elapsed - began > 8)
    path.touch()
    own_server.restart("fast")
    jobs.wait_all(ids)
    rows = jobs.query("SELECT DISTINCT attempt, lost, crashes FROM pgqueue.finished_jobs")
    assert rows == [{"attempt": 1, "lost": 0, "crashes": 0}]
    assert children(running) == before
    assert "children are killed" not in running.log()
    stop(running)


def test_a_worker_gives_up_when_told_so(
    own_server: EmbeddedServer, own_jobs: Jobs, worker: StartWorker
) -> None:
    jobs = own_jobs
    running = worker(
        "--processes", "1", "--max-outage", "6s", "--heartbeat", "1", dsn=jobs.dsn, ready=False
    )
    jobs.wait(jobs.add("noop"))
    jobs.close()
    own_server.stop("fast", keep=True)
    assert running.process.wait(PATIENCE) == 3
    assert "pgqueue: PostgreSQL could not be reached for" in running.log()
    assert "Traceback" not in running.log()
