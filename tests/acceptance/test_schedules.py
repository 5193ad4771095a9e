"""Schedules with real workers: fired, told, survived, withdrawn."""

import datetime as dt
import itertools
import signal

import psycopg
import pytest

from tests import factories
from tests.acceptance.support import Jobs, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

APP = "tests.acceptance.recurring"
SECOND = dt.timedelta(seconds=1)

SLOTS = """
SELECT r.slot, r.fired_at, o.state, o.result
FROM pgqueue.schedule_runs AS r
JOIN pgqueue.schedules AS s ON s.id = r.schedule_id
LEFT JOIN pgqueue.job_overview AS o ON o.id = r.job_id
WHERE s.name = %s
ORDER BY r.slot
"""


def slots(jobs: Jobs, name: str) -> list[dt.datetime]:
    return [row["slot"] for row in jobs.query(SLOTS, name)]


def assert_every_second(jobs: Jobs, name: str) -> None:
    """No slot is missing, none is early, each has one job."""
    found = slots(jobs, name)
    assert {later - one for one, later in itertools.pairwise(found)} <= {SECOND}
    assert all(row["fired_at"] >= row["slot"] for row in jobs.query(SLOTS, name))
    counted = jobs.value(
        "SELECT count(*) FROM pgqueue.jobs WHERE meta #>> '{pgqueue,schedule}' = %s", name
    )
    assert counted == len(found)


def test_what_code_declares_is_fired_each_second(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", app=APP)
    eventually(lambda: len(slots(jobs, "tick")) >= 4, 60)
    eventually(lambda: len(slots(jobs, "told")) >= 4, 60)
    for name in ("tick", "told"):
        jobs.query("SELECT pgqueue.pause_schedule(%s)", name)
    eventually(lambda: set(jobs.states()) == {"succeeded"})
    for row in jobs.query(SLOTS, "tick"):
        assert row["result"] == ["tick", str(row["slot"].astimezone(dt.UTC))]
    for row in jobs.query(SLOTS, "told"):
        assert row["result"] == f"datetime {row['slot'].astimezone(dt.UTC)}"
    assert_every_second(jobs, "tick")
    assert_every_second(jobs, "told")
    stop(running)


@pytest.mark.parametrize("place", ["before_fire", "after_fire"])
def test_a_leader_that_is_killed_loses_and_doubles_nothing(
    jobs: Jobs, worker: StartWorker, place: str
) -> None:
    jobs.query("SELECT pgqueue.schedule('s', 'tests.acceptance.tasks.noop', every => '1s')")
    for _ in range(2):
        # Each leads, for nobody else does, and dies while it fires.
        doomed = worker(
            "--processes", "1", env={"PGQUEUE_FAILPOINTS": f"{place}=kill9"}, ready=False
        )
        assert doomed.process.wait(60) == -signal.SIGKILL
        jobs.query("UPDATE pgqueue.workers SET heartbeat_at = now() - interval '1 day'")
    before = len(slots(jobs, "s"))
    running = worker("--processes", "1")
    eventually(lambda: len(slots(jobs, "s")) >= before + 4, 60)
    jobs.query("SELECT pgqueue.pause_schedule('s')")
    eventually(lambda: set(jobs.states()) == {"succeeded"})
    if not jobs.value(
        "SELECT bool_or(fired_at - slot > interval '60 s') FROM pgqueue.schedule_runs"
    ):
        # Later than that, by a slow machine, slots count as missed.
        assert_every_second(jobs, "s")
    stop(running)


def test_a_schedule_made_now_is_fired_at_once(jobs: Jobs, worker: StartWorker) -> None:
    """The leader is rung, and a start that lies back is run once."""
    running = worker("--processes", "1")
    eventually(lambda: jobs.value("SELECT bool_or(is_leader) FROM pgqueue.workers"))
    jobs.query(
        "SELECT pgqueue.schedule('s', 'tests.acceptance.tasks.noop', every => '1 day',"
        " starts_at => now() - interval '10 days')"
    )
    eventually(lambda: jobs.states() == {"succeeded": 1})
    stop(running)


def test_old_jobs_are_removed_by_a_schedule(jobs: Jobs, worker: StartWorker, db: Database) -> None:
    """By a task that every worker knows; what its own retention keeps goes too."""
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        for days in (9, 20, 400):
            ended = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
            factories.finished(connection, state="failed", finished_at=ended)
    jobs.query(
        "SELECT pgqueue.schedule('clean', 'pgqueue.remove_old_jobs', run_at => now(),"
        " args => '[\"15d\"]')"
    )
    running = worker("--processes", "1")
    result = "SELECT last_result FROM pgqueue.schedule_overview"
    eventually(lambda: jobs.value(result) == 2)
    assert jobs.states() == {"failed": 1, "succeeded": 1}
    stop(running)


def test_a_task_that_nobody_knows_is_shown(jobs: Jobs, worker: StartWorker) -> None:
    jobs.query("SELECT pgqueue.schedule('s', 'no.such.task', every => '1s')")
    running = worker("--processes", "1")
    status = "SELECT status FROM pgqueue.schedule_overview"
    eventually(lambda: jobs.value(status) == "error", 60)
    error = jobs.value("SELECT error FROM pgqueue.schedule_overview")
    assert error.startswith("no worker knows the task no.such.task")
    jobs.query("SELECT pgqueue.delete_schedule('s')")
    stop(running)


def test_code_that_declares_no_more_is_shown(jobs: Jobs, worker: StartWorker, db: Database) -> None:
    """The database was told of another schedule by the same module."""
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pgqueue.declare_schedules(ARRAY[%s], %s)",
            (APP, f'[{{"module": "{APP}", "name": "gone", "task": "t", "every": "1s"}}]'),
        )
    running = worker("--processes", "1", app=APP)
    status = "SELECT status FROM pgqueue.schedule_overview WHERE name = 'gone'"
    eventually(lambda: jobs.value(status) == "undeclared")
    for name in ("tick", "told"):
        jobs.query("SELECT pgqueue.pause_schedule(%s)", name)
    # Said once the database has it.
    eventually(lambda: "1 no more" in running.log())
    stop(running)


def test_a_job_reschedules_itself(jobs: Jobs, worker: StartWorker) -> None:
    """From now, and then from the planned instant, so that nothing drifts."""
    first = jobs.add(f"{APP}.again", 1)
    running = worker("--processes", "1", app=APP)
    for name in ("tick", "told"):
        eventually(lambda name=name: jobs.query("SELECT pgqueue.pause_schedule(%s)", name))
    jobs.wait(first)
    mine = "SELECT id FROM pgqueue.jobs WHERE task = %s ORDER BY id"
    eventually(lambda: len(jobs.query(mine, f"{APP}.again")) == 3)
    second, third = [row["id"] for row in jobs.query(mine, f"{APP}.again")][1:]
    planned = jobs.wait(second)["result"]
    last = jobs.look(third)
    assert last["state"] == "scheduled"
    assert last["run_at"] == dt.datetime.fromisoformat(planned) + dt.timedelta(days=1)
    # From an atomic coroutine, whose first attempt fails and takes what it enqueued along.
    jobs.wait(jobs.add(f"{APP}.once_more"))
    fourth = jobs.query(mine, f"{APP}.once_more")[1:]
    assert len(fourth) == 1
    last = jobs.look(fourth[0]["id"])
    told = jobs.value(
        "SELECT meta #>> '{pgqueue,planned_at}' FROM pgqueue.jobs WHERE id = %s", last["id"]
    )
    assert last["run_at"] == dt.datetime.fromisoformat(told)
    stop(running)
