"""What becomes of a job when its worker tells an outcome, and whose outcomes count."""

import datetime as dt
import json
from typing import Any

import pytest

from tests import factories
from tests.sql.calls import AT, column, ok, one, refused, tell, work
from tests.sql.sleeper import Connection

SECOND = dt.timedelta(seconds=1)
ERROR = {"kind": "KeyError", "message": "first line\nsecond", "traceback": "Traceback"}


def errors(c: Connection, job_id: int) -> list[tuple[Any, ...]]:
    query = "SELECT attempt, kind, message, traceback FROM pgqueue.job_errors WHERE job_id = %s"
    return c.execute(query + " ORDER BY attempt", (job_id,)).fetchall()


def when(c: Connection, job_id: int) -> dt.datetime:
    """The run_at of a scheduled job."""
    query = "SELECT run_at FROM pgqueue.scheduled_jobs WHERE job_id = %s"
    found: dt.datetime = one(c, query, job_id)
    return found


def counts(c: Connection, job_id: int) -> tuple[int, int, int]:
    held = factories.position(c, job_id)
    return held["attempt"], held["lost"], held["crashes"]


@pytest.fixture
def worker(c: Connection) -> int:
    c.execute("SET timezone = 'UTC'")
    return factories.worker(c)


# Over


def test_succeeded_with_no_result(c: Connection, worker: int) -> None:
    first, second = (factories.running(c, worker, attempt=2, lost=1, crashes=1) for _ in "ab")
    row = ok(c, worker, second, first, at=AT)
    assert (row.refused, row.again) == (None, None)
    assert factories.position(c, first) == {
        "table": "finished_jobs",
        "job_id": first,
        "state": "succeeded",
        "attempt": 2,
        "lost": 1,
        "crashes": 1,
        "worker_id": worker,
        "started_at": "2039-12-31T23:59:59+00:00",
        "finished_at": "2040-01-01T00:00:00+00:00",
        "keep_until": "2040-01-08T00:00:00+00:00",
        "result": None,
        "error": None,
    }
    assert factories.state(c, second) == "succeeded"


@pytest.mark.parametrize("result", [0, False, "", [], {}, {"a": [1.5, None]}, "é"])
def test_succeeded_with_a_result(c: Connection, worker: int, result: Any) -> None:
    job = factories.running(c, worker)
    assert tell(c, worker, job, "succeeded", result=result) == (None, None)
    over = factories.position(c, job)
    assert (over["state"], over["result"], over["error"]) == ("succeeded", result, None)


