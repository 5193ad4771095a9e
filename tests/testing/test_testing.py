"""What an application's tests get, without a framework."""

import asyncio
from typing import Any

import psycopg
import pytest

from pgqueue import Context, PgQueue, Retry, Snooze, TaskNotFoundError
from pgqueue.api.decorating import registry
from pgqueue.testing import assert_enqueued, assert_not_enqueued, drain, draining, enqueued, inline
from tests import factories
from tests.fixtures.databases import Database


@pytest.fixture
def tasks(app: PgQueue) -> Any:
    known = dict(registry._tasks)
    done: list[object] = []

    class Tasks:
        seen = done

        @app.task(name="note")
        def note(word: str) -> str:
            done.append(word)
            return word

        @app.task(name="fail", max_attempts=2, backoff=0)
        def fail() -> None:
            done.append("failed")
            raise LookupError("as told")

        @app.task(name="later")
        def later() -> None:
            done.append("later")
            if done.count("later") < 3:
                raise Snooze("30m")

        @app.task(name="again", context=True, max_attempts=2)
        def again(context: Context) -> int:
            if context.attempt == 1:
                raise Retry("1h")
            return context.attempt

        @app.task(name="loop")
        async def loop() -> str:
            await asyncio.sleep(0)
            return "from the loop"

        @app.task(name="write", atomic=True, context=True)
        def write(context: Context, fails: bool) -> None:
            context.connection.execute("INSERT INTO effects DEFAULT VALUES")
            if fails:
                raise LookupError("as told")

        @app.task(name="chain")
        def chain(more: int) -> None:
            done.append(more)
            if more:
                app.enqueue("chain", [more - 1])

        @app.task(name="endless")
        def endless() -> None:
            app.enqueue("endless")

    yield Tasks
    registry._tasks.clear()
    registry._tasks.update(known)


def test_drain_runs_what_is_due_and_what_that_enqueues(app: PgQueue, tasks: Any) -> None:
    tasks.note.enqueue("a")
    tasks.chain.enqueue(2)
    tasks.note.using(run_at="1h").enqueue("much later")
    found = drain(app=app)
    assert [job.state for job in found] == ["succeeded"] * 4
    assert found[0].result == "a"
    assert tasks.seen == ["a", 2, 1, 0]
    assert app.workers() == []
    drain(app=app, within="61m")
    assert tasks.seen[-1] == "much later"
    assert drain(app=app) == []


def test_queues_and_priorities(app: PgQueue, tasks: Any) -> None:
    tasks.note.using(queue="mail").enqueue("mail")
    tasks.note.using(queue="other").enqueue("other")
    tasks.note.using(priority=9, queue="mail").enqueue("urgent")
    drain("mail", app=app)
    assert tasks.seen == ["urgent", "mail"]


def test_failures(app: PgQueue, tasks: Any) -> None:
    job = tasks.fail.enqueue()
    with pytest.raises(LookupError, match="as told"):
        drain(app=app)
    assert tasks.seen == ["failed", "failed"]
    assert job.state() == "failed"
    assert [attempt.kind for attempt in job.errors()] == ["LookupError"] * 2
    tasks.fail.enqueue()
    (found,) = drain(app=app, raise_errors=False)
    assert (found.state, found.attempt) == ("failed", 2)


def test_snooze_and_retry(app: PgQueue, tasks: Any) -> None:
    tasks.later.enqueue()
    tasks.again.enqueue()
    assert [job.state for job in drain(app=app)] == ["scheduled", "scheduled"]
    states = [(job.state, job.result) for job in drain(app=app, within="2h")]
    assert states == [("succeeded", None), ("succeeded", 2)]


def test_async_and_atomic_tasks(app: PgQueue, db: Database, tasks: Any) -> None:
    db.execute("CREATE TABLE effects (n int)")
    tasks.loop.enqueue()
    tasks.write.enqueue(False)
    tasks.write.enqueue(True)
    found = drain(app=app, raise_errors=False)
    assert [job.state for job in found] == ["succeeded", "succeeded", "failed"]
    assert found[0].result == "from the loop"
    assert db.execute("SELECT count(*) FROM effects") == [(1,)]


def test_what_no_task_can_do(app: PgQueue, db: Database, tasks: Any) -> None:
    c = db.connect()
    unknown = factories.job(c, "unknown")
    wrong = factories.job(c, "note", args="[1, 2, 3]")
    drain(app=app)
    assert factories.position(c, unknown)["reason"] == "unknown_task"
    assert factories.state(c, wrong) == "failed"


def test_round_and_round(app: PgQueue, tasks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "MOST", 10)
    tasks.endless.enqueue()
    with pytest.raises(AssertionError, match="the last is of endless"):
        drain(app=app)


def test_inline(app: PgQueue, db: Database, tasks: Any) -> None:
    with inline(app=app):
        assert tasks.note.enqueue("a").state() == "succeeded"
        app.enqueue_many([tasks.note.job("b"), tasks.note.job("c")])
        tasks.chain.enqueue(1)
        assert tasks.note.using(run_at="1h").enqueue("later").state() == "scheduled"
        assert asyncio.run(_enqueue(tasks)) == "succeeded"
        with psycopg.connect(db.dsn) as connection:
            job = tasks.note.using(connection=connection).enqueue("own")
        assert job.state() == "ready"
        with pytest.raises(LookupError):
            tasks.fail.enqueue()
    assert tasks.seen == ["a", "b", "c", 1, 0, "d", "own", "failed", "failed"]
    assert tasks.note.enqueue("after").state() == "ready"


async def _enqueue(tasks: Any) -> str:
    return str(await (await tasks.note.aenqueue("d")).astate())


def test_looking(app: PgQueue, tasks: Any) -> None:
    first = tasks.note.using(queue="mail").enqueue("a")
    tasks.note.enqueue(word="b")
    assert [job.id for job in enqueued(app=app)] == [first.id, first.id + 1]
    assert assert_enqueued(tasks.note, args=["a"], queue="mail", app=app).id == first.id
    assert_enqueued("note", kwargs={"word": "b"}, count=1, app=app)
    assert_enqueued(tasks.note, count=2, state="ready", app=app)
    assert_not_enqueued(tasks.note, args=["c"], app=app)
    with pytest.raises(AssertionError, match=r"expected a job of note .* found 0, and 2 of that"):
        assert_enqueued(tasks.note, args=["c"], app=app)
    with pytest.raises(AssertionError, match=r"expected 3 jobs of note .* found 2"):
        assert_enqueued(tasks.note, count=3, app=app)
    with pytest.raises(AssertionError, match=r"expected no job of note"):
        assert_not_enqueued(tasks.note, app=app)
    with pytest.raises(TaskNotFoundError):
        registry.get("nothing of this is left behind")
