"""What people and programs do to jobs and queues: retry, delete, priorities, settings, progress."""

import datetime as dt
from collections.abc import Callable

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT, column, one, refused, work
from tests.sql.sleeper import Connection, SleeperSession

SECOND = dt.timedelta(seconds=1)
PRUNED = "it may have been pruned; see the retention of its queue"
WAIT = "wait for it, or cancel it first"
FINAL = ["succeeded", "failed", "cancelled", "expired"]
RETRY = "SELECT pgqueue.retry(%s, %s, %s)"
SET_PRIORITY = "SELECT pgqueue.set_priority(%s, %s)"
SET_QUEUE = "SELECT pgqueue.set_queue(%s, %s)"

Make = Callable[..., int]

every_waiting = pytest.mark.parametrize(
    "make", [factories.ready, factories.scheduled, factories.blocked]
)


# retry


@pytest.mark.parametrize("state", FINAL)
def test_a_job_that_is_over_runs_again_with_its_whole_budget(
    db: Database, c: Connection, state: str
) -> None:
    sleeper = SleeperSession(db, "mail")
    job = factories.finished(
        c, state, attempt=3, lost=1, crashes=3, queue="mail", priority=4, max_attempts=2
    )
    newer = factories.job(c)
    sleeper.arm()
    assert one(c, RETRY, job, None, AT) == "ready"
    assert sleeper.heard() == ["mail"]
    again = factories.position(c, job)
    assert again.pop("seq") > newer
    assert again == {
        "table": "ready_jobs",
        "job_id": job,
        "queue": "mail",
        "priority": 4,
        "attempt": 3,
        "lost": 3,
        "crashes": 0,
        "flags": 2,
    }
    assert work(c, factories.worker(c), queues=("mail",)).payload[0][1:3] == [4, 3]


@pytest.mark.parametrize("make", [factories.finished, factories.scheduled])
def test_retry_at_a_time(c: Connection, make: Make) -> None:
    job = make(c)
    assert one(c, RETRY, job, AT + SECOND, AT) == "scheduled"
    assert factories.position(c, job)["reason"] == "retry"
    assert one(c, "SELECT run_at FROM pgqueue.scheduled_jobs") == AT + SECOND
    assert one(c, RETRY, job, AT, AT) == "ready"


def test_retry_soon_wakes_the_leader(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, leader=True)
    sleeper.arm()
    one(c, RETRY, factories.finished(c), AT + 60 * SECOND, AT)
    assert sleeper.heard("pgqueue_control") == []
    one(c, RETRY, factories.finished(c), AT + SECOND, AT)
    assert sleeper.heard("pgqueue_control") == ["due"]


def test_a_scheduled_job_runs_now_as_it_is(c: Connection) -> None:
    job = factories.scheduled(c, attempt=3, lost=1, crashes=1, queue="mail", priority=4)
    c.execute(SET_PRIORITY, (job, 9))
    assert one(c, RETRY, job, None, AT) == "ready"
    now = factories.position(c, job)
    assert (now["attempt"], now["lost"], now["crashes"]) == (3, 1, 1)
    assert (now["queue"], now["priority"]) == ("mail", 9)


def test_a_ready_job_stays_where_it_is(c: Connection) -> None:
    job = factories.job(c)
    before = factories.position(c, job)
    assert one(c, RETRY, job, None, AT) == "ready"
    assert factories.position(c, job) == before


@pytest.mark.parametrize("make", [factories.running, factories.blocked])
def test_a_job_that_is_running_or_blocked_is_not_retried(c: Connection, make: Make) -> None:
    job = make(c)
    before = factories.position(c, job)
    message = f"job {job} must be over or scheduled to be retried; it is {before['table'][:-5]}"
    with refused("PQ003", message, WAIT):
        c.execute(RETRY, (job, None, AT))
    assert factories.position(c, job) == before


def test_a_job_without_a_position_is_not_retried(c: Connection) -> None:
    job = factories.stray(c)
    message = f"job {job} must be over or scheduled to be retried; it is in no position"
    with refused("PQ003", message, WAIT):
        c.execute(RETRY, (job, None, AT))
    c.execute("SELECT pgqueue.file_strays()")


