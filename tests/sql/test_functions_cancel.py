"""Cancelling a job wherever it stands, also when it moves meanwhile."""

import threading

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import AT, column, ok, one, refused, tell, work
from tests.sql.sleeper import Connection, SleeperSession

REQUESTS = "SELECT job_id FROM pgqueue.cancel_requests ORDER BY job_id"
LOCK = "SELECT FROM pgqueue.{} WHERE job_id = %s FOR UPDATE"


def cancel(c: Connection, job_id: int, reason: str | None = None) -> str:
    state: str = one(c, "SELECT pgqueue.cancel(%s, %s, %s)", job_id, reason, AT)
    return state


@pytest.mark.parametrize("make", [factories.ready, factories.scheduled, factories.blocked])
@pytest.mark.parametrize(
    ("reason", "error"), [(None, "cancelled"), ("too late", "cancelled: too late")]
)
def test_a_waiting_job_is_cancelled_at_once(
    c: Connection, make: object, reason: str | None, error: str
) -> None:
    assert callable(make)
    job = make(c, attempt=3, lost=2, crashes=1)
    c.execute("SET timezone = 'UTC'")
    assert cancel(c, job, reason) == "cancelled"
    assert factories.position(c, job) == {
        "table": "finished_jobs",
        "job_id": job,
        "state": "cancelled",
        "attempt": 3,
        "lost": 2,
        "crashes": 1,
        "worker_id": None,
        "started_at": None,
        "finished_at": "2040-01-01T00:00:00+00:00",
        "keep_until": "2040-01-31T00:00:00+00:00",
        "result": None,
        "error": error,
    }
    assert column(c, REQUESTS) == []


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "expired"])
def test_a_job_that_is_over_stays_as_it_is(c: Connection, state: str) -> None:
    job = factories.finished(c, state)
    before = factories.position(c, job)
    assert cancel(c, job) == state
    assert factories.position(c, job) == before
    assert column(c, REQUESTS) == []


def test_a_job_that_does_not_exist(c: Connection) -> None:
    hint = "it may have been pruned; see the retention of its queue"
    with refused("PQ002", "there is no job 4711", hint):
        cancel(c, 4711)


def test_a_long_reason_is_cut(c: Connection) -> None:
    job = factories.ready(c)
    cancel(c, job, "x" * 10_000)
    assert factories.position(c, job)["error"] == "cancelled: " + "x" * 500


def test_a_running_job_is_asked_to_stop(db: Database, c: Connection) -> None:
    worker, other = factories.worker(c), factories.worker(c)
    listener = SleeperSession(db)
    job = factories.running(c, worker)
    assert cancel(c, job, "first") == "running"
    assert cancel(c, job, "second") == "running"
    assert listener.heard("pgqueue_control") == ["cancel", "cancel"]
    assert factories.state(c, job) == "running"
    query = "SELECT cancels FROM pgqueue.beat(%s)"
    assert one(c, query, worker) == [job]
    assert one(c, query, other) == []
    tell(c, worker, job, "cancelled", reason="stopped")
    assert column(c, REQUESTS) == []
    assert one(c, query, worker) is None


@pytest.mark.parametrize("told", ["retry", "snoozed", "unknown_task", "crashed", "interrupted",
                                  "unstarted"])  # fmt: skip
@pytest.mark.parametrize("reason", ["enough", None])
def test_a_request_ends_a_job_that_would_go_on(
    c: Connection, told: str, reason: str | None
) -> None:
    worker = factories.worker(c)
    job = factories.running(c, worker, attempt=2)
    cancel(c, job, reason)
    tell(c, worker, job, told, delay=5)
    over = factories.position(c, job)
    assert (over["state"], over["error"]) == (
        "cancelled",
        f"cancelled: {reason}" if reason else "cancelled",
    )
    started = 1 if told in ("unstarted", "unknown_task") else 2
    assert over["attempt"] == started
    assert over["lost"] <= started
    assert column(c, REQUESTS) == []


@pytest.mark.parametrize("told", ["succeeded", "failed"])
def test_a_request_changes_nothing_about_a_job_that_is_done(c: Connection, told: str) -> None:
    worker = factories.worker(c)
    job, quick = factories.running(c, worker), factories.running(c, worker)
    cancel(c, job)
    cancel(c, quick)
    tell(c, worker, job, told)
    ok(c, worker, quick)
    assert factories.state(c, job) == told
    assert factories.state(c, quick) == "succeeded"
    assert column(c, REQUESTS) == []


def test_a_job_that_a_claim_holds_is_asked_to_stop(c: Connection, writer: Connection) -> None:
    """Without waiting for the claim."""
    job = factories.job(c)
    worker = factories.worker(c)
    work(writer, worker)
    c.execute("SET lock_timeout = '1 ms'")
    assert cancel(c, job) == "running"
    writer.commit()
    assert one(c, "SELECT cancels FROM pgqueue.beat(%s)", worker) == [job]
    tell(c, worker, job, "retry")
    assert factories.state(c, job) == "cancelled"


# Left-overs


