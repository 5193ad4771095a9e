"""Unique jobs as applications enqueue them."""

import asyncio
from typing import Any

import psycopg
import pytest

import pgqueue
from pgqueue import ConfigurationError, DuplicateJobError, PgQueue
from tests.fixtures.databases import Database


@pgqueue.task(unique=("order_id",), queue="mail")
def receipt(order_id: int, copy_to: str = "", **more: object) -> None:
    """Be unique by an argument."""


@pgqueue.task
def plain(n: int = 0) -> None:
    """Be unique where somebody says so."""


@pgqueue.task(unique=True, unique_for="1h", on_duplicate="error")
def strict(context: int, n: int = 0) -> None:
    """Be unique by all arguments."""


@pytest.fixture
def app(db: Database) -> Any:
    before = pgqueue.default_app()
    with PgQueue(db.dsn) as made:
        pgqueue.set_default_app(made)
        yield made
    pgqueue.set_default_app(before)


def test_a_duplicate_is_the_job_that_is_there(app: PgQueue) -> None:
    first = receipt.enqueue(42)
    assert not first.duplicate
    second = receipt.using(priority=5).enqueue(order_id=42, copy_to="ann", other=1)
    assert second.duplicate
    assert second == first
    assert not receipt.enqueue(43).duplicate
    assert [(job.queue, job.priority) for job in app.jobs()] == [("mail", 0)] * 2
    assert first.info().unique_key == app.jobs()[-1].unique_key is not None
    first.cancel()
    assert not receipt.enqueue(42).duplicate


def test_a_key_of_ones_own_wins_over_the_arguments(app: PgQueue) -> None:
    first = receipt.using(unique_key="k").enqueue(1)
    assert plain.using(unique_key="k").enqueue() == first
    assert app.enqueue("elsewhere", unique_key="k") == first
    assert not receipt.enqueue(1).duplicate


def test_all_arguments_and_defaults_count(app: PgQueue) -> None:
    strict.enqueue(1)
    strict.enqueue(1, n=1)
    with pytest.raises(DuplicateJobError) as caught:
        strict.enqueue(context=1, n=0)
    assert caught.value.job_id == 1
    assert caught.value.sqlstate == "PQ006"
    assert strict.using(on_duplicate="ignore").enqueue(1).id == 1


def test_many_tell_which_are_duplicates(app: PgQueue) -> None:
    jobs = [receipt.job(n % 3) for n in range(5)]
    jobs.append(plain.using(run_at="1h", timeout=90, meta={"a": 1}, expires="2h").job(7))
    found = pgqueue.enqueue_many(jobs)
    assert [handle.duplicate for handle in found] == [False, False, False, True, True, False]
    assert found[3] == found[0]
    last = found[5].info()
    assert (last.args, last.timeout, last.meta, last.state) == ((7,), 90, {"a": 1}, "scheduled")
    assert last.run_at is not None
    assert last.expires_at is not None
    assert pgqueue.enqueue_many(jobs[:5]) == found[:5]


def test_copies_leave_duplicates_out(app: PgQueue) -> None:
    unlike = plain.using(unique_key="a\tb", unique_while="waiting", unique_for="1.5s")
    pgqueue.copy_many([plain.job(), receipt.job(1), receipt.job(1), unlike.job(), unlike.job()])
    assert len(app.jobs()) == 3
    assert app.jobs()[0].unique_key == "a\tb" or app.jobs()[1].unique_key == "a\tb"


def test_coroutines(app: PgQueue) -> None:
    async def run() -> None:
        first = await receipt.aenqueue(1)
        assert await receipt.aenqueue(1) == first
        found = await pgqueue.aenqueue_many([receipt.job(1), receipt.job(2)])
        assert [handle.duplicate for handle in found] == [True, False]
        assert await app.aenqueue("t", unique_key="k") == await app.aenqueue("t", unique_key="k")
        await app.aclose()

    asyncio.run(run())


def test_in_the_callers_transaction(app: PgQueue, db: Database) -> None:
    with psycopg.connect(db.dsn) as connection:
        first = receipt.using(connection=connection).enqueue(1)
        assert receipt.using(connection=connection).enqueue(1) == first
        with pytest.raises(DuplicateJobError), connection.transaction():
            receipt.using(connection=connection, on_duplicate="error").enqueue(1)
        connection.rollback()
        assert not receipt.using(connection=connection).enqueue(1).duplicate
        assert not receipt.using(connection=connection).enqueue(2).duplicate
    assert len(app.jobs()) == 2


def test_what_is_wrong_is_said_where_it_is() -> None:
    with pytest.raises(ConfigurationError, match=r"unique must name arguments of .*; it has none"):
        pgqueue.task(unique=("nothing",), name="wrong")(lambda n: None)
    with pytest.raises(ConfigurationError, match="unique_for says how a key is kept"):
        plain.using(unique_for="1h").job()
