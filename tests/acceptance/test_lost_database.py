"""A database that goes away and comes back: nothing lost, nothing said twice, no spinning."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, stop
from tests.fixtures.databases import Database, start_server
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually


@pytest.fixture
def own_jobs(own_server: EmbeddedServer) -> Iterator[Jobs]:
    """Jobs in a server of this test alone."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        schema.upgrade(connection)
    found = Jobs(own_server.dsn())
    yield found
    found.close()


def warnings(running: RunningWorker) -> list[str]:
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_is_restarted(
    mode: Literal["fast", "immediate"],
    own_server: EmbeddedServer,
    own_jobs: Jobs,
    worker: StartWorker,
) -> None:
    jobs = own_jobs
    total = 10_000
    ids = jobs.add_many(total, "noop")
    running = worker("--processes", "2", "--fallback", "600", dsn=jobs.dsn, ready=False)
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.finished_jobs") >= total / 10)
    jobs.close()
    own_server.stop(mode, keep=True)
    eventually(lambda: "trying until it works" in running.log())
    own_server.restart(mode)
    jobs.wait_all(ids)
    # An attempt may have come to nothing, never an outcome.
    wrong = jobs.query("SELECT * FROM pgqueue.finished_jobs WHERE attempt > lost + 2 LIMIT 5")
    assert wrong == []
    assert jobs.problems() == []
    late = jobs.add("noop")
    jobs.wait(late)
    figures = stop(running)
    assert figures["by_fallback"] == 0
    assert figures["reconnects"] == 2
    # The listener's connection and the other were lost, once (of the other it is said if it was
    # just used); and nobody could connect.
    said = warnings(running)
    assert 2 <= len(said) <= 3, said
    assert len(set(said)) == len(said), said
    assert running.log().count("connected again") == 1
    assert "Traceback" not in running.log()


def test_the_server_forgets_a_claim(
    postgres_bin: str | None, tmp_path: Path, worker: StartWorker
) -> None:
    """A claim is not flushed, so that a crash may take it back; the copy that runs is ended."""
    seen = tmp_path / "processes"
    with start_server(postgres_bin) as own:
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            schema.upgrade(connection)
        jobs = Jobs(own.dsn())
        running = worker("--processes", "1", "--heartbeat", "5", dsn=own.dsn(), ready=False)
        jobs.wait(jobs.add("noop"))
        # Nobody else commits what is to be flushed, and who would do it by and by stands still.
        eventually(lambda: "leading" in running.log())
        writer = jobs.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        os.kill(writer, signal.SIGSTOP)
        job = jobs.add("first_stays", str(seen))
        eventually(lambda: seen.exists() and seen.read_text().count("\n") == 1)
        jobs.close()
        os.kill(writer, signal.SIGKILL)  # the server crashes with it, and recovers by itself
        eventually(lambda: seen.read_text().count("\n") == 2, timeout=60)
        row = jobs.wait(job)
        assert (row["attempt"], row["lost"], row["crashes"]) == (1, 0, 0)
        first, second = seen.read_text().split()
        assert first != second
        eventually(lambda: not Path("/proc", first).exists())
        assert stop(running)["lost_leases"] == 0
        assert "killed: 1 of its jobs are not this worker's any more; it held 0" in running.log()
        jobs.close()


def test_a_server_that_stays_away(
    own_server: EmbeddedServer, own_jobs: Jobs, worker: StartWorker
) -> None:
    jobs = own_jobs
    running = worker("--processes", "1", dsn=jobs.dsn, ready=False)
    jobs.wait(jobs.add("noop"))
    jobs.close()
    own_server.stop("fast", keep=True)
    eventually(lambda: running.log().count("trying until it works") == 1)
    used = cpu_seconds(running.pid)
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > 4)
    # One for each connection that was lost, if it was used at all, and one for both.
    said = warnings(running)
    assert len(said) <= 3, said
    assert len(set(said)) == len(said), said
    assert cpu_seconds(running.pid) - used < 1
    # It can still be told to stop, and does not wait for what will not come.
    running.process.terminate()
    eventually(lambda: "stopping" in running.log())
    running.process.terminate()
    assert running.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("which", ["listener", "work", "all"])
