"""Workers that are killed, workers beside each other: nothing lost, nothing done twice."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.acceptance.support import (
    Jobs,
    closed_gate,
    descendants,
    is_running,
    presume_lost,
    stop,
)
from tests.faults.proxy import Proxy
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually


def test_a_killed_supervisor(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    jobs.make_notes()
    with closed_gate(db, 1):
        running = worker("--processes", "2", "--lease", "600")
        ran = [jobs.add("note_and_gate", f"ran {n}", 1) for n in range(2)]
        jobs.wait_at_gate(1, 2)
        waiting = jobs.add_many(300, "noop")
        below = descendants(running.pid)
        running.kill()
        eventually(lambda: not any(map(is_running, below)))
        assert jobs.states(ran) == {"running": 2}
        jobs.wait_at_gate(1, 0)
        other = worker("--processes", "2", "--fallback", "600")
        # Its jobs come back without waiting for the whole lease.
        jobs.wait_at_gate(1, 2)
    jobs.wait_all([*ran, *waiting])
    for job in ran:
        found = jobs.look(job)
        assert (found["attempt"], found["lost"], found["crashes"]) == (2, 1, 0)
        assert [error["kind"] for error in jobs.errors(job)] == ["lost"]
    assert sorted(jobs.notes()) == ["ran 0", "ran 0", "ran 1", "ran 1"]
    assert jobs.query("SELECT DISTINCT attempt FROM pgqueue.finished_jobs WHERE lost = 0") == [
        {"attempt": 1}
    ]
    assert jobs.value("SELECT count(*) FROM pgqueue.workers") == 1
    assert "rescued" in other.log()
    assert stop(other)["by_fallback"] == 0


def test_a_killed_supervisor_under_load(jobs: Jobs, worker: StartWorker) -> None:
    """Whatever it was about to take, to run or to write down."""
    total = 10_000
    ids = jobs.add_many(total, "noop")
    for share in (0.1, 0.4):
        running = worker("--processes", "2")
        below = descendants(running.pid)

        def is_far(share: float = share) -> bool:
            done = jobs.value("SELECT count(*) FROM pgqueue.finished_jobs")
            return bool(done >= share * total)

        eventually(is_far)
        running.kill()
        eventually(lambda below=below: not any(map(is_running, below)))
        presume_lost(jobs, running)
    worker("--processes", "2")
    jobs.wait_all(ids)
    wrong = jobs.query("SELECT * FROM pgqueue.finished_jobs WHERE attempt <> lost + 1 LIMIT 5")
    assert wrong == []
    # A job is told off only for the attempts that were lost.
    assert jobs.value("SELECT count(*) FROM pgqueue.job_errors WHERE kind <> 'lost'") == 0


def test_a_frozen_worker_comes_back_as_another(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        frozen = worker("--processes", "1")
        jobs.wait_at_gate(1)
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            presume_lost(jobs, frozen)
            other = worker("--processes", "1")
            eventually(lambda: jobs.look(job)["lost"] == 1 and jobs.state(job) == "running")
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        eventually(lambda: "given up as lost" in frozen.log())
        eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers") == 2)
        # The attempt of the one that was lost is stopped, so the gate is asked by one alone.
        jobs.wait_at_gate(1)
    found = jobs.wait(job)
    assert (found["attempt"], found["lost"]) == (2, 1)
    ids = jobs.add_many(200, "noop")
    jobs.wait_all(ids)
    assert stop(frozen)["lost_leases"] == 0
    stop(other)


def test_six_workers(jobs: Jobs, worker: StartWorker) -> None:
    running = [worker("--processes", "1", ready=False) for _ in range(6)]
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers") == 6)
    ids = jobs.add_many(3000, "noop", queue="many")
    jobs.wait_all(ids)
    figures = [stop(one) for one in running]
    assert sum(one["jobs"] for one in figures) == 3000
    assert sum(one["lost_leases"] for one in figures) == 0
    rows = jobs.query("SELECT DISTINCT state, attempt, lost, crashes FROM pgqueue.finished_jobs")
    assert rows == [{"state": "succeeded", "attempt": 1, "lost": 0, "crashes": 0}]
    assert jobs.problems() == []
    assert jobs.query("SELECT * FROM pgqueue.workers") == []


@pytest.mark.parametrize("task", ["until_cancelled", "auntil_cancelled"])
def test_a_running_job_is_cancelled(task: str, jobs: Jobs, worker: StartWorker) -> None:
    ids = jobs.add_many(2, task)
    running = worker("--processes", "1", "--threads", "3", "--heartbeat", "200", "--lease", "600")
    for job in ids:
        jobs.wait(job, "running")
    assert jobs.value("SELECT pgqueue.cancel(%s, 'enough')", ids[0]) == "running"
    # Told by a notification: the next heartbeat is far.
    assert jobs.wait(ids[0], "cancelled")["error"] == "cancelled: enough"
    assert jobs.state(ids[1]) == "running"
    jobs.query("SELECT pgqueue.cancel(%s)", ids[1])
    assert jobs.wait(ids[1], "cancelled")["error"] == "cancelled"
    eventually(lambda: jobs.query("SELECT * FROM pgqueue.cancel_requests") == [])
    # A job that runs anew is not the one that was cancelled.
    again = jobs.value("SELECT pgqueue.retry(%s)", ids[0])
    assert again == "ready"
    jobs.wait(ids[0], "running")
    jobs.wait_all(jobs.add_many(50, "noop"))
    assert jobs.state(ids[0]) == "running"
    jobs.query("SELECT pgqueue.cancel(%s)", ids[0])
    jobs.wait(ids[0], "cancelled")
    stop(running)


def test_a_job_is_cancelled_before_the_answer_to_its_claim_is_here(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    with Proxy.before(db.tcp_dsn) as slow:
        times = ("--heartbeat", "200", "--lease", "600")
        running = worker(
            "--processes", "1", "--listen-dsn", db.dsn, *times, dsn=slow.dsn(db.tcp_dsn)
        )
        jobs.wait(jobs.add("noop"))
        slow.delay = 0.2
        job = jobs.add("until_cancelled")
        jobs.wait(job, "running")
        jobs.query("SELECT pgqueue.cancel(%s)", job)
        # Not only by the next heartbeat, which is far.
        jobs.wait(job, "cancelled")
        slow.delay = 0
        stop(running)


def test_no_outcome_is_dropped_beside_meddling(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    """Cancels, progress and priorities of the very jobs that are being finished."""
    jobs.make_notes()
    ids = jobs.add_many(1000, "note_it", "ran")
    running = worker("--processes", "2", "--threads", "2", "--cancel-grace", "600")
    statements = (
        "SELECT pgqueue.cancel(%s) WHERE %s %% 7 = 0",
        "SELECT pgqueue.set_progress(%s, (%s %% 10) / 10.0)",
        "SELECT pgqueue.set_priority(%s, (%s %% 100)::integer)",
    )

    def meddle(statement: str) -> None:
        with psycopg.connect(db.dsn, autocommit=True) as connection:
            for job in [*ids, *reversed(ids)]:
                connection.execute(statement.encode(), [job, job])

    with ThreadPoolExecutor(len(statements)) as threads:
        for done in [threads.submit(meddle, statement) for statement in statements]:
            done.result()
    eventually(lambda: jobs.states().keys() <= {"succeeded", "cancelled"})
    found = jobs.states()
    assert sum(found.values()) == 1000
    succeeded = jobs.value("SELECT count(*) FROM pgqueue.finished_jobs WHERE state = 'succeeded'")
    # What ran has told so, or was cancelled while it ran; nothing ran twice.
    assert succeeded <= len(jobs.notes()) <= 1000
    assert succeeded >= 1000 - len([job for job in ids if job % 7 == 0])
    rows = jobs.query("SELECT max(attempt) AS most FROM pgqueue.finished_jobs")
    assert rows == [{"most": 1}]
    assert stop(running)["lost_leases"] == 0
    assert jobs.problems() == []
