"""What people and monitors read: the views, health, and the faults that check_invariants finds."""

import datetime as dt
from collections.abc import Callable

import pytest

from tests import factories
from tests.sql.calls import AT, column, one
from tests.sql.sleeper import Connection

SECOND = dt.timedelta(seconds=1)


# job_overview


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (factories.blocked, "blocked"),
        (factories.scheduled, "scheduled"),
        (factories.ready, "ready"),
        (factories.running, "running"),
        (factories.finished, "succeeded"),
    ],
)
def test_a_job_is_shown_with_its_state(c: Connection, make: Callable[..., int], state: str) -> None:
    job = make(c, attempt=3, lost=2, crashes=1, task="t", args="[1]", meta='{"m": 1}')
    query = "SELECT id, state, task, args, meta, attempt, lost, crashes FROM pgqueue.job_overview"
    assert one(c, query) == (job, state, "t", [1], {"m": 1}, 3, 2, 1)


def test_a_scheduled_job_shows_when_it_runs(c: Connection) -> None:
    factories.scheduled(c, AT, reason="snoozed")
    assert one(c, "SELECT run_at, reason FROM pgqueue.job_overview") == (AT, "snoozed")


# queue_stats


def test_queue_stats_counts_by_queue_and_state(c: Connection) -> None:
    worker = factories.worker(c)
    for number, make in enumerate((factories.ready, factories.scheduled, factories.blocked), 1):
        for _ in range(number):
            make(c, queue="mail")
    factories.running(c, worker, queue="mail")
    factories.scheduled(c, queue="mail", reason="unknown_task")
    factories.finished(c, queue="over")
    factories.ready(c, queue="web")
    c.execute("SELECT pgqueue.pause('idle')")
    c.execute("SELECT pgqueue.configure_queue('idle', '1 s', '2 s')")
    query = """
        SELECT queue, ready, scheduled, blocked, running, unknown_task, paused
        FROM pgqueue.queue_stats ORDER BY queue
    """
    assert c.execute(query).fetchall() == [
        ("idle", 0, 0, 0, 0, 0, True),
        ("mail", 1, 3, 3, 1, 1, False),
        ("web", 1, 0, 0, 0, 0, False),
    ]
    query = "SELECT retention_succeeded, retention_other FROM pgqueue.queue_stats"
    assert one(c, query + " WHERE queue = 'idle'") == (SECOND, 2 * SECOND)


def test_queue_stats_tells_how_long_the_next_job_has_waited(c: Connection) -> None:
    query = "SELECT first_waits_seconds FROM pgqueue.queue_stats"
    hour = one(c, "SELECT clock_timestamp() - interval '1 h'")
    factories.job(c, created_at=hour, priority=5)
    factories.job(c)
    assert 3600 <= one(c, query) < 3700


def test_a_pause_that_is_over_is_none(c: Connection) -> None:
    c.execute("SELECT pgqueue.pause('mail', '1 s', '2020-01-01')")
    assert one(c, "SELECT paused FROM pgqueue.queue_stats") is False
    c.execute("SELECT pgqueue.pause('mail', '1 s', %s)", (AT,))
    assert one(c, "SELECT paused, resume_at FROM pgqueue.queue_stats") == (True, AT + SECOND)


# worker_overview


def test_worker_overview(c: Connection) -> None:
    now = one(c, "SELECT clock_timestamp()")
    alive = factories.worker(c, "alive")
    gone = factories.worker(c, "gone", heartbeat_at=now - 60 * SECOND)
    for _ in range(2):
        factories.running(c, gone)
    query = "SELECT id, name, lost, running FROM pgqueue.worker_overview ORDER BY id"
    assert c.execute(query).fetchall() == [(alive, "alive", False, 0), (gone, "gone", True, 2)]
    silent = column(c, "SELECT silent_seconds FROM pgqueue.worker_overview ORDER BY id")
    assert 0 <= silent[0] < 60 <= silent[1] < 120


def test_a_worker_tells_of_its_children(c: Connection) -> None:
    worker = factories.worker(c, "alive")
    query = "SELECT children, replaced FROM pgqueue.worker_overview"
    assert one(c, query) == ([], 0)
    assert one(c, "SELECT pgqueue.tell_children(%s, '{11,12}', 3)", worker) is True
    assert one(c, query) == ([11, 12], 3)
    assert one(c, "SELECT pgqueue.tell_children(%s, '{}', 0)", worker + 1) is False


# health

HEALTH = "SELECT pgqueue.health(%s)"


def test_health_of_an_idle_system(c: Connection) -> None:
    health = one(c, HEALTH, AT)
    # Of the whole server: others may not have read what they listen to.
    assert 0 <= health.pop("notification_queue") < 0.5
    assert health == {
        "status": "ok",
        "workers": 0,
        "workers_lost": 0,
        "leader": False,
        "ready": 0,
        "scheduled": 0,
        "blocked": 0,
        "running": 0,
        "unknown_task": 0,
        "paused_queues": 0,
        "first_waits_seconds": None,
    }


