"""Waiting for results: woken by the end of the job, by whatever it ends, and never in vain."""

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from pgqueue import (
    JobFailedError,
    JobHandle,
    JobNotFoundError,
    JobState,
    PgQueue,
    ResultTimeoutError,
)
from pgqueue.api import waiting
from pgqueue.db import ends
from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import column, one, tell
from tests.sql.sleeper import Connection

LISTENERS = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND query = 'LISTEN pgqueue_finished'
"""


@pytest.fixture
def c(db: Database) -> Connection:
    return db.connect()


@pytest.fixture
def app(db: Database) -> Iterator[PgQueue]:
    with PgQueue(db.dsn) as made:
        yield made


@pytest.fixture
def no_slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes was woken."""
    monkeypatch.setattr(waiting, "_SLOW", (3600.0,))


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


def waiters(c: Connection, job: int) -> int:
    return int(one(c, "SELECT count(*) FROM pgqueue.waiters WHERE job_id = %s", job))


def in_thread(call: Callable[[], Any]) -> "Future[Any]":
    pool = ThreadPoolExecutor(1)
    found = pool.submit(call)
    pool.shutdown(wait=False)
    return found


def handle(app: PgQueue, job: int) -> JobHandle:
    return app.job(job)


def test_a_result_that_is_there_is_given_at_once(app: PgQueue, c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    tell(c, worker, job, "succeeded", result={"$t": "date", "v": "2026-01-02"})
    assert app.job(job).result(timeout=0) == dt.date(2026, 1, 2)
    assert asyncio.run(handle(app, job).aresult(timeout=0)) == dt.date(2026, 1, 2)
    nothing = factories.finished(c)
    assert app.job(nothing).result() is None
    assert c.execute(LISTENERS).fetchall() == []


@pytest.mark.usefixtures("no_slow_looks")
def test_whoever_waits_is_woken(app: PgQueue, c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    tell(c, worker, job, "succeeded", result=7)
    assert found.result(60) == 7


@pytest.mark.usefixtures("no_slow_looks")
def test_coroutines_are_woken_too(app: PgQueue, c: Connection, worker: int) -> None:
    jobs = [factories.running(c, worker) for _ in range(20)]

    async def all_of_them() -> list[object]:
        return await asyncio.gather(*(app.job(job).aresult(timeout=60) for job in jobs))

    async def main() -> list[object]:
        try:
            return await all_of_them()
        finally:
            await app.aclose()

    for _ in range(2):
        # Each run is an event loop of its own.
        found = in_thread(lambda: asyncio.run(main()))
        for number, job in enumerate(jobs):
            eventually(lambda job=job: waiters(c, job) == 1)  # type: ignore[misc]
            tell(c, worker, job, "succeeded", result=number)
        assert found.result(60) == list(range(20))
        jobs = [factories.running(c, worker) for _ in range(20)]


@pytest.mark.usefixtures("no_slow_looks")
def test_many_waiters_share_one_connection(app: PgQueue, c: Connection, worker: int) -> None:
    job, other = factories.running(c, worker), factories.running(c, worker)
    with ThreadPoolExecutor(40) as pool:
        found = [pool.submit(app.job(job if n % 2 else other).result, 60) for n in range(40)]
        eventually(lambda: (waiters(c, job), waiters(c, other)) == (20, 20))
        assert len(c.execute(LISTENERS).fetchall()) == 1
        tell(c, worker, job, "succeeded", result="this")
        tell(c, worker, other, "succeeded", result="that")
        assert sorted(one.result(60) for one in found) == 20 * ["that"] + 20 * ["this"]


def test_the_connection_goes_when_nobody_waits(
    app: PgQueue, c: Connection, worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "LINGER", 0.05)
    for number in range(3):
        job = factories.running(c, worker)
        found = in_thread(lambda job=job: app.job(job).result(timeout=60))  # type: ignore[misc]
        eventually(lambda job=job: waiters(c, job) == 1)  # type: ignore[misc]
        tell(c, worker, job, "succeeded", result=number)
        assert found.result(60) == number
        eventually(lambda: c.execute(LISTENERS).fetchall() == [])
    # The last thing that it does is to end.
    eventually(lambda: "pgqueue-ends" not in [thread.name for thread in threading.enumerate()])


def test_a_result_arrives_though_the_listener_is_lost(
    app: PgQueue, c: Connection, worker: int
) -> None:
    job = factories.running(c, worker)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    c.execute(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS l")
    tell(c, worker, job, "succeeded", result=7)
    assert found.result(60) == 7


@pytest.mark.usefixtures("no_slow_looks")
def test_who_was_woken_for_nothing_waits_on(
    app: PgQueue, c: Connection, worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_SOON", ())
    job = factories.running(c, worker)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    listening = f"{LISTENERS} AND state = 'idle'"
    eventually(lambda: len(column(c, listening)) == 1)
    lost = column(c, listening)
    c.execute("SELECT pg_terminate_backend(%s)", lost)
    eventually(lambda: column(c, listening) not in ([], lost))
    tell(c, worker, job, "succeeded", result=7)
    assert found.result(60) == 7


def test_a_result_arrives_though_nobody_is_told(app: PgQueue, c: Connection, worker: int) -> None:
    """As behind a pooler that swallows notifications: the waiter looks now and then."""
    job = factories.running(c, worker)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    c.execute("DELETE FROM pgqueue.waiters")
    tell(c, worker, job, "succeeded", result=7)
    assert found.result(60) == 7


def test_a_failure_says_what_the_task_raised(app: PgQueue, c: Connection, worker: int) -> None:
    job = factories.running(c, worker, task="shop.mail", attempt=2)
    facts = {"kind": "shop.NoOrder", "message": "no order\nat all", "traceback": "Traceback: here"}
    tell(c, worker, job, "failed", **facts)
    with pytest.raises(JobFailedError) as caught:
        app.job(job).result(timeout=0)
    error = caught.value
    assert str(error) == f"job {job} (shop.mail) has no result, it failed: shop.NoOrder: no order"
    assert (error.job_id, error.state, error.attempt) == (job, "failed", 2)
    assert (error.kind, error.message, error.traceback) == tuple(facts.values())
    assert error.__notes__ == ["In the worker:\nTraceback: here"]


def test_other_ends_have_no_result_either(app: PgQueue, c: Connection, worker: int) -> None:
    cancelled, expired = factories.ready(c), factories.ready(c, expires_at="2020-01-01")
    assert app.job(cancelled).cancel("no need") is JobState.CANCELLED
    with pytest.raises(JobFailedError, match=r"it was cancelled: no need$") as caught:
        app.job(cancelled).result()
    assert (caught.value.state, caught.value.kind) == ("cancelled", "")
    c.execute("SELECT pgqueue.expire()")
    with pytest.raises(JobFailedError, match=r"it expired: expired before it could start$"):
        asyncio.run(app.job(expired).aresult())


def test_waiting_ends_in_time_and_the_job_goes_on(app: PgQueue, c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    for call in (app.job(job).result, lambda timeout: asyncio.run(app.job(job).aresult(timeout))):
        with pytest.raises(
            ResultTimeoutError, match=rf"^job {job} was not over within 0.2 seconds$"
        ):
            call(timeout="0.2s")  # type: ignore[operator]
    assert isinstance(ResultTimeoutError("no"), TimeoutError)
    tell(c, worker, job, "succeeded", result=7)
    assert app.job(job).result(timeout=5) == 7


def test_waiting_inside_the_transaction_that_enqueued_is_refused(
    app: PgQueue, db: Database
) -> None:
    with db.connect(autocommit=False) as mine:
        job = app.enqueue("some.task", connection=mine)
        with pytest.raises(JobNotFoundError, match="has not committed"):
            job.result(timeout=60)
        with pytest.raises(JobNotFoundError, match="has not committed"):
            asyncio.run(job.aresult(timeout=60))


@pytest.mark.usefixtures("no_slow_looks")
def test_whoever_waits_for_a_job_that_is_deleted_is_told(app: PgQueue, c: Connection) -> None:
    job = factories.ready(c)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    c.execute("DELETE FROM pgqueue.jobs")
    with pytest.raises(JobNotFoundError, match="deleted since"):
        found.result(60)


@pytest.mark.usefixtures("no_slow_looks")
def test_what_a_stranger_notifies_harms_nobody(app: PgQueue, c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    found = in_thread(lambda: app.job(job).result(timeout=60))
    eventually(lambda: waiters(c, job) == 1)
    for payload in ("", "x", "1,,2", str(job), "9" * 7000):
        c.execute("SELECT pg_notify('pgqueue_finished', %s)", (payload,))
    tell(c, worker, job, "succeeded", result=7)
    assert found.result(60) == 7