def test_a_job_that_does_not_exist_is_not_retried(c: Connection) -> None:
    with refused("PQ002", "there is no job 4711", PRUNED):
        c.execute(RETRY, (4711, None, AT))


@pytest.mark.parametrize("run_at", [None, AT + 10 * SECOND])
def test_an_expired_job_runs_because_somebody_asked(
    c: Connection, run_at: dt.datetime | None
) -> None:
    job = factories.finished(c, "expired", expires_at=AT)
    c.execute(RETRY, (job, run_at, AT))
    assert factories.position(c, job)["flags"] == 0
    later = AT + 10 * SECOND
    assert one(c, "SELECT expired FROM pgqueue.expire(at => %s)", later) == 0
    c.execute("SELECT pgqueue.promote(at => %s)", (later,))
    assert work(c, factories.worker(c), at=later).job_ids == [job]


def test_a_retried_job_can_still_expire(c: Connection) -> None:
    job = factories.finished(c, "failed", expires_at=AT + SECOND)
    c.execute(RETRY, (job, None, AT))
    assert factories.position(c, job)["flags"] == 1
    assert work(c, factories.worker(c), at=AT + SECOND).job_ids == []
    assert factories.state(c, job) == "expired"


def test_a_retry_forgets_an_old_request_to_cancel(c: Connection) -> None:
    job = factories.finished(c, "cancelled")
    c.execute("INSERT INTO pgqueue.cancel_requests VALUES (%s)", (job,))
    c.execute(RETRY, (job, None, AT))
    assert one(c, "SELECT pgqueue.apply_cancels()") == 0
    assert factories.state(c, job) == "ready"


# delete_job


@pytest.mark.parametrize(
    "make",
    [factories.ready, factories.scheduled, factories.blocked, factories.finished, factories.stray],
)
def test_delete_job(c: Connection, make: Make) -> None:
    job = make(c)
    assert one(c, "SELECT pgqueue.delete_job(%s)", job) is True
    assert factories.state(c, job) is None
    assert one(c, "SELECT pgqueue.delete_job(%s)", job) is False


def test_a_running_job_is_not_deleted(c: Connection) -> None:
    job = factories.running(c)
    message = f"job {job} must not be running to be deleted"
    with refused("PQ003", message, "cancel it first, or wait for it"):
        c.execute("SELECT pgqueue.delete_job(%s)", (job,))
    assert factories.state(c, job) == "running"


# set_priority


@every_waiting
@pytest.mark.parametrize("priority", [32767, 0, -32768])
def test_a_waiting_job_gets_another_priority(c: Connection, make: Make, priority: int) -> None:
    job = make(c, priority=5, queue="mail", attempt=2, lost=1, crashes=1, meta="{}")
    before = factories.position(c, job)
    assert one(c, SET_PRIORITY, job, priority) == before["table"][:-5]
    assert factories.position(c, job) == {**before, "priority": priority}
    assert one(c, "SELECT priority FROM pgqueue.job_overview") == priority


