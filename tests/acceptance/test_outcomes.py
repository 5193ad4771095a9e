"""What becomes of jobs that raise, ask for another time, or return what cannot be stored."""

import datetime as dt
from typing import Any

import pytest

from tests.acceptance.support import Jobs, closed_gate, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually


def test_a_failure_is_told_with_its_traceback(jobs: Jobs, worker: StartWorker) -> None:
    job = jobs.add("fail", "first line\nsecond line")
    worker("--processes", "1")
    found = jobs.wait(job, "failed")
    assert found["error"] == "ValueError: first line"
    assert (found["attempt"], found["lost"], found["crashes"]) == (1, 0, 0)
    (error,) = jobs.errors(job)
    assert error["attempt"] == 1
    assert error["kind"] == "ValueError"
    assert error["message"] == "first line\nsecond line"
    assert "in fail\n    raise ValueError(message)" in error["traceback"]


def test_retries_until_it_succeeds_or_the_budget_is_spent(jobs: Jobs, worker: StartWorker) -> None:
    twice = jobs.add("fail_times", 2)
    often = jobs.add("fail_times", 99)
    own_budget = jobs.add("fail_times", 99, max_attempts=2)
    worker("--processes", "1", "--fallback", "600")
    found = jobs.wait(twice)
    assert (found["result"], found["attempt"]) == (3, 3)
    assert [error["message"] for error in jobs.errors(twice)] == ["failure 1", "failure 2"]
    found = jobs.wait(often, "failed")
    assert (found["attempt"], found["error"]) == (5, "ValueError: failure 5")
    assert len(jobs.errors(often)) == 5
    assert jobs.wait(own_budget, "failed")["attempt"] == 2


@pytest.mark.parametrize(
    ("task", "least", "most"),
    [
        ("fail_constant", (13.5, 13.5), (16.5, 16.5)),
        ("fail_linear", (13.5, 27), (16.5, 33)),
        ("fail_exponential", (13.5, 27), (16.5, 33)),
        ("fail_callable", (3600, 7200), (3600, 7200)),
    ],
)
def test_backoff(
    task: str,
    least: tuple[float, float],
    most: tuple[float, float],
    jobs: Jobs,
    worker: StartWorker,
) -> None:
    job = jobs.add(task)
    worker("--processes", "1", "--fallback", "600")
    for attempt in (1, 2):
        found = jobs.wait(job, "scheduled")
        assert (found["attempt"], found["reason"]) == (attempt, "retry")
        told = jobs.errors(job)[-1]
        assert told["attempt"] == attempt
        delay = (found["run_at"] - told["at"]).total_seconds()
        assert least[attempt - 1] <= delay <= most[attempt - 1]
        jobs.query("SELECT pgqueue.retry(%s)", job)
    found = jobs.wait(job, "failed")
    assert found["attempt"] == 3


def test_a_backoff_that_raises_fails_the_job_alone(jobs: Jobs, worker: StartWorker) -> None:
    with jobs.connection.transaction():
        broken = jobs.add("fail_broken_backoff")
        limited = jobs.add("fail_broken_backoff", timeout="60 s")
        well = jobs.add("succeed_broken_backoff")
        mate = jobs.add("noop")
    running = worker("--processes", "1")
    for job in (broken, limited):
        found = jobs.wait(job, "failed")
        assert found["error"] == "RuntimeError: no backoff today"
        assert "ValueError: broken backoff" in jobs.errors(job)[0]["traceback"]
    assert jobs.wait(well)["result"] == "well"
    jobs.wait(mate)
    assert "ended" not in running.log()


def test_retry_on_and_give_up_on(jobs: Jobs, worker: StartWorker) -> None:
    expected = {
        jobs.add("fail_as", "soft"): 3,
        jobs.add("fail_as", "hard"): 1,
        jobs.add("give_up_as", "soft"): 3,
        jobs.add("give_up_as", "hard"): 1,
    }
    worker("--processes", "1")
    for job, attempts in expected.items():
        assert jobs.wait(job, "failed")["attempt"] == attempts


