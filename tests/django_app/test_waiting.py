"""Who waits for a result in a Django project: where, and in whose transaction."""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pgqueue import JobNotFoundError, default_app
from pgqueue.api import waiting
from pgqueue.db import ends
from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import tell


@pytest.fixture(autouse=True)
def tasks(project: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from tests.django_app.store import tasks

    # Nobody looks now and then: whoever wakes was woken.
    monkeypatch.setattr(waiting, "_SOON", (0.0,))
    monkeypatch.setattr(waiting, "_SLOW", (3600.0,))
    # Django's settings alone say where the database is.
    monkeypatch.delenv("PGQUEUE_DSN", raising=False)
    monkeypatch.setenv("PGHOST", "/nowhere")
    yield importlib.reload(tasks)
    default_app().clients.sync.ends.close()


def ended(project: Database, wait: Callable[[int], Any]) -> Any:
    """Give what waiting for a job gives, that ends once somebody waits for it."""
    from django.db import connections

    with project.connect() as other:
        worker = factories.worker(other)
        job = factories.running(other, worker)

        def waiter() -> Any:
            try:
                return wait(job)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(waiter)
            eventually(lambda: other.execute("SELECT FROM pgqueue.waiters").rowcount == 1)
            tell(other, worker, job, "succeeded", result=7)
            begun = time.monotonic()
            result = found.result(90)
            # Without being woken it looks again when its time is over.
            assert time.monotonic() - begun < 30
            return result


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_waiting_inside_a_transaction_for_a_job_of_another(
    project: Database, isolation: str
) -> None:
    from django.db import connection, transaction

    def wait(job: int) -> Any:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            return default_app().job(job).result(timeout=60)

    assert ended(project, wait) == 7


def test_whoever_waits_is_woken(project: Database) -> None:
    assert ended(project, lambda job: default_app().job(job).result(timeout=60)) == 7
    call = lambda job: asyncio.run(default_app().job(job).aresult(timeout=60))  # noqa: E731
    assert ended(project, call) == 7


def test_waiting_inside_the_transaction_that_enqueued_is_refused(tasks: Any) -> None:
    from django.db import transaction

    import pgqueue

    with transaction.atomic():
        job = default_app().job(int(tasks.add.enqueue(1, 2).id))
        group = pgqueue.chain(tasks.total.job(1)).enqueue()
        for wait in (job.result, group.results, group.wait):
            with pytest.raises(JobNotFoundError, match="has not committed"):
                wait(timeout=60)
        with transaction.atomic(), pytest.raises(JobNotFoundError, match="commit first"):
            job.result()
        # The transaction is as good as before.
        assert job.state() == "ready"
    assert job.state() == "ready"


def test_coroutines_are_refused_too(tasks: Any) -> None:
    from asgiref.sync import sync_to_async
    from django.db import transaction

    block = transaction.atomic()

    async def main() -> None:
        # In the thread where Django's connections are.
        await sync_to_async(block.__enter__)()
        try:
            job = default_app().job(int((await tasks.add.aenqueue(1, 2)).id))
            with pytest.raises(JobNotFoundError, match="has not committed"):
                await job.aresult(timeout=60)
        finally:
            await sync_to_async(block.__exit__)(None, None, None)

    asyncio.run(main())


def test_the_database_of_tests_can_be_dropped_soon_after(project: Database) -> None:
    call = lambda job: default_app().job(job).result(timeout=60)  # noqa: E731
    assert ended(project, call) == 7
    # DROP DATABASE waits for five seconds; here nobody closes it. It lingers for two spans of
    # which the longer would take 20 s.
    assert 2 * ends.LINGER_LENT < 5
    eventually(
        lambda: project.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%'") == [],
        timeout=2 * ends.LINGER - 2,
    )
