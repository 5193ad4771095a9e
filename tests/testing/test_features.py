"""What an application's tests get of batch tasks, groups, flows, keys and notes."""

from typing import Any

import pytest

from pgqueue import ConfigurationError, Context, Flow, PgQueue, Retry, chain
from pgqueue.api.decorating import registry
from pgqueue.core.batch import BatchJob
from pgqueue.testing import drain, inline
from tests.fixtures.databases import Database


@pytest.fixture
def tasks(app: PgQueue) -> Any:
    known = dict(registry._tasks)
    calls: list[list[Any]] = []
    told: list[dict[str, Any]] = []

    class Tasks:
        seen = calls
        heard = told

        @app.task(name="several", batch=3, max_attempts=2, backoff=0)
        def several(jobs: list[BatchJob]) -> list[object]:
            calls.append([job.args[0] for job in jobs])
            return [_outcome(job) for job in jobs]

        @app.task(name="several_async", batch=2)
        async def several_async(jobs: list[BatchJob]) -> None:
            calls.append([job.args[0] for job in jobs])

        @app.task(name="add")
        def add(one: int, other: int = 0) -> int:
            return one + other

        @app.task(name="hear")
        def hear(what: dict[str, Any]) -> None:
            told.append(what)

        @app.task(name="report", context=True)
        def report(context: Context) -> None:
            context.log("begun")
            context.progress(0.5, "half")
            context.progress(0.75, "more")
            context.log("careful", "warning")

        @app.task(name="fail")
        def fail() -> None:
            raise LookupError("as told")

        @app.task(name="recur", context=True)
        def recur(context: Context, word: str) -> int:
            return context.reschedule("1h")

    yield Tasks
    registry._tasks.clear()
    registry._tasks.update(known)


def _outcome(job: BatchJob) -> object:
    if job.args[0] == "odd":
        return LookupError("as told") if job.attempt > 1 else Retry(0)
    return job.args[0] * 2


def test_batch_tasks(app: PgQueue, tasks: Any) -> None:
    other = tasks.add.enqueue(1)
    for word in ("a", "b", "c", "d"):
        tasks.several.enqueue(word)
    later = tasks.add.enqueue(2)
    tasks.several_async.enqueue("x")
    found = drain(app=app)
    assert tasks.seen == [["a", "b", "c"], ["d"], ["x"]]
    assert {job.id for job in found} >= {other.id, later.id}
    assert {job.state for job in found} == {"succeeded"}
    assert [job.result for job in found if job.task == "several"] == ["aa", "bb", "cc", "dd"]
    # What was taken too much is given back as if nothing had been.
    assert {job.attempt for job in found} == {1}


def test_each_job_of_a_batch_has_its_own_outcome(app: PgQueue, tasks: Any) -> None:
    jobs = [tasks.several.enqueue(word) for word in ("a", "odd", "b")]
    with pytest.raises(LookupError, match="as told"):
        drain(app=app)
    assert tasks.seen == [["a", "odd", "b"], ["odd"]]
    assert [job.state() for job in jobs] == ["succeeded", "failed", "succeeded"]


def test_chains_flows_and_groups(app: PgQueue, tasks: Any) -> None:
    group = app.enqueue_flow(chain(tasks.add.job(1, 2), tasks.add.job(10), on_finish="hear"))
    flow = Flow()
    first = flow.add(tasks.fail.job())
    flow.add(tasks.add.job(1), after=first, results=None)
    broken = app.enqueue_flow(flow)
    drain(app=app, raise_errors=False)
    assert group.results(timeout=0) == [3, 13]
    assert [what["state"] for what in tasks.heard] == ["succeeded"]
    assert (broken.progress().failed, broken.progress().cancelled) == (1, 1)


def test_a_job_that_runs_after_an_older_one(app: PgQueue, tasks: Any) -> None:
    first = tasks.add.enqueue(1, 2)
    second = tasks.add.using(after=first, results="args").enqueue()
    third = tasks.add.using(after=[first, second], results="args").enqueue()
    assert second.state() == "blocked"
    drain(app=app)
    assert (second.result(timeout=0), third.result(timeout=0)) == (3, 6)


def test_callbacks_keys_and_lines(app: PgQueue, tasks: Any) -> None:
    tasks.add.using(on_success="hear").enqueue(1)
    tasks.fail.using(on_failure=tasks.hear).enqueue()
    with pytest.raises(LookupError):
        drain(app=app)
    drain(app=app)
    assert [what["state"] for what in tasks.heard] == ["succeeded", "failed"]
    one = tasks.add.using(unique_key="k").enqueue(1)
    two = tasks.add.using(unique_key="k").enqueue(2)
    assert (two.id, two.duplicate) == (one.id, True)
    line = [tasks.add.using(concurrency_key="line").enqueue(n) for n in range(3)]
    turns = [tasks.add.using(fair_key=f"of {n % 2}", queue="fair").enqueue(n) for n in range(4)]
    ran = [job.id for job in drain(app=app)]
    assert set(ran) == {one.id, *(job.id for job in (*line, *turns))}
    assert tasks.add.using(unique_key="k").enqueue(3).duplicate is False


def test_notes(app: PgQueue, tasks: Any) -> None:
    job = tasks.report.enqueue()
    (found,) = drain(app=app)
    assert (found.progress, found.progress_note) == (0.75, "more")
    assert [(line.level, line.message) for line in job.logs()] == [
        ("info", "begun"),
        ("warning", "careful"),
    ]


def test_inline(app: PgQueue, tasks: Any) -> None:
    with inline(app=app):
        assert tasks.add.using(unique_key="k").enqueue(1).result(timeout=0) == 1
        assert tasks.add.map([(1, 2), (3, 4)]).results(timeout=0) == [3, 7]
        with app.group(on_finish="hear") as group:
            tasks.add.using(group=group).enqueue(5)
        assert group.results(timeout=0) == [5]
    assert len(tasks.heard) == 1


def test_a_job_with_keys_enqueues_itself_again(app: PgQueue, db: Database, tasks: Any) -> None:
    tasks.recur.using(
        unique_key="k", unique_while="waiting", concurrency_key="line", max_running=3
    ).enqueue("a")
    drain(app=app)
    # It has given its key back when it began; the next one has it.
    assert db.execute(
        "SELECT unique_key, unique_while, concurrency_key, max_running, run_at > now()"
        " FROM pgqueue.jobs ORDER BY id"
    ) == [("k", "waiting", "line", 3, None), ("k", "waiting", "line", 3, True)]
    assert tasks.recur.using(unique_key="k").enqueue("b").duplicate
    # The one that waits already is the next one, whoever enqueued it.
    tasks.recur.using(unique_key="other", unique_while="waiting").enqueue("a")
    [job] = drain(app=app)
    assert job.state == "succeeded"


@pytest.mark.parametrize("words", [{}, {"unique_while": "waiting", "unique_for": "1h"}])
def test_a_job_that_keeps_its_key_cannot_enqueue_itself(
    app: PgQueue, db: Database, tasks: Any, words: dict[str, Any]
) -> None:
    job = tasks.recur.using(unique_key="k", **words).enqueue("a")
    with pytest.raises(ConfigurationError, match=f"job {job.id} has its unique key .* Snooze"):
        drain(app=app)
    assert db.execute("SELECT count(*) FROM pgqueue.jobs") == [(1,)]