def test_retry_snooze_and_cancel(jobs: Jobs, worker: StartWorker) -> None:
    asked = jobs.add("ask_retry")
    snoozed = jobs.add("snooze_twice")
    cancelled = jobs.add("acancel", "not needed")
    silent = jobs.add("acancel", "")
    worker("--processes", "1", "--fallback", "600")
    found = jobs.wait(asked, "failed")
    assert (found["attempt"], found["error"]) == (2, "Retry: after attempt 2")
    assert [error["message"] for error in jobs.errors(asked)] == [
        "after attempt 1",
        "after attempt 2",
    ]
    found = jobs.wait(snoozed)
    assert (found["result"], found["attempt"], found["lost"]) == (3, 3, 2)
    assert jobs.errors(snoozed) == []
    found = jobs.wait(cancelled, "cancelled")
    assert found["error"] == "cancelled: not needed"
    assert jobs.errors(cancelled) == []
    jobs.wait(silent, "cancelled")


def test_results_that_cannot_be_stored(jobs: Jobs, worker: StartWorker) -> None:
    expected = {
        "return_object": "a value of type object cannot be stored at $",
        "return_nan": "NaN cannot be stored at $",
        "return_huge": "the result must be at most 1048576 bytes of JSON",
        "return_nul": "a string with a NUL character cannot be stored at $",
        "return_deep": "a value nested deeper than 64 levels",
    }
    with jobs.connection.transaction():
        ids = {jobs.add(task): said for task, said in expected.items()}
        mates = jobs.add_many(5, "echo", "mate")
    running = worker("--processes", "1")
    for job, said in ids.items():
        found = jobs.wait(job, "failed")
        assert found["error"].startswith("ResultNotSerializable: " + said)
        assert found["attempt"] == 1, "the task had its effects"
    jobs.wait_all(mates)
    assert "ended" not in running.log()


def test_hostile_exceptions(jobs: Jobs, worker: StartWorker) -> None:
    tasks = [
        "fail_hostile", "fail_huge", "fail_nul", "fail_deep", "fail_hostile_class", "fail_group",
        "leave", "aleave", "aleave_inside", "interrupt", "cancel_itself",
    ]  # fmt: skip
    with jobs.connection.transaction():
        ids = {task: jobs.add(task) for task in tasks}
        mate = jobs.add("aecho", "mate")
    running = worker("--processes", "1")
    errors = {task: jobs.wait(job, "failed")["error"] for task, job in ids.items()}
    assert jobs.wait(mate)["result"] == "mate"
    assert "its __str__ raised RuntimeError" in errors["fail_hostile"]
    assert errors["fail_nul"] == "ValueError: a␀b \\ud800"
    assert errors["fail_huge"].startswith("ValueError: xxx")
    assert errors["leave"] == "SystemExit: 3"
    assert errors["aleave"] == "SystemExit: 3"
    assert errors["aleave_inside"] == "SystemExit: 4"
    (told,) = jobs.errors(ids["fail_huge"])
    assert len(told["message"]) < 20_000
    assert "ended" not in running.log(), "no child died of it"
    assert stop(running)["lost_leases"] == 0


def test_expiry(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    with closed_gate(db, 1):
        blocker = jobs.add("gate", 1)
        running = worker("--processes", "1", "--fallback", "600")
        jobs.wait_at_gate(1)
        too_late = jobs.add("noop", expires_at=soon)
        over = jobs.add("noop", expires_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
        future = jobs.add("noop", expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
        _pass(jobs, soon)
    jobs.wait(blocker)
    jobs.wait(future)
    for job in (too_late, over):
        found = jobs.wait(job, "expired")
        assert (found["attempt"], found["error"]) == (0, "expired before it could start")
    assert stop(running)["by_fallback"] == 0


def _pass(jobs: Jobs, at: dt.datetime) -> Any:
    """Wait, in the server, until a moment has passed."""
    return jobs.value(
        "SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())))", at
    )


def test_a_retention_of_nothing(jobs: Jobs, worker: StartWorker) -> None:
    jobs.query("SELECT pgqueue.configure_queue('default', interval '0', NULL)")
    ids = jobs.add_many(50, "noop")
    kept = jobs.add("fail")
    worker("--processes", "1")
    jobs.wait(kept, "failed")
    eventually(lambda: jobs.states(ids) == {})
    assert jobs.query("SELECT id FROM pgqueue.jobs") == [{"id": kept}]