def test_connections_are_terminated(
    which: str, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    ids = jobs.add_many(2000, "noop")
    running = worker("--processes", "2", "--fallback", "600")
    jobs.wait_all(ids[:100])
    # The listener's session is the one that holds the worker's liveness lock.
    for _ in range(3):
        # The worker has both, and nothing is left of those before.
        found = eventually(lambda: both(jobs))
        more = jobs.add_many(2000, "noop")
        # Waits until it is gone.
        victims = found if which == "all" else [found[which == "work"]]
        query = "SELECT bool_and(pg_terminate_backend(pid, 60000)) FROM unnest(%s) AS pid"
        assert jobs.value(query, victims)
        ids += more
        jobs.wait_all(more)
        lone = jobs.add("noop")
        jobs.wait(lone)
    eventually(lambda: both(jobs))
    jobs.wait_all(ids)
    rows = jobs.query("SELECT DISTINCT attempt - lost AS attempts FROM pgqueue.finished_jobs")
    assert rows == [{"attempts": 1}]
    figures = stop(running)
    assert figures["by_fallback"] == 0
    assert figures["reconnects"] == (6 if which == "all" else 3)
    said = warnings(running)
    assert len(said) <= figures["reconnects"], said


def test_connections_are_terminated_again_and_again(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    """A server that lets the worker in and throws it out: it comes back, but not in a frenzy."""
    ids = jobs.add_many(5000, "noop")
    running = worker("--processes", "2", "--fallback", "600")
    used = cpu_seconds(running.pid)
    begun, thrown_out = time.monotonic(), set[int]()
    while (lasted := time.monotonic() - begun) < 5:
        found = jobs.query(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'pgqueue'"
        )
        thrown_out |= {row["pid"] for row in found}
    # The pauses are drawn at random, and grow to a second or two; without them, and with nothing
    # else to do, it would come back hundreds of times a second.
    assert len(thrown_out) <= 50 + 10 * lasted, f"{len(thrown_out)} in {lasted:.1f} s"
    assert cpu_seconds(running.pid) - used < lasted / 2
    jobs.wait_all(ids)
    wrong = jobs.query("SELECT job_id FROM pgqueue.finished_jobs WHERE attempt > lost + 1")
    assert wrong == []
    counted = stop(running)
    assert counted["by_fallback"] == 0
    # A way that opens and closes again is said each time; nothing is said more often than that.
    said = warnings(running)
    assert len(said) <= 5 + len(thrown_out), said


def test_no_connection_is_left_for_the_worker(
    postgres_bin: str | None, tmp_path: Path, worker: StartWorker
) -> None:
    with start_server(
        postgres_bin, max_connections="12", max_wal_senders="0", superuser_reserved_connections="0"
    ) as own:
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            schema.upgrade(connection)
        jobs = Jobs(own.dsn())
        running = worker("--processes", "1", "--lease", "60", dsn=own.dsn(), ready=False)
        jobs.wait(jobs.add("noop"))
        # Whoever is thrown out finds the places taken: it comes too late for them.
        crowd = []
        os.kill(running.pid, signal.SIGSTOP)
        try:
            jobs.query(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE application_name = 'pgqueue'"
            )
            with contextlib.suppress(psycopg.OperationalError):
                while len(crowd) < 20:
                    crowd.append(psycopg.connect(own.dsn()))
        finally:
            os.kill(running.pid, signal.SIGCONT)
        eventually(lambda: own.log().count("too many clients already") >= 10)
        waiting = jobs.add("noop")
        for one in crowd:
            one.close()
        jobs.wait(waiting)
        assert len(warnings(running)) <= 5, warnings(running)
        stop(running)
        jobs.close()


def both(jobs: Jobs) -> list[int]:
    """Give the server processes of a worker's listener and of its other connection; nothing if it
    has not both, or more."""
    rows = jobs.query(
        "SELECT a.pid, EXISTS ("
        " SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.classid = 70677103) AS listens"
        " FROM pg_stat_activity AS a"
        " WHERE a.datname = current_database() AND a.application_name = 'pgqueue'"
        " ORDER BY listens DESC"
    )
    return [row["pid"] for row in rows] if [row["listens"] for row in rows] == [True, False] else []


def cpu_seconds(pid: int) -> float:
    """Give the processor time a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
