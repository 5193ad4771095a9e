"""A database that goes away and comes back: nothing lost, nothing said twice, no spinning."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually


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
    running = worker("--processes", "2", "--fallback", "60", dsn=jobs.dsn, ready=False)
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.finished_jobs") >= total / 10)
    jobs.close()
    own_server.stop(mode, keep=True)
    eventually(lambda: "trying until it works" in running.log())
    own_server.restart(mode)
    jobs.wait_all(ids, timeout=60)
    # An attempt may have come to nothing, never an outcome.
    wrong = jobs.query("SELECT * FROM pgqueue.finished_jobs WHERE attempt > lost + 2 LIMIT 5")
    assert wrong == []
    assert jobs.problems() == []
    late = jobs.add("noop")
    jobs.wait(late)
    figures = stop(running)
    assert figures["by_fallback"] == 0
    assert figures["reconnects"] == 2
    # The listener's connection and the other were lost, once; and nobody could connect.
    said = warnings(running)
    assert len(said) == 3, said
    assert running.log().count("connected again") == 1
    assert "Traceback" not in running.log()


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
    assert running.process.wait(20) == 0


@pytest.mark.parametrize("which", ["listener", "work", "all"])
def test_connections_are_terminated(
    which: str, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    ids = jobs.add_many(2000, "noop")
    running = worker("--processes", "2", "--fallback", "60")
    jobs.wait_all(ids[:100])
    # The listener's session is the one that holds the worker's liveness lock.
    query = (
        "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity AS a"
        " WHERE a.datname = current_database() AND a.application_name = 'pgqueue'"
        " AND a.pid <> pg_backend_pid() AND (%s = 'all' OR (%s = 'listener') = EXISTS ("
        "SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.classid = 70677103))"
    )
    for _ in range(3):
        more = jobs.add_many(2000, "noop")
        assert jobs.value(query, which, which) == (2 if which == "all" else 1)
        ids += more
        jobs.wait_all(more)
        lone = jobs.add("noop")
        jobs.wait(lone)
        eventually(lambda: jobs.value(_CONNECTED) == 2)
    jobs.wait_all(ids)
    rows = jobs.query("SELECT DISTINCT attempt - lost AS attempts FROM pgqueue.finished_jobs")
    assert rows == [{"attempts": 1}]
    figures = stop(running)
    assert figures["by_fallback"] == 0
    assert figures["reconnects"] == (6 if which == "all" else 3)
    said = warnings(running)
    assert len(said) <= figures["reconnects"], said


_CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'pgqueue'"
)


def cpu_seconds(pid: int) -> float:
    """Give the processor time a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
