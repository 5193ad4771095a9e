"""Children that are replaced between jobs: after so many, or when they have grown too large."""

import itertools
import os
import resource
import signal
from collections import Counter

import pytest

from tests.acceptance.support import (
    Jobs,
    asleep,
    children,
    closed_gate,
    descendants,
    is_running,
    stop,
)
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually


def pids(jobs: Jobs, ids: list[int]) -> Counter[int]:
    """Count the jobs that each process has run."""
    rows = jobs.query("SELECT result FROM pgqueue.finished_jobs WHERE job_id = ANY (%s)", ids)
    return Counter(row["result"]["pid"] for row in rows)


def untouched(jobs: Jobs) -> bool:
    rows = jobs.query("SELECT DISTINCT attempt, lost, crashes FROM pgqueue.finished_jobs")
    return rows == [{"attempt": 1, "lost": 0, "crashes": 0}]


@pytest.mark.parametrize(("most", "total"), [(1, 30), (10, 300)])
def test_so_many_jobs(most: int, total: int, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--max-jobs", str(most))
    ids = jobs.add_many(total, "where")
    jobs.wait_all(ids)
    found = pids(jobs, ids)
    assert max(found.values()) <= most
    assert len(found) >= total / most
    assert untouched(jobs)
    eventually(lambda: len(children(running)) == 2)
    assert not any(map(is_running, set(found) - set(children(running))))
    assert "ended" not in running.log(), "that is nothing to worry about"
    stop(running)


def test_those_that_start_together_do_not_end_together(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--max-jobs", "100")
    ids = jobs.add_many(140, "where")
    jobs.wait_all(ids)
    first = sorted(pids(jobs, ids).items())[:2]
    assert all(number <= most for (_, number), most in zip(first, (100, 75), strict=True))
    stop(running)


def test_a_long_job_keeps_its_child_and_nobody_else(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "1", "--threads", "2", "--max-jobs", "4")
    with closed_gate(db, 1):
        long = jobs.add("gate_where", 1)
        jobs.wait_at_gate(1)
        ids = jobs.add_many(20, "where")
        # The other slot goes on, in one child after the other.
        jobs.wait_all(ids)
        found = pids(jobs, ids)
        assert len(found) >= 5
        eventually(lambda: len(children(running)) == 2)
        more = jobs.add_many(3, "gate", 1)
        # No more jobs at once than it was told to run.
        jobs.wait_at_gate(1, 2)
        assert jobs.value("SELECT count(*) FROM pgqueue.running_jobs") == 2
    jobs.wait_all([long, *more])
    assert untouched(jobs)
    eventually(lambda: len(children(running)) == 1)
    stop(running)


def test_memory(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--max-rss", "300MB")
    eventually(lambda: len(children(running)) == 2)
    small, other = children(running)
    grown = jobs.wait(jobs.add("grow", 400))["result"]
    assert grown in (small, other)
    eventually(lambda: not is_running(grown))
    eventually(lambda: len(children(running)) == 2)
    assert {small, other} - {grown} < set(children(running)), "the other one was not large"
    ids = jobs.add_many(50, "where")
    jobs.wait_all(ids)
    assert grown not in pids(jobs, ids)
    assert untouched(jobs)
    stop(running)


def test_memory_that_nobody_can_keep_to(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--max-rss", "2MiB")
    eventually(lambda: "a child that has run no job uses" in running.log())
    before = children(running)
    jobs.wait(jobs.add("noop"))
    eventually(lambda: children(running) not in ([], before))
    jobs.wait(jobs.add("noop"))
    assert untouched(jobs)
    stop(running)


def test_no_numbers_are_left_for_a_child(jobs: Jobs, worker: StartWorker) -> None:
    """EMFILE in the supervisor: it waits, says so once, and goes on by itself."""
    running = worker("--processes", "2")
    jobs.wait_all(jobs.add_many(20, "noop"))
    limit = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    eventually(lambda: len(children(running)) == 2)
    # Its listener is there too.
    eventually(lambda: asleep(jobs) == 1)
    first, second = children(running)
    used = {int(fd) for fd in os.listdir(f"/proc/{running.pid}/fd")}
    free = next(fd for fd in itertools.count() if fd not in used)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (free, limit[1]))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: "a child cannot be forked: Too many open files" in running.log())
    # The other child goes on.
    jobs.wait_all(jobs.add_many(20, "noop"))
    os.kill(second, signal.SIGKILL)
    eventually(lambda: children(running) == [])
    waiting = jobs.add_many(20, "noop")
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, limit)
    jobs.wait_all(waiting)
    eventually(lambda: len(children(running)) == 2)
    assert running.log().count("cannot be forked") == 1
    assert running.log().count("children can be forked again") == 1
    stop(running)


def test_no_numbers_are_left_for_the_zygote(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2")
    jobs.wait_all(jobs.add_many(20, "noop"))
    zygote, *_ = descendants(running.pid)
    limit = resource.prlimit(zygote, resource.RLIMIT_NOFILE)
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, (3, limit[1]))
    for pid in children(running):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: "a child cannot be forked: Too many open files" in running.log())
    waiting = jobs.add_many(20, "noop")
    assert is_running(zygote)
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, limit)
    jobs.wait_all(waiting)
    eventually(lambda: len(children(running)) == 2)
    assert running.log().count("cannot be forked") == 1
    assert running.log().count("children can be forked again") == 1
    stop(running)
