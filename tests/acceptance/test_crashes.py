"""Children that die: what ran there is tried again, what did not is not touched."""

import datetime as dt
import os
import signal

import pytest

from tests.acceptance.support import Jobs, children, closed_gate, descendants, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually


def test_a_job_whose_process_ends_runs_again(jobs: Jobs, worker: StartWorker) -> None:
    job = jobs.add("vanish_once")
    running = worker("--processes", "1", "--fallback", "600")
    found = jobs.wait(job)
    assert (found["result"], found["attempt"], found["lost"], found["crashes"]) == (2, 2, 1, 1)
    (error,) = jobs.errors(job)
    assert error["kind"] == "crashed"
    assert error["message"] == "the process that ran it ended: exited with code 7"
    # Not at once: what killed its process may pass.
    assert found["started_at"] - error["at"] >= dt.timedelta(seconds=0.5)
    assert len(children(running)) == 1
    assert stop(running)["by_fallback"] == 0


@pytest.mark.parametrize(
    ("task", "how"),
    [
        ("vanish", "exited with code 7"),
        ("segfault", "killed by SIGSEGV"),
        ("abort", "killed by SIGABRT"),
        ("kill_itself", "killed by SIGKILL (possibly out of memory)"),
    ],
)
def test_a_job_that_kills_its_process_is_given_up(
    task: str, how: str, jobs: Jobs, worker: StartWorker
) -> None:
    # However many attempts it has: a crash is not one of them, but the third is the last.
    job = jobs.add(task, max_attempts=100)
    running = worker("--processes", "1")
    found = jobs.wait(job, "failed")
    assert found["error"] == f"crash_loop: the process that ran it ended: {how}"
    assert (found["attempt"], found["crashes"]) == (3, 3)
    assert [error["kind"] for error in jobs.errors(job)] == ["crashed"] * 3
    jobs.wait(jobs.add("noop"))
    assert running.log().count(f"ended: {how}") == 3


def test_a_killed_child_is_replaced(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        ran = jobs.add_many(4, "gate", 1)
        running = worker("--processes", "2", "--threads", "2")
        jobs.wait_at_gate(1, 4)
        unstarted = jobs.add_many(3, "noop")
        victim, other = children(running)
        os.kill(victim, signal.SIGKILL)
        jobs.wait_all(unstarted)
        eventually(lambda: len(set(children(running)) - {victim, other}) == 1)
        # Both that ran there are at the gate again, those of the other child still are.
        jobs.wait_at_gate(1, 4)
    jobs.wait_all(ran)
    found = sorted((row["attempt"], row["lost"], row["crashes"]) for row in map(jobs.look, ran))
    assert found == [(1, 0, 0)] * 2 + [(2, 1, 1)] * 2
    for job in unstarted:
        assert jobs.look(job)["attempt"] == 1
    stop(running)


def test_jobs_behind_one_that_crashes(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    warm = jobs.add_many(300, "noop")
    running = worker("--processes", "1")
    # From here on the child is given many jobs ahead.
    jobs.wait_all(warm)
    with closed_gate(db, 1), jobs.connection.transaction():
        ids = jobs.add_many(3, "noop")
        deadly = jobs.add("vanish_once")
        ids += jobs.add_many(100, "noop")
    jobs.wait_all([deadly, *ids])
    # At least once: what had ended and was not told yet has run again, and nobody else.
    rows = [jobs.look(job) for job in ids]
    assert {(row["attempt"], row["lost"], row["crashes"]) for row in rows[3:]} == {(1, 0, 0)}
    assert {row["crashes"] for row in rows} == {0}
    assert all(row["attempt"] == row["lost"] + 1 for row in rows)
    assert jobs.query("SELECT DISTINCT job_id FROM pgqueue.job_errors") == [{"job_id": deadly}]
    stop(running)


def test_the_process_that_forks_is_killed(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        running = worker("--processes", "2")
        jobs.wait_at_gate(1)
        zygote, *before = descendants(running.pid)
        os.kill(zygote, signal.SIGKILL)
        eventually(lambda: not any(map(is_running, before)))
        jobs.wait_all(jobs.add_many(10, "noop"))
        jobs.wait_at_gate(1)
        eventually(lambda: len(children(running)) == 2)
    found = jobs.wait(job)
    assert (found["attempt"], found["crashes"]) == (2, 0)
    stop(running)


def test_the_process_that_forks_is_killed_while_it_imports(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1")
    before = descendants(running.pid)
    os.kill(before[0], signal.SIGKILL)
    # The next one too, before it has imported anything.
    successor = eventually(lambda: [n for n in descendants(running.pid) if n not in before])[0]
    os.kill(successor, signal.SIGKILL)
    jobs.wait_all(jobs.add_many(10, "noop"))
    stop(running)