APPLY = "SELECT pgqueue.apply_cancels(%s)"


@pytest.mark.parametrize("make", [factories.ready, factories.scheduled, factories.blocked])
def test_a_request_that_met_its_job_waiting_again_is_applied(c: Connection, make: object) -> None:
    assert callable(make)
    job, running = make(c), factories.running(c)
    query = "INSERT INTO pgqueue.cancel_requests VALUES (%s, 'why')"
    for number in (job, running):
        c.execute(query, (number,))
    assert one(c, APPLY, AT) == 1
    over = factories.position(c, job)
    assert (over["state"], over["error"]) == ("cancelled", "cancelled: why")
    assert column(c, REQUESTS) == [running]
    assert one(c, APPLY, AT) == 0


@pytest.mark.parametrize("make", [factories.finished, None])
def test_a_request_for_a_job_that_is_over_or_gone_is_dropped(c: Connection, make: object) -> None:
    job = make(c) if callable(make) else 4711
    c.execute("INSERT INTO pgqueue.cancel_requests VALUES (%s)", (job,))
    assert one(c, APPLY, AT) == 1
    assert column(c, REQUESTS) == []


@pytest.mark.parametrize("table", ["cancel_requests", "ready_jobs", "jobs"])
def test_what_somebody_holds_is_left_for_the_next_time(
    c: Connection, writer: Connection, table: str
) -> None:
    """Without waiting."""
    job, free = factories.jobs(c, 2)
    c.execute("INSERT INTO pgqueue.cancel_requests VALUES (%s), (%s)", (job, free))
    key = "id" if table == "jobs" else "job_id"
    writer.execute(f"SELECT FROM pgqueue.{table} WHERE {key} = %s FOR UPDATE", (job,))
    c.execute("SET lock_timeout = '1 ms'")
    assert one(c, APPLY, AT) == 1
    assert factories.state(c, free) == "cancelled"
    assert column(c, REQUESTS) == [job]
    writer.rollback()
    assert one(c, APPLY, AT) == 1
    assert factories.state(c, job) == "cancelled"


# Beside a finish


def test_no_outcome_is_dropped_beside_cancels_progress_and_priorities(
    db: Database, c: Connection
) -> None:
    """Whoever changed a running row beside its finish made the finish miss it."""
    number, size = 1200, 60
    ids = factories.jobs(c, number)
    worker = factories.worker(c)
    done = threading.Event()
    failures: list[BaseException] = []

    def meddle(query: str) -> None:
        try:
            with db.connect() as own:
                while not done.is_set():
                    for job in column(own, "SELECT job_id FROM pgqueue.running_jobs"):
                        own.execute(query, (job,))
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=meddle, args=(f"SELECT pgqueue.{call}",))
        for call in ("cancel(%s, 'meddled')", "set_progress(%s, 0.5)", "set_priority(%s, 7)")
    ]
    for thread in threads:
        thread.start()
    told: list[int] = []
    refused_ids: list[int] = []
    answers = None
    for batch_no in range(1, number // size + 2):
        row = work(c, worker, batch_no, max_jobs=size, answers=answers)
        refused_ids += (row.refused or []) + (row.again or [])
        listed = row.job_ids
        # Let them meet the jobs while these run.
        if listed:
            query = "SELECT EXISTS (SELECT FROM pgqueue.cancel_requests WHERE job_id = ANY (%s))"
            eventually(lambda query=query, listed=listed: one(c, query, listed))
        quick, rest = listed[::2], listed[1::2]
        told += listed
        answers = [
            {
                "batch": batch_no,
                "ok": "{" + ",".join(map(str, quick)) + "}",
                "us": "{" + ",".join(["1"] * len(quick)) + "}",
                "rest": [{"id": job, "state": "succeeded", "us": 1, "result": 1} for job in rest],
            }
        ]
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(told) == ids
    assert refused_ids == []
    query = "SELECT state, count(*) FROM pgqueue.finished_jobs GROUP BY state"
    assert c.execute(query).fetchall() == [("succeeded", number)]
    c.execute(APPLY, (AT,))
    assert column(c, REQUESTS) == []


def test_a_cancel_and_a_retry_that_meet_end_the_job(db: Database, c: Connection) -> None:
    """Whichever comes first: a request that came too late for the finish is applied later."""
    ids = factories.jobs(c, 300)
    worker = factories.worker(c)
    work(c, worker, max_jobs=300)

    def cancel_all() -> None:
        with db.connect() as own:
            for job in ids:
                own.execute("SELECT pgqueue.cancel(%s)", (job,))

    thread = threading.Thread(target=cancel_all)
    thread.start()
    for first in range(0, 300, 10):
        rest = [{"id": job, "state": "retry"} for job in ids[first : first + 10]]
        row = work(c, worker, 2, max_jobs=0, answers=[{"batch": 1, "rest": rest}])
        assert (row.refused, row.again) == (None, None)
    thread.join()
    c.execute(APPLY, (AT,))
    assert set(column(c, "SELECT state FROM pgqueue.job_overview")) == {"cancelled"}
    assert column(c, REQUESTS) == []
