"""Jobs that raw SQL has written and no worker, or not this one, can run."""

import datetime as dt
import json
from pathlib import Path

import pytest

from pgqueue import PgQueue
from tests.acceptance.support import Jobs, stop
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, eventually

DEEP = "[" * 3000 + "]" * 3000


def raw(jobs: Jobs, task: str, args: str = "[]", kwargs: str = "{}") -> int:
    """Insert a job with JSON as text, as psql does."""
    return int(
        jobs.value(
            "INSERT INTO pgqueue.jobs (task, args, kwargs) VALUES (%s, %s, %s) RETURNING id",
            f"tests.acceptance.tasks.{task}",
            args,
            kwargs,
        )
    )


def test_bad_arguments_fail_alone(jobs: Jobs, worker: StartWorker) -> None:
    with jobs.connection.transaction():
        mates = jobs.add_many(3, "echo", "before")
        bad = {
            raw(jobs, "add", "[1]"): "missing a required argument: 'second'",
            raw(jobs, "add", "[1, 2, 3]"): "takes at most 2 positional arguments; got 3",
            raw(jobs, "add", "[1]", '{"sceond": 2}'): "did you mean 'second'?",
            raw(jobs, "tell_context", "[]", '{"context": 1}'): "which is the Context",
            raw(jobs, "echo", f"[{DEEP}]"): "nested too deep",
            raw(jobs, "echo", '[{"$t": "datetime", "v": "2026-01-01T00:00:00"}]'): (
                "a malformed tagged datetime stands at $.args[0]"
            ),
            raw(jobs, "echo", '[{"$t": "pickle", "v": 1}]'): "an unknown tagged type stands",
            raw(jobs, "echo", "[]", '{"value": {"$t": "set"}}'): "stands at $.kwargs.value",
            raw(jobs, "echo", "[]", '{"$t": "set", "v": []}'): "kwargs a JSON object",
            raw(jobs, "echo", f"[1e{9000}]"): "cannot be read",
        }
        mates += jobs.add_many(3, "echo", "after")
    running = worker("--processes", "1")
    jobs.wait_all(mates)
    for job, said in bad.items():
        found = jobs.wait(job, "failed")
        assert found["error"].startswith("BadArguments: ")
        assert said in found["error"]
        assert found["attempt"] == 1
        assert [error["kind"] for error in jobs.errors(job)] == ["BadArguments"]
    assert "ended" not in running.log()
    figures = stop(running)
    assert (figures["jobs"], figures["lost_leases"]) == (16, 0)


def test_numbers_arrive_as_they_were_written(jobs: Jobs, worker: StartWorker) -> None:
    numbers = [2**63, 2**64, 2**64 + 1, -(2**63) - 1, 2**200, 10**4000, 1.5, -0.1]
    ids = {raw(jobs, "describe", json.dumps([number])): number for number in numbers}
    worker("--processes", "1")
    for job, number in ids.items():
        assert jobs.wait(job)["result"] == f"{type(number).__name__} {number}"


@pytest.mark.parametrize("timeout", ["365 days", "300 days", "1 microsecond"])
def test_any_timeout(timeout: str, jobs: Jobs, worker: StartWorker) -> None:
    ids = jobs.add_many(3, "noop", timeout=timeout)
    worker("--processes", "1")
    # No time at all may still be enough, as nobody looks at the clock so often.
    eventually(lambda: jobs.states(ids).keys() <= {"succeeded", "failed"})
    # The child that ran them goes on.
    jobs.wait(jobs.add("noop"))


def test_any_meta(jobs: Jobs, worker: StartWorker) -> None:
    odd = jobs.add("tell_context", meta={"$t": "set", "v": [1]})
    bad = jobs.add("tell_context", meta={"a": {"$t": 1}})
    worker("--processes", "1")
    assert jobs.wait(odd)["result"]["meta"] == {}
    assert "at $.meta.a" in jobs.wait(bad, "failed")["error"]


def test_an_unknown_task_waits_for_a_worker_that_knows_it(
    app: PgQueue, jobs: Jobs, worker: StartWorker, tmp_path: Path
) -> None:
    with jobs.connection.transaction():
        unknown = jobs.add("later.hello", "you", queue="mail")
        mates = jobs.add_many(3, "noop", queue="mail")
    first = worker("--processes", "1", "--fallback", "600")
    jobs.wait_all(mates)
    found = jobs.wait(unknown, "scheduled")
    assert (found["reason"], found["attempt"], found["lost"]) == ("unknown_task", 0, 0)
    assert found["run_at"] - found["created_at"] >= dt.timedelta(seconds=5)
    assert jobs.errors(unknown) == []

    def told() -> None:
        # But for the moment in which it is due, taken, and put off again.
        (counted,) = jobs.query("SELECT * FROM pgqueue.queue_stats")
        assert (counted["queue"], counted["scheduled"], counted["unknown_task"]) == ("mail", 1, 1)
        assert jobs.value("SELECT pgqueue.health() ->> 'status'") == "unknown task"

    eventually(told)
    (tmp_path / "later.py").write_text(
        "from pgqueue import task\n@task\ndef hello(name): return f'hello {name}'\n"
    )
    # As at its due time: whichever worker promotes and takes it, the one that knows it gets it.
    worker("--processes", "1", app="later", env={"PYTHONPATH": str(tmp_path)})
    stop(first)

    def done() -> None:
        if jobs.state(unknown) == "scheduled":
            jobs.query("SELECT pgqueue.promote(at => clock_timestamp() + interval '1 h')")
        assert jobs.state(unknown) == "succeeded"

    eventually(done)
    found = jobs.look(unknown)
    assert (found["result"], found["attempt"]) == ("hello you", 1)


def test_an_application_that_cannot_be_imported(worker: StartWorker, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    for module, said in (("broken", "ZeroDivisionError"), ("no.such", "no.such")):
        running = worker(app=module, env={"PYTHONPATH": str(tmp_path)}, ready=False)
        assert running.process.wait(PATIENCE) not in (0, None)
        assert said in running.log()
        assert "cannot be imported" in running.log()