def test_health_counts(c: Connection) -> None:
    worker = factories.worker(c, heartbeat_at=AT, is_leader=True)
    for make in (factories.ready, factories.scheduled, factories.blocked):
        make(c)
    factories.running(c, worker)
    c.execute("SELECT pgqueue.pause('mail')")
    health = one(c, HEALTH, AT)
    assert health.pop("first_waits_seconds") >= 0
    assert health.pop("notification_queue") < 0.5
    assert health == {
        "status": "ok",
        "workers": 1,
        "workers_lost": 0,
        "leader": True,
        "ready": 1,
        "scheduled": 1,
        "blocked": 1,
        "running": 1,
        "unknown_task": 0,
        "paused_queues": 1,
    }


def test_health_misses_a_worker(c: Connection) -> None:
    factories.ready(c)
    assert one(c, HEALTH, AT)["status"] == "no worker"
    factories.worker(c, heartbeat_at=AT, is_leader=True)
    assert one(c, HEALTH, AT + 30 * SECOND)["status"] == "ok"
    health = one(c, HEALTH, AT + 31 * SECOND)
    assert (health["status"], health["workers_lost"], health["leader"]) == ("no worker", 1, False)
    factories.worker(c, heartbeat_at=AT + 20 * SECOND)
    assert one(c, HEALTH, AT + 31 * SECOND)["status"] == "worker lost"


def test_health_tells_of_unknown_tasks(c: Connection) -> None:
    factories.worker(c, heartbeat_at=AT)
    factories.scheduled(c, reason="unknown_task")
    assert one(c, HEALTH, AT)["status"] == "unknown task"


def test_health_does_not_count_the_waiting_of_paused_queues(c: Connection) -> None:
    factories.ready(c, queue="mail")
    c.execute("SELECT pgqueue.pause('mail')")
    assert one(c, HEALTH, AT)["first_waits_seconds"] is None


# check_invariants

FAULTS = {
    "job in no position": (
        "DELETE FROM pgqueue.ready_jobs",
        lambda job: (job, None),
    ),
    "job in two positions": (
        "INSERT INTO pgqueue.blocked_jobs (job_id, reason, queue, priority) "
        "SELECT id, 'slot', queue, priority FROM pgqueue.jobs",
        lambda job: (job, "blocked, ready"),
    ),
    "running job of an unknown worker": (
        "WITH gone AS (DELETE FROM pgqueue.ready_jobs RETURNING job_id) "
        "INSERT INTO pgqueue.running_jobs "
        "SELECT job_id, 4711, 1, 'default', 0, 1, 0, 0, 0, now() FROM gone",
        lambda job: (job, "4711"),
    ),
    "error without a job": (
        "INSERT INTO pgqueue.job_errors VALUES (4711, 1, now(), 'E', '')",
        lambda job: (4711, None),
    ),
    "progress without a job": (
        "INSERT INTO pgqueue.job_progress VALUES (4711, 1)",
        lambda job: (4711, None),
    ),
    "cancel request without a job": (
        "INSERT INTO pgqueue.cancel_requests VALUES (4711)",
        lambda job: (4711, None),
    ),
    "more lost attempts than attempts": (
        "UPDATE pgqueue.ready_jobs SET lost = 2, attempt = 1",
        lambda job: (job, "2 of 1"),
    ),
}

ORPHANS = {
    "blocked": "INSERT INTO pgqueue.blocked_jobs (job_id, reason, queue, priority) "
    "VALUES (4711, 'slot', 'q', 0)",
    "ready": "INSERT INTO pgqueue.ready_jobs VALUES ('q', 0, 1, 4711)",
    "scheduled": "INSERT INTO pgqueue.scheduled_jobs VALUES (4711, now(), 'q', 0)",
    "finished": "INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, "
    "keep_until) VALUES (4711, 'failed', 0, now(), now())",
}

CHECK = "SELECT * FROM pgqueue.check_invariants()"


@pytest.mark.dirty
@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_is_found(c: Connection, problem: str) -> None:
    job = factories.job(c)
    assert c.execute(CHECK).fetchall() == []
    query, told = FAULTS[problem]
    c.execute(query)
    assert c.execute(CHECK).fetchall() == [(problem, *told(job))]


@pytest.mark.dirty
@pytest.mark.parametrize("place", ORPHANS)
def test_a_position_without_a_job_is_found(c: Connection, place: str) -> None:
    c.execute(ORPHANS[place])
    assert c.execute(CHECK).fetchall() == [("position without a job", 4711, place)]


def test_no_fault_in_any_proper_state(c: Connection) -> None:
    makers: list[Callable[..., int]] = [
        factories.ready, factories.scheduled, factories.blocked, factories.running,
        factories.finished,
    ]  # fmt: skip
    for make in makers:
        make(c)
    assert c.execute(CHECK).fetchall() == []
