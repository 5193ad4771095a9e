"""Workers that are told to stop, and those that stop by themselves."""

import os
import signal

import pytest

from tests.acceptance.support import Jobs, closed_gate, descendants, figures, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually


def gone(running: RunningWorker, below: list[int], jobs: Jobs) -> None:
    """Nothing of a worker is left."""
    eventually(lambda: not any(map(is_running, below)))
    assert jobs.query("SELECT * FROM pgqueue.workers WHERE pid = %s", running.pid) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_graceful_stop(
    number: signal.Signals, threads: str, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    warm = jobs.add_many(300, "noop")
    running = worker("--processes", "1", "--threads", threads, "--grace", "600")
    # From here on the child is given jobs ahead.
    jobs.wait_all(warm)
    with closed_gate(db, 1):
        with jobs.connection.transaction():
            job = jobs.add("gate", 1)
            # So many that some still wait in the child when the word comes.
            jobs.add_many(1000, "gate", 1)
        jobs.wait_at_gate(1, int(threads))
        below = descendants(running.pid)
        running.process.send_signal(number)
        eventually(lambda: jobs.states() == {
            "succeeded": 300, "running": int(threads), "ready": 1001 - int(threads),
        })  # fmt: skip
        jobs.add("noop")
        assert running.process.poll() is None
    assert running.process.wait(PATIENCE) == 0
    assert jobs.state(job) == "succeeded"
    assert jobs.states() == {"succeeded": 300 + int(threads), "ready": 1002 - int(threads)}
    untouched = jobs.query("SELECT DISTINCT attempt, lost, crashes FROM pgqueue.ready_jobs")
    assert untouched == [{"attempt": 0, "lost": 0, "crashes": 0}]
    assert figures(running)["jobs"] == 300 + int(threads)
    gone(running, below, jobs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_interrupts(
    number: signal.Signals, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    with closed_gate(db, 1):
        ids = jobs.add_many(2, "gate", 1)
        running = worker("--processes", "2", "--grace", "600")
        jobs.wait_at_gate(1, 2)
        waiting = jobs.add("noop")
        below = descendants(running.pid)
        running.process.send_signal(number)
        eventually(lambda: "stopping" in running.log())
        running.process.send_signal(number)
        assert running.process.wait(PATIENCE) == 0
        for job in ids:
            found = jobs.look(job)
            assert (found["state"], found["attempt"], found["lost"]) == ("ready", 1, 1)
            assert found["crashes"] == 0
            assert jobs.errors(job) == []
        assert jobs.look(waiting)["attempt"] == 0
        gone(running, below, jobs)
    worker("--processes", "2")
    jobs.wait_all([*ids, waiting])
    assert {jobs.look(job)["attempt"] for job in ids} == {2}


def test_a_job_that_outlives_the_grace(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        running = worker("--processes", "1", "--grace", "0.5")
        jobs.wait_at_gate(1)
        assert running.stop() == 0
    found = jobs.look(job)
    assert (found["state"], found["attempt"], found["lost"]) == ("ready", 1, 1)


def test_a_signal_to_every_process_of_the_worker(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    # Ctrl-C reaches the whole terminal, a service manager's stop the whole control group.
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        running = worker("--processes", "1")
        jobs.wait_at_gate(1)
        for pid in [running.pid, *descendants(running.pid)]:
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM) if pid != running.pid else None
        eventually(lambda: "stopping" in running.log())
    assert running.process.wait(PATIENCE) == 0
    assert jobs.look(job)["state"] == "succeeded"


def test_burst(jobs: Jobs, worker: StartWorker) -> None:
    ids = jobs.add_many(3000, "noop")
    failed = jobs.add("fail")
    later = jobs.add("noop", run_at="2100-01-01")
    running = worker("--burst", "--processes", "2", ready=False)
    assert running.process.wait(PATIENCE) == 0, running.log()
    assert jobs.states(ids) == {"succeeded": 3000}
    assert jobs.state(failed) == "failed"
    assert jobs.state(later) == "scheduled"
    assert jobs.query("SELECT * FROM pgqueue.workers") == []
    assert figures(running)["jobs"] == 3001


def test_burst_on_an_empty_queue(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--burst", ready=False)
    assert running.process.wait(PATIENCE) == 0, running.log()
    assert figures(running)["jobs"] == 0


def test_burst_takes_what_comes_meanwhile(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        first = jobs.add_many(2, "gate", 1)
        running = worker("--burst", "--processes", "1")
        jobs.wait_at_gate(1)
        second = jobs.add_many(20, "noop")
    assert running.process.wait(PATIENCE) == 0
    assert jobs.states([*first, *second]) == {"succeeded": 22}


def test_many_starts_and_stops(jobs: Jobs, worker: StartWorker) -> None:
    """Stop in the middle of a backlog, again and again: every job runs once."""
    ids = jobs.add_many(8000, "noop")
    for _ in range(3):
        running = worker("--processes", "2")
        assert stop(running)["lost_leases"] == 0
        assert "running" not in jobs.states()
    running = worker("--processes", "2", "--burst", ready=False)
    assert running.process.wait(PATIENCE) == 0
    assert jobs.states(ids) == {"succeeded": len(ids)}
    rows = jobs.query("SELECT DISTINCT attempt, lost FROM pgqueue.finished_jobs")
    assert rows == [{"attempt": 1, "lost": 0}]