def test_a_result_of_null_is_none(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    tell(c, worker, job, "succeeded", result=None)
    assert one(c, "SELECT result IS NULL FROM pgqueue.finished_jobs") is True


def test_failed(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=3)
    assert tell(c, worker, job, "failed", at=AT, **ERROR) == (None, None)
    over = factories.position(c, job)
    assert (over["state"], over["error"]) == ("failed", "KeyError: first line")
    assert over["keep_until"] == "2040-01-31T00:00:00+00:00"
    assert errors(c, job) == [(3, "KeyError", "first line\nsecond", "Traceback")]


def test_a_long_message_is_kept_once(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    tell(c, worker, job, "failed", kind="E", message="x" * 16384)
    assert factories.position(c, job)["error"] == "E: " + "x" * 500
    assert len(errors(c, job)[0][2]) == 16384


def test_cancelled_by_the_task(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    tell(c, worker, job, "cancelled", reason="nothing to do")
    over = factories.position(c, job)
    assert (over["state"], over["error"]) == ("cancelled", "nothing to do")
    assert errors(c, job) == []


# Later


@pytest.mark.parametrize(("delay", "seconds"), [(90.5, 90.5), (0, 0), (-5, 0), (None, 0)])
def test_retry(c: Connection, worker: int, delay: float | None, seconds: float) -> None:
    job = factories.running(
        c, worker, attempt=2, lost=1, crashes=1, queue="mail", priority=4, expires_at=AT
    )
    tell(c, worker, job, "retry", at=AT, delay=delay, **ERROR)
    later = factories.position(c, job)
    assert (later["table"], later["reason"]) == ("scheduled_jobs", "retry")
    assert (later["queue"], later["priority"], later["flags"]) == ("mail", 4, 1)
    assert when(c, job) == AT + seconds * SECOND
    assert counts(c, job) == (2, 1, 1)
    assert errors(c, job) == [(2, "KeyError", "first line\nsecond", "Traceback")]


def test_a_delay_ends_at_a_hundred_years(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    tell(c, worker, job, "retry", at=AT, delay=1e300)
    assert when(c, job) == AT + 36525 * dt.timedelta(days=1)


def test_snoozed_costs_no_attempt(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=2)
    tell(c, worker, job, "snoozed", at=AT, delay=60)
    assert factories.position(c, job)["reason"] == "snoozed"
    assert when(c, job) == AT + 60 * SECOND
    assert counts(c, job) == (2, 1, 0)
    assert errors(c, job) == []


@pytest.mark.parametrize(
    ("age", "delay"), [(0, 5), (4, 5), (5, 5), (20, 20), (299, 299), (300, 300), (10**6, 300)]
)
def test_an_unknown_task_waits_longer_and_longer(
    c: Connection, worker: int, age: int, delay: int
) -> None:
    job = factories.running(c, worker, attempt=4, lost=1, created_at=AT)
    at = AT + age * SECOND
    tell(c, worker, job, "unknown_task", at=at)
    assert factories.position(c, job)["reason"] == "unknown_task"
    assert when(c, job) == at + delay * SECOND
    assert counts(c, job) == (3, 1, 0)
    assert one(c, "SELECT unknown_task, scheduled FROM pgqueue.queue_stats") == (1, 1)


def test_crashed_once_twice_and_three_times(c: Connection, worker: int) -> None:
    job = factories.job(c)
    at = AT
    for crash in (1, 2, 3):
        assert work(c, worker, crash, at=at).payload[0][1] == crash
        tell(c, worker, job, "crashed", crash, at=at, kind="crashed", message="signal 9")
        assert counts(c, job) == (crash, crash, crash)
        if crash < 3:
            assert factories.position(c, job)["reason"] == "crashed"
            assert when(c, job) == at + crash * SECOND
            at += crash * SECOND
            assert one(c, "SELECT moved FROM pgqueue.promote(at => %s)", at) == 1
    over = factories.position(c, job)
    assert (over["state"], over["error"]) == ("failed", "crash_loop: signal 9")
    assert [row[:3] for row in errors(c, job)] == [(n, "crashed", "signal 9") for n in (1, 2, 3)]


# Back


def test_interrupted_costs_no_attempt(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=2, queue="mail", priority=4, meta="{}")
    tell(c, worker, job, "interrupted")
    back = factories.position(c, job)
    assert (back["table"], back["queue"], back["priority"], back["flags"], back["seq"]) == (
        "ready_jobs", "mail", 4, 2, job,
    )  # fmt: skip
    assert counts(c, job) == (2, 1, 0)


def test_unstarted_never_was(c: Connection, worker: int) -> None:
    job = factories.job(c)
    before = factories.position(c, job)
    work(c, worker)
    tell(c, worker, job, "unstarted")
    assert factories.position(c, job) == before


# Many at once


def test_answers_of_several_batches_and_states(c: Connection, worker: int) -> None:
    a, b, d, e = (factories.running(c, worker, batch_no=n) for n in (1, 1, 2, 2))
    answers = [
        {"batch": 1, "ok": f"{{{a}}}", "us": "{5}", "rest": [{"id": b, "state": "failed"}]},
        {"batch": 2, "rest": [{"id": d, "state": "unstarted"}, {"id": e, "state": "snoozed"}]},
    ]
    row = work(c, worker, 3, max_jobs=0, answers=answers)
    assert (row.refused, row.again) == (None, None)
    states = [factories.state(c, job) for job in (a, b, d, e)]
    assert states == ["succeeded", "failed", "ready", "scheduled"]


@pytest.mark.parametrize("answers", [[], [{"batch": 1}], [{"batch": 1, "ok": "{}", "us": "{}"}]])
def test_no_outcomes(c: Connection, worker: int, answers: list[dict[str, Any]]) -> None:
    row = work(c, worker, max_jobs=0, answers=answers)
    assert (row.refused, row.again) == (None, None)


# Retention


def test_a_queue_keeps_as_long_as_it_was_told(c: Connection, worker: int) -> None:
    c.execute("SELECT pgqueue.configure_queue('default', '1 h', '2 h')")
    good, bad, other = (
        factories.running(c, worker, queue=queue) for queue in ("default", "default", "other")
    )
    ok(c, worker, good, other, at=AT)
    tell(c, worker, bad, "failed", at=AT)
    kept = column(c, "SELECT keep_until FROM pgqueue.finished_jobs ORDER BY keep_until")
    assert kept == [AT + 3600 * SECOND, AT + 7200 * SECOND, AT + 7 * 86400 * SECOND]


def test_a_queue_that_keeps_nothing_deletes_at_once(c: Connection, worker: int) -> None:
    c.execute("SELECT pgqueue.configure_queue('default', '0', '0')")
    ids = [factories.running(c, worker) for _ in range(4)]
    kept = factories.running(c, worker, queue="other")
    ok(c, worker, ids[0], kept)
    for job, state in zip(ids[1:], ("succeeded", "failed", "cancelled"), strict=True):
        tell(c, worker, job, state, **ERROR)
    assert column(c, "SELECT id FROM pgqueue.jobs") == [kept]
    assert column(c, "SELECT job_id FROM pgqueue.job_errors") == []


# The fence


@pytest.mark.parametrize("wrong", ["worker", "batch", "over", "unheard of"])
def test_an_outcome_of_somebody_else_is_refused(c: Connection, worker: int, wrong: str) -> None:
    other = factories.worker(c)
    job = factories.finished(c, "failed") if wrong == "over" else factories.running(c, worker)
    teller = other if wrong == "worker" else worker
    batch_no = 2 if wrong == "batch" else 1
    told = 4711 if wrong == "unheard of" else job
    before = factories.position(c, job)
    assert tell(c, teller, told, "succeeded", batch_no) == ([told], None)
    row = ok(c, teller, told, batch_no=batch_no)
    assert (row.refused, row.again) == ([told], None)
    assert factories.position(c, job) == before


def test_an_outcome_told_twice_is_refused_the_second_time(c: Connection, worker: int) -> None:
    jobs = [factories.running(c, worker) for _ in range(3)]
    assert ok(c, worker, jobs[0]).refused is None
    assert ok(c, worker, *jobs).refused == jobs[:1]


@pytest.mark.parametrize("form", ["ok", "rest"])
def test_a_row_that_somebody_holds_is_told_again(
    c: Connection, writer: Connection, worker: int, form: str
) -> None:
    """Without waiting: a worker has other outcomes to tell."""
    held, free = factories.running(c, worker), factories.running(c, worker)
    c.execute("SET lock_timeout = '1 ms'")
    writer.execute("SELECT FROM pgqueue.running_jobs WHERE job_id = %s FOR UPDATE", (held,))
    rest = [{"id": job, "state": "succeeded", "us": 1} for job in (held, free, 4711)]
    answer = {
        "ok": {"batch": 1, "ok": f"{{{held},{free},4711}}", "us": "{1,1,1}"},
        "rest": {"batch": 1, "rest": rest},
    }[form]
    row = work(c, worker, 2, max_jobs=0, answers=[answer])
    assert (row.refused, row.again) == ([4711], [held])
    assert factories.state(c, free) == "succeeded"
    writer.rollback()
    assert ok(c, worker, held).again is None


# finish


FINISH = "SELECT pgqueue.finish(%s, %s, %s, batch_no => 1)"
FINISH_AS = """
    SELECT pgqueue.finish(%s, %s, %s, %s, %s::text::jsonb[], %s, %s, batch_no => 1, at => %s)
"""


def test_finish_is_success_unless_told_otherwise(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, started_at=AT - 7 * SECOND)
    query = "SELECT pgqueue.finish(%s, %s, '{1}', batch_no => 1, at => %s)"
    assert one(c, query, worker, [job], AT) == []
    over = factories.position(c, job)
    assert (over["state"], over["result"]) == ("succeeded", None)
    assert over["started_at"] == "2039-12-31T23:59:53+00:00"


def test_finish_stores_every_kind_of_outcome(c: Connection, worker: int) -> None:
    states = ["succeeded", "failed", "cancelled", "retry", "snoozed", "unknown_task", "crashed",
              "interrupted", "unstarted"]  # fmt: skip
    ids = [factories.running(c, worker) for _ in states]
    results = "{" + ",".join([json.dumps('{"a": 1}')] * 9) + "}"
    messages = [f"e{n}" for n in range(9)]
    delays = [60 * SECOND] * 9
    parameters = (worker, ids, [1] * 9, states, results, messages, delays, AT)
    assert one(c, FINISH_AS, *parameters) == []
    now = [factories.state(c, job) for job in ids]
    assert now == ["succeeded", "failed", "cancelled", *["scheduled"] * 4, "ready", "ready"]
    assert factories.position(c, ids[0])["result"] == {"a": 1}
    assert [factories.position(c, job)["error"] for job in ids[1:3]] == ["Error: e1", "e2"]
    assert [when(c, job) for job in ids[3:5]] == [AT + 60 * SECOND] * 2
    # Its backoff of a second, and the delay that the worker gave it.
    assert when(c, ids[6]) == AT + 61 * SECOND
    query = "SELECT job_id, kind FROM pgqueue.job_errors ORDER BY job_id"
    assert c.execute(query).fetchall() == [(ids[n], "Error") for n in (1, 3, 6)]


@pytest.mark.parametrize("wrong", ["worker", "batch", "attempt", "held"])
def test_finish_gives_back_what_is_not_stored(
    c: Connection, writer: Connection, worker: int, wrong: str
) -> None:
    job = factories.running(
        c, factories.worker(c) if wrong == "worker" else worker,
        batch_no=2 if wrong == "batch" else 1, attempt=2 if wrong == "attempt" else 1,
    )  # fmt: skip
    good = factories.running(c, worker)
    if wrong == "held":
        writer.execute("SELECT FROM pgqueue.running_jobs WHERE job_id = %s FOR UPDATE", (job,))
    assert one(c, FINISH, worker, [job, good], [1, 1]) == [job]
    assert factories.state(c, good) == "succeeded"
    assert factories.state(c, job) == "running"


STATES = (
    "a state must be succeeded, failed, cancelled, retry, snoozed, unknown_task, crashed, "
    "interrupted or unstarted; got "
)
LENGTHS = "job_ids, attempts, states, results, errors and delays must be of one length; got "
LEAVE_OUT = "states, results, errors and delays may be left out"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("'{1}', '{1}', '{done}'", STATES + "'done'", None),
        ("'{1}', '{1}', '{NULL}'", STATES + "null", None),
        ("NULL, NULL", LENGTHS + "null, null, null, null, null and null", LEAVE_OUT),
        ("'{1}', NULL", LENGTHS + "1, null, null, null, null and null", LEAVE_OUT),
        ("'{1}', '{1,1}'", LENGTHS + "1, 2, null, null, null and null", LEAVE_OUT),
        ("'{1}', '{1}', '{retry,retry}'", LENGTHS + "1, 1, 2, null, null and null", LEAVE_OUT),
        ("'{1}', '{1}', delays => '{}'", LENGTHS + "1, 1, null, null, null and 0", LEAVE_OUT),
        ("'{1,1}', '{1,1}'", "job_ids must name each job once; got 1 twice", None),
    ],
)
def test_finish_refuses_what_makes_no_sense(
    c: Connection, worker: int, arguments: str, message: str, hint: str | None
) -> None:
    with refused("PQ004", message, hint):
        c.execute(f"SELECT pgqueue.finish({worker}, {arguments})")
