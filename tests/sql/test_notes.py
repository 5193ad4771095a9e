"""What running jobs say of themselves: kept with the job, bounded, and in nobody's way."""

import json
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT, column, one, refused, tell, work
from tests.sql.sleeper import Connection

LOGS = "SELECT attempt, n, level, message FROM pgqueue.job_logs ORDER BY job_id, attempt, n"
PROGRESS = "SELECT job_id, fraction, note FROM pgqueue.job_progress ORDER BY job_id"


def note(c: Connection, worker: int, *notes: dict[str, Any], batch_no: int = 1) -> Any:
    """Send what jobs say, as a worker does."""
    return work(c, worker, 99, max_jobs=0, answers=[{"batch": batch_no, "notes": notes}], at=AT)


def line(job: int, n: int, message: str = "line", level: str = "info") -> dict[str, Any]:
    return {"id": job, "n": n, "level": level, "message": message}


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


def test_progress_and_lines_are_kept_with_the_job(c: Connection, worker: int) -> None:
    job, other = factories.running(c, worker, attempt=3), factories.running(c, worker)
    note(
        c, worker, {"id": job, "fraction": 0.25, "note": "row 1"}, line(job, 1, "began"),
        line(job, 2, "no such row", "warning"), {"id": other, "fraction": 7},
    )  # fmt: skip
    assert c.execute(PROGRESS).fetchall() == [(job, 0.25, "row 1"), (other, 1.0, None)]
    assert c.execute(LOGS).fetchall() == [(3, 1, "info", "began"), (3, 2, "warning", "no such row")]
    note(c, worker, {"id": job, "fraction": 0.5, "note": None})
    assert one(c, PROGRESS + " LIMIT 1") == (job, 0.5, None)
    tell(c, worker, job, "succeeded")
    overview = "SELECT progress, progress_note FROM pgqueue.job_overview WHERE id = %s"
    assert one(c, overview, job) == (0.5, None)


def test_lines_that_are_sent_twice_stand_there_once(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    for _ in range(2):
        note(c, worker, line(job, 1, "one"), line(job, 2, "two"))
    assert column(c, "SELECT message FROM pgqueue.job_logs ORDER BY n") == ["one", "two"]


def test_what_is_said_of_the_jobs_of_others_is_passed_over(c: Connection, worker: int) -> None:
    job = factories.running(c)
    mine = factories.running(c, worker, batch_no=5)
    ended = factories.finished(c, worker_id=factories.worker(c))
    said = [
        what for i in (job, mine, ended, 4711) for what in (line(i, 1), {"id": i, "fraction": 1})
    ]
    note(c, worker, *said)
    assert c.execute(LOGS).fetchall() == c.execute(PROGRESS).fetchall() == []


def test_the_last_words_of_an_atomic_task_are_kept(c: Connection, worker: int) -> None:
    """Its job is over before its worker hears of it."""
    job = factories.finished(c, worker_id=worker, attempt=2)
    note(c, worker, line(job, 1, "done"), {"id": job, "fraction": 1.0})
    assert c.execute(LOGS).fetchall() == [(2, 1, "info", "done")]


def test_logs_are_bounded(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=12)
    lines = (
        "INSERT INTO pgqueue.job_logs"
        " SELECT %s, n, 1, now(), 'info', '' FROM generate_series(1, 11) AS n"
    )
    c.execute(lines, (job,))
    note(c, worker, line(job, 500, "x" * 10_000), line(job, 501), line(job, 0))
    assert column(c, "SELECT DISTINCT attempt FROM pgqueue.job_logs ORDER BY 1") == list(
        range(3, 13)
    )
    assert one(c, "SELECT n FROM pgqueue.job_logs WHERE attempt = 12") == 500
    assert one(c, "SELECT max(length(message)) FROM pgqueue.job_logs") == 4096


@pytest.mark.parametrize("held", ["FOR UPDATE", "FOR KEY SHARE"])
def test_no_worker_waits_for_a_job_that_somebody_holds(
    db: Database, c: Connection, worker: int, held: str
) -> None:
    job, other = factories.running(c, worker), factories.running(c, worker)
    holder = db.connect(autocommit=False)
    holder.execute(f"SELECT FROM pgqueue.jobs WHERE id = {job} {held}")
    c.execute("SET lock_timeout = '5s'")
    note(c, worker, line(job, 1), line(other, 1))
    assert column(c, "SELECT job_id FROM pgqueue.job_logs") == [other]
    holder.rollback()
    by_hand = db.connect(autocommit=False)
    by_hand.execute("SELECT pgqueue.set_progress(%s, 0.1)", (job,))
    note(c, worker, {"id": job, "fraction": 0.9}, line(job, 2))
    by_hand.commit()
    assert one(c, "SELECT fraction FROM pgqueue.job_progress") == pytest.approx(0.1)


def test_answers_without_notes_are_none(c: Connection, worker: int) -> None:
    answers = json.dumps([{"batch": 1}, {"batch": 1, "notes": []}, {"batch": 1, "notes": None}])
    c.execute("SELECT pgqueue.work(%s, 2, '{}', 0, %s)", (worker, answers))
    assert c.execute(LOGS).fetchall() == []


def test_add_log_writes_a_line(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=2)
    add = "SELECT pgqueue.add_log(%s, %s, %s)"
    assert [one(c, add, job, "one", "info"), one(c, add, job, None, "error")] == [1, 2]
    assert c.execute(LOGS).fetchall() == [(2, 1, "info", "one"), (2, 2, "error", "")]
    c.execute("UPDATE pgqueue.job_logs SET n = 500 WHERE n = 2")
    assert one(c, add, job, "too much", "info") is None
    with refused("PQ004", "level must be debug, info, warning or error; got 'loud'"):
        c.execute(add, (job, "x", "loud"))
    with refused("PQ004", "level must be debug, info, warning or error; got null"):
        c.execute(add, (job, "x", None))
    waiting = factories.ready(c)
    with refused("PQ003", f"job {waiting} must be running to log something"):
        c.execute(add, (waiting, "x", "info"))
