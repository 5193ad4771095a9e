"""The app: many jobs at once, looking, managing."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import pgqueue
from pgqueue import JobNotFoundError, JobState, PgQueue
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, NotSerializableError
from tests.fixtures.databases import Database


@pgqueue.task(name="test.app.work", queue="work", aliases=("test.app.old",))
def work(n: int, *, flag: bool = False) -> int:
    return n


def test_an_app_shows_no_dsn() -> None:
    app = PgQueue("postgresql://ann:hunter2@localhost/x")
    assert "hunter2" not in repr(app)
    assert app.dsn == "postgresql://ann:hunter2@localhost/x"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PgQueue("hunter2")


def test_tasks_of_an_app_go_to_its_database(app: PgQueue) -> None:
    @app.task(name="test.app.own")
    def own() -> None: ...

    assert own.enqueue().state() is JobState.READY
    assert app.registry.get("test.app.own") is own


def test_many_jobs_at_once(app: PgQueue) -> None:
    urgent = work.using(priority=9)
    handles = app.enqueue_many(
        work.job(n) if n % 2 else urgent.job(n, flag=True) for n in range(101)
    )
    assert [handle.id for handle in handles] == sorted({handle.id for handle in handles})
    jobs = {job.id: job for job in app.jobs(limit=500)}
    for n, handle in enumerate(handles):
        job = jobs[handle.id]
        assert (job.args, job.priority) == ((n,), 0 if n % 2 else 9)
        assert job.kwargs == ({} if n % 2 else {"flag": True})
        assert job.queue == "work"
    assert handles[7].state() is JobState.READY
    assert app.enqueue_many([]) == []


def test_many_jobs_by_copy(app: PgQueue) -> None:
    assert app.copy_many(work.job(n) for n in range(2001)) == 2001
    assert [job.args for job in app.jobs(limit=3)] == [(2000,), (1999,), (1998,)]
    assert app.copy_many([]) == 0


def test_what_reads_a_copy_may_enqueue(app: PgQueue) -> None:
    def jobs() -> Any:
        app.enqueue("test.app.work", [0])
        yield work.job(1)

    assert app.copy_many(jobs()) == 1
    assert len(app.jobs()) == 2


def test_a_copy_whose_jobs_fail_stores_none(app: PgQueue) -> None:
    with pytest.raises(NotSerializableError):
        app.copy_many(work.job(n if n < 1500 else float("nan")) for n in range(2000))  # type: ignore[arg-type]
    assert app.jobs() == []


@pytest.mark.parametrize("commit", [True, False])
def test_many_jobs_in_the_callers_transaction(db: Database, app: PgQueue, commit: bool) -> None:
    with contextlib.closing(psycopg.connect(db.dsn)) as connection:
        app.enqueue_many([work.job(1), work.job(2)], connection=connection)
        app.copy_many([work.job(3)], connection=connection)
        connection.commit() if commit else connection.rollback()
    assert len(app.jobs()) == (3 if commit else 0)


def test_from_coroutines(db: Database, app: PgQueue) -> None:
    async def main() -> None:
        async with PgQueue(db.dsn) as mine:
            handles = await mine.aenqueue_many([work.job(1), work.job(2)])
            assert await mine.acopy_many([work.job(3)]) == 1
            named = await mine.aenqueue("test.app.work", [4])
            assert (await mine.aget_job(named.id)).args == (4,)
            found = await mine.ajobs(queue="work")
            assert [job.args for job in found] == [(4,), (3,), (2,), (1,)]
            assert await handles[0].astate() is JobState.READY
            await mine.queues.apause("work", resume_in="1h")
            await mine.queues.aconfigure("work", retention="1d")
            assert (await mine.queues.alist())[0].paused
            assert await mine.queues.aresume("work")

    asyncio.run(main())


def test_enqueue_by_name(app: PgQueue) -> None:
    known = app.enqueue("test.app.old", [1], {"flag": True}, priority=2).info()
    assert (known.task, known.queue, known.priority) == ("test.app.work", "work", 2)
    stranger = app.enqueue("elsewhere.task", (1, "x"), run_at="1h").info()
    assert (stranger.task, stranger.args, stranger.queue) == ("elsewhere.task", (1, "x"), "default")
    assert stranger.state is JobState.SCHEDULED
    for args, kwargs, said in (
        ("[1]", None, "args must be a list or tuple of positional arguments; got str"),
        ([1], [2], "kwargs must be a mapping"),
        ([], None, "missing a required argument: 'n'"),
    ):
        with pytest.raises(BadArgumentsError, match=said):
            app.enqueue("test.app.work", args, kwargs)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="task must be a non-empty string"):
        app.enqueue("")


def test_a_handle_manages_its_job(app: PgQueue) -> None:
    handle = app.enqueue("t", run_at="1h")
    assert app.job(handle.id) == handle
    assert app.get_job(handle.id) == handle.info()
    assert handle.retry() is JobState.READY
    assert handle.set_priority(5) is JobState.READY
    assert handle.cancel("not needed") is JobState.CANCELLED
    info = handle.info()
    assert info.is_final
    assert info.error == "cancelled: not needed"
    assert info.finished_at is not None
    assert handle.retry(run_at="2h") is JobState.SCHEDULED
    assert handle.errors() == []
    assert handle.delete()
    assert not handle.delete()


def test_a_job_that_is_not_there(db: Database, app: PgQueue) -> None:
    with psycopg.connect(db.dsn) as connection:
        handle = work.using(connection=connection).enqueue(1)
        with pytest.raises(JobNotFoundError, match="never committed, or deleted since"):
            app.job(handle.id).state()
        with pytest.raises(JobNotFoundError, match="there is no job"):
            app.job(handle.id).cancel()
        with pytest.raises(JobNotFoundError) as caught:
            app.get_job(handle.id)
        assert caught.value.job_id == handle.id
    assert app.job(handle.id).state() is JobState.READY


def test_listing(app: PgQueue) -> None:
    first = app.enqueue("a", queue="x")
    app.enqueue("b", queue="y", run_at="1h")
    assert [job.task for job in app.jobs()] == ["b", "a"]
    assert [job.task for job in app.jobs(state=JobState.SCHEDULED)] == ["b"]
    assert [job.task for job in app.jobs(state="ready")] == ["a"]
    assert [job.task for job in app.jobs(task="a", queue="x", limit=1)] == ["a"]
    assert app.jobs(before=first.id) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda app: app.jobs(state="redy"), "did you mean 'ready'"),
        (lambda app: app.jobs(limit=0), "limit must be between 1 and 10000; got 0"),
        (lambda app: app.jobs(before="x"), "id must be a whole number; got 'x'"),
        (lambda app: app.job("7"), "id must be a whole number; got '7'"),
        (lambda app: app.get_job(2**63), "id must be a whole number"),
        (lambda app: app.job(1).set_priority(99999), "between -32768 and 32767; got 99999"),
        (lambda app: app.job(1).retry(run_at="soon"), "run_at must be an offset"),
        (lambda app: app.queues.pause("*"), "stands for every queue"),
        (lambda app: app.queues.pause("q", resume_in=0), "longer than nothing"),
        (lambda app: app.queues.pause("q", resume_in="soon"), "resume_in must be an offset"),
        (lambda app: app.queues.configure("q", retention=-1), "between 0 seconds and 100 years"),
        (
            lambda app: app.queues.configure("q", retention=1, retention_other=2),
            "leave those out",
        ),
        (lambda app: app.prune(older_than="x"), "older_than must be an offset"),
        (lambda app: pgqueue.set_default_app("x"), "must be a PgQueue"),  # type: ignore[arg-type]
    ],
)
def test_wrong_input(call: Callable[[PgQueue], object], said: str) -> None:
    # To a database that is not there: nothing is sent.
    with pytest.raises(ConfigurationError, match=said):
        call(PgQueue("host=/nonexistent"))


@pytest.mark.parametrize("method", ["enqueue_many", "copy_many"])
def test_jobs_are_what_job_makes(app: PgQueue, method: str) -> None:
    with pytest.raises(BadArgumentsError, match=r"got a value of type int; write task\.job"):
        getattr(app, method)([work.job(1), 2])
    assert app.jobs() == []


def test_queues_are_managed(app: PgQueue) -> None:
    app.queues.pause("mail", resume_in="1h")
    app.queues.configure("mail", retention_succeeded=0, retention_other="30d")
    (queue,) = app.queues.list()
    assert (queue.queue, queue.paused) == ("mail", True)
    assert queue.resume_at is not None
    assert (queue.retention_succeeded, queue.retention_other) == (
        dt.timedelta(0),
        dt.timedelta(days=30),
    )
    assert app.queues.resume("mail")
    assert not app.queues.resume("mail")


def test_looking_at_the_whole(app: PgQueue) -> None:
    assert app.workers() == []
    assert app.health()["status"] == "ok"
    assert app.check() == []


def test_pruning_in_batches(app: PgQueue) -> None:
    app.queues.configure("short", retention=0)
    app.copy_many(work.using(queue="short").job(n) for n in range(2100))
    for job in app.jobs(limit=2100):
        app.job(job.id).cancel()
    kept = app.enqueue("t")
    kept.cancel()
    assert app.prune() == 2100
    assert app.prune() == 0
    assert app.prune(older_than=0) == 1


def test_the_default_app(app: PgQueue, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pgqueue.default_app()
    pgqueue.set_default_app(app)
    try:
        handles = pgqueue.enqueue_many([work.job(1)])
        assert handles[0].state() is JobState.READY
        assert pgqueue.copy_many([work.job(2)]) == 1
        pgqueue.queues.pause("work")
        assert pgqueue.queues.list()[0].paused
        assert pgqueue.queues.resume("work")

        async def main() -> None:
            assert len(await pgqueue.aenqueue_many([work.job(3)])) == 1
            assert await pgqueue.acopy_many([work.job(4)]) == 1
            await app.aclose()

        asyncio.run(main())
        assert len(app.jobs()) == 4
    finally:
        pgqueue.set_default_app(before)