def test_a_changed_priority_rings(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    job, later = factories.job(c), factories.scheduled(c)
    sleeper.arm()
    c.execute(SET_PRIORITY, (later, 3))
    assert sleeper.heard() == []
    c.execute(SET_PRIORITY, (job, 3))
    assert sleeper.heard() == ["default"]


@pytest.mark.parametrize("state", ["running", *FINAL])
def test_a_job_that_does_not_wait_keeps_its_priority(c: Connection, state: str) -> None:
    job = factories.running(c) if state == "running" else factories.finished(c, state)
    before = factories.position(c, job)
    assert one(c, SET_PRIORITY, job, 9) == state
    assert factories.position(c, job) == before


@pytest.mark.parametrize(
    ("priority", "got"), [(32768, "32768"), (-32769, "-32769"), (None, "null")]
)
def test_a_priority_out_of_range(c: Connection, priority: int | None, got: str) -> None:
    with refused("PQ004", f"priority must be between -32768 and 32767; got {got}"):
        c.execute("SELECT pgqueue.set_priority(%s, %s::integer)", (factories.job(c), priority))


def test_the_priority_of_a_job_that_does_not_exist(c: Connection) -> None:
    with refused("PQ002", "there is no job 4711", PRUNED):
        c.execute(SET_PRIORITY, (4711, 1))


# set_queue


@every_waiting
def test_a_waiting_job_gets_another_queue(c: Connection, make: Make) -> None:
    job = make(c, priority=5, queue="mail", attempt=2, lost=1, crashes=1, meta="{}")
    before = factories.position(c, job)
    assert one(c, SET_QUEUE, job, "slow") == before["table"][:-5]
    assert factories.position(c, job) == {**before, "queue": "slow"}
    assert one(c, "SELECT queue FROM pgqueue.jobs") == "slow"


def test_a_changed_queue_rings_there(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "slow")
    job, later = factories.job(c), factories.scheduled(c)
    sleeper.arm()
    c.execute(SET_QUEUE, (later, "slow"))
    assert sleeper.heard() == []
    c.execute(SET_QUEUE, (job, "slow"))
    assert sleeper.heard() == ["slow"]


@pytest.mark.parametrize("key", ["concurrency_key", "fair_key"])
def test_a_job_in_a_line_keeps_its_place_in_another_queue(
    db: Database, c: Connection, key: str
) -> None:
    job, behind = (factories.job(c, queue="mail", **{key: "k"}) for _ in range(2))
    before = factories.position(c, job)
    assert before["seq"] == job
    sleeper = SleeperSession(db, "slow")
    sleeper.arm()
    assert one(c, SET_QUEUE, job, "slow") == "blocked"
    assert factories.position(c, job) == {**before, "queue": "slow"}
    assert sleeper.heard() == ["slow"]
    assert [row[0] for row in work(c, factories.worker(c), queues=("slow",)).payload] == [job]
    assert factories.state(c, behind) == "blocked"


def test_a_running_job_keeps_its_queue_and_one_that_is_over_is_retried_in_the_other(
    c: Connection,
) -> None:
    job, over = factories.running(c), factories.finished(c, "failed")
    before = factories.position(c, job)
    assert one(c, SET_QUEUE, job, "slow") == "running"
    assert factories.position(c, job) == before
    assert one(c, "SELECT queue FROM pgqueue.jobs WHERE id = %s", job) == "default"
    assert one(c, SET_QUEUE, over, "slow") == "failed"
    c.execute("SELECT pgqueue.retry(%s)", (over,))
    assert factories.position(c, over)["queue"] == "slow"


def test_what_set_queue_refuses(c: Connection) -> None:
    with refused("PQ002", "there is no job 4711", PRUNED):
        c.execute(SET_QUEUE, (4711, "slow"))
    job = factories.job(c)
    for name, got in (("", "0 bytes"), ("*", '"*"'), (None, "null"), ("x" * 201, "201 bytes")):
        with refused("PQ004", f'queue must be a name of 1 to 200 bytes and not "*"; got {got}'):
            c.execute("SELECT pgqueue.set_queue(%s, %s::text)", (job, name))


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (factories.ready, "set_priority(%s, 1)"),
        (factories.ready, "set_queue(%s, 'slow')"),
        (factories.finished, "retry(%s)"),
        (factories.running, "set_progress(%s, 0.5)"),
    ],
)
def test_a_job_that_is_being_deleted_is_waited_for(
    c: Connection, writer: Connection, make: Make, call: str
) -> None:
    """Else the row that was written meanwhile would outlive its job."""
    job = make(c)
    writer.execute("SELECT FROM pgqueue.jobs FOR UPDATE")
    c.execute("SET lock_timeout = '1 ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        c.execute(f"SELECT pgqueue.{call}", (job,))


# set_progress


@pytest.mark.parametrize(("said", "stored"), [(0.5, 0.5), (-1, 0), (7, 1), (float("inf"), 1)])
def test_progress_is_shown(c: Connection, said: float, stored: float) -> None:
    job = factories.running(c)
    for note in ("first", "n" * 600):
        c.execute("SELECT pgqueue.set_progress(%s, %s, %s, %s)", (job, said, note, AT))
    assert one(c, "SELECT progress, progress_note FROM pgqueue.job_overview") == (
        stored,
        "n" * 500,
    )
    assert one(c, "SELECT updated_at FROM pgqueue.job_progress") == AT


@pytest.mark.parametrize(("said", "got"), [("NaN", "NaN"), (None, "null")])
def test_progress_is_a_number(c: Connection, said: str | None, got: str) -> None:
    with refused("PQ004", f"fraction must be a number from 0 to 1; got {got}"):
        c.execute("SELECT pgqueue.set_progress(%s, %s)", (factories.job(c), said))


def test_progress_of_a_job_that_does_not_exist(c: Connection) -> None:
    with refused("PQ002", "there is no job 4711"):
        c.execute("SELECT pgqueue.set_progress(4711, 0.5)")


# Queues


def test_pause_and_resume(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "mail")
    sleeper.arm()
    c.execute("SELECT pgqueue.configure_queue('mail', '1 h')")
    c.execute("SELECT pgqueue.pause('mail')")
    query = "SELECT paused, resume_at, retention_succeeded FROM pgqueue.queues"
    hour = dt.timedelta(hours=1)
    assert one(c, query) == (True, None, hour)
    c.execute("SELECT pgqueue.pause('mail', '5 s', %s)", (AT,))
    assert one(c, query) == (True, AT + 5 * SECOND, hour)
    assert sleeper.heard() == []
    assert one(c, "SELECT pgqueue.resume('mail')") is True
    assert sleeper.heard() == ["mail"]
    assert one(c, query) == (False, None, hour)
    assert one(c, "SELECT pgqueue.resume('mail')") is False
    assert one(c, "SELECT pgqueue.resume('other')") is False
    assert sleeper.heard() == []


def test_pauses_whose_time_is_over_end(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    for queue, resume_in in (("a", "1 s"), ("b", "2 s"), ("c", "3 s"), ("ever", None)):
        c.execute("SELECT pgqueue.pause(%s, %s, %s)", (queue, resume_in, AT))
    due = "SELECT pgqueue.resume_due(%s)"
    assert one(c, due, AT) == 0
    assert one(c, due, AT + 2 * SECOND) == 2
    assert sorted(sleeper.heard()) == ["a", "b"]
    assert one(c, due, AT + 2 * SECOND) == 0
    assert column(c, "SELECT name FROM pgqueue.queues WHERE paused ORDER BY 1") == ["c", "ever"]


def test_settings_of_a_queue_are_replaced_as_a_whole(c: Connection) -> None:
    query = "SELECT retention_succeeded, retention_other, paused FROM pgqueue.queues"
    c.execute("SELECT pgqueue.pause('mail')")
    c.execute("SELECT pgqueue.configure_queue('mail', '1 h', '0')")
    assert one(c, query) == (dt.timedelta(hours=1), dt.timedelta(0), True)
    c.execute("SELECT pgqueue.configure_queue('mail', retention_other => '2 s')")
    assert one(c, query) == (None, 2 * SECOND, True)


@pytest.mark.parametrize("which", ["retention_succeeded", "retention_other"])
def test_a_retention_that_leaves_the_calendar_is_refused(c: Connection, which: str) -> None:
    """No job of that queue could be written down as over."""
    call = f"SELECT pgqueue.configure_queue('mail', {which} => %s)"
    c.execute(call, ("36525 days",))
    with refused("PQ004", "a retention must be at most 100 years"):
        c.execute(call, ("200000000 days",))
    with refused("PQ004", "a retention must not be negative"):
        c.execute(call, ("-1 s",))


NAME = 'queue must be a name of 1 to 200 bytes and not "*"; got '


@pytest.mark.parametrize("call", ["pause", "resume", "configure_queue"])
@pytest.mark.parametrize(
    ("queue", "got"), [("", "0 bytes"), ("é" * 101, "202 bytes"), ("*", '"*"'), (None, "null")]
)
def test_a_name_no_job_could_have(c: Connection, call: str, queue: str | None, got: str) -> None:
    with refused("PQ004", NAME + got):
        c.execute(f"SELECT pgqueue.{call}(%s)", (queue,))
    assert column(c, "SELECT name FROM pgqueue.queues") == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("pause('q', '0')", "resume_in must be longer than nothing; got 00:00:00"),
        ("pause('q', '-1 s')", "resume_in must be longer than nothing; got -00:00:01"),
        ("configure_queue('q', '-1 s')", "a retention must not be negative"),
        ("configure_queue('q', '1 s', '-1 s')", "a retention must not be negative"),
    ],
)
def test_a_time_that_makes_no_sense(c: Connection, call: str, message: str) -> None:
    with refused("PQ004", message):
        c.execute(f"SELECT pgqueue.{call}")
