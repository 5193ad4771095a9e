"""Running jobs that are cancelled: asked first, killed then; nobody else is blamed."""

from collections.abc import Callable

import pytest

from pgqueue import PgQueue
from tests.acceptance.support import PREFIX, Jobs, children, closed_gate, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually, run_cli

Cancel = Callable[[Database, int], None]


def by_python(db: Database, job: int) -> None:
    with PgQueue(db.dsn) as app:
        assert app.job(job).cancel("enough") == "running"


def by_sql(db: Database, job: int) -> None:
    assert db.execute("SELECT pgqueue.cancel(%s, 'enough')", [job]) == [("running",)]


def by_command(db: Database, job: int) -> None:
    done = run_cli("jobs", "cancel", str(job), "--reason", "enough", dsn=db.dsn)
    assert done.returncode == 0, done.stderr
    assert "was asked to stop" in done.stdout


@pytest.mark.parametrize("cancel", [by_python, by_sql, by_command])
def test_a_job_that_does_not_listen_is_killed(
    cancel: Cancel, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    with closed_gate(db, 1), closed_gate(db, 2):
        running = worker("--processes", "1", "--threads", "2", "--cancel-grace", "0.5")
        job = jobs.add("stubborn", 1)
        beside = jobs.add("gate", 2)
        jobs.wait_at_gate(1)
        jobs.wait_at_gate(2)
        behind = jobs.add_many(3, "noop")
        (before,) = children(running)
        cancel(db, job)
        found = jobs.wait(job, "cancelled")
        assert (found["error"], found["attempt"], found["crashes"]) == ("cancelled: enough", 1, 0)
        assert found["started_at"] is not None
        eventually(lambda: not is_running(before))
        # It ran in the same process, is not to blame, and runs again.
        jobs.wait_at_gate(2)
    found = jobs.wait(beside)
    assert (found["attempt"], found["lost"], found["crashes"]) == (2, 1, 0)
    assert jobs.errors(beside) == []
    jobs.wait_all(behind)
    assert {jobs.look(one)["attempt"] for one in behind} == {1}
    assert f"killed: job {job} went on after it was cancelled" in running.log()
    assert jobs.query("SELECT * FROM pgqueue.cancel_requests") == []
    stop(running)


def test_a_job_that_listens_costs_no_process(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--cancel-grace", "600")
    job = jobs.add("until_cancelled")
    jobs.wait(job, "running")
    before = children(running)
    jobs.query("SELECT pgqueue.cancel(%s)", job)
    jobs.wait(job, "cancelled")
    assert children(running) == before
    stop(running)


def test_what_is_held_and_has_not_begun_never_begins(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    jobs.make_notes()
    warm = jobs.add_many(300, "noop")
    running = worker("--processes", "1")
    jobs.wait_all(warm)
    with closed_gate(db, 1):
        with jobs.connection.transaction():
            first = jobs.add("gate", 1)
            rest = jobs.add_many(5, "note_it", "ran")
        jobs.wait_at_gate(1)
        for job in rest:
            jobs.query("SELECT pgqueue.cancel(%s)", job)
        jobs.wait_all(rest, "cancelled")
        assert {jobs.look(job)["attempt"] for job in rest} == {0}
    jobs.wait(first)
    assert jobs.notes() == []
    stop(running)


def test_a_cancel_at_the_end_of_the_worker(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """Killed for the end of the worker, a job that somebody wanted stopped does not run again."""
    with closed_gate(db, 1):
        # Nor killed for not listening before that.
        running = worker("--processes", "1", "--grace", "0.5", "--cancel-grace", "600")
        job = jobs.add("stubborn", 1)
        jobs.wait_at_gate(1)
        jobs.query("SELECT pgqueue.cancel(%s)", job)
        assert running.stop() == 0
        assert jobs.state(job) == "cancelled"


def test_the_limit_of_the_worker(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--threads", "2", "--timeout", "0.5")
    job = jobs.add("until_cancelled")
    found = jobs.wait(job, "failed")
    assert "the limit of 0.5 seconds was passed" in found["error"]
    own = jobs.add("until_cancelled", timeout="1 s")
    assert "the limit of 1 seconds" in jobs.wait(own, "failed")["error"]
    assert "the limit of 1 seconds" in jobs.wait(jobs.add("spin"), "failed")["error"]
    assert PREFIX in jobs.look(job)["task"]
    stop(running)
