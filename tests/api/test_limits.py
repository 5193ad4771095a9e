"""Limits as applications set them."""

import asyncio
from typing import Any

import pytest

import pgqueue
from pgqueue import ConfigurationError, PgQueue, QueueFullError
from tests.fixtures.databases import Database


@pgqueue.task(concurrency=("account",), max_running=2)
def bill(account: int, amount: int = 0) -> None:
    """Be limited by an argument."""


@pgqueue.task
def plain(n: int = 0) -> None:
    """Be limited where somebody says so."""


@pytest.fixture
def app(db: Database) -> Any:
    before = pgqueue.default_app()
    with PgQueue(db.dsn) as made:
        pgqueue.set_default_app(made)
        yield made
    pgqueue.set_default_app(before)


def test_a_line_is_made_from_arguments(app: PgQueue, db: Database) -> None:
    first, second = bill.enqueue(1), bill.enqueue(account=1, amount=5)
    other = bill.enqueue(2)
    key = first.info().concurrency_key
    assert key == second.info().concurrency_key
    assert key != other.info().concurrency_key
    assert bill.using(concurrency_key="k", max_running=7).enqueue(1).info().concurrency_key == "k"
    assert db.execute("SELECT max_running FROM pgqueue.jobs ORDER BY id") == [
        (2,), (2,), (2,), (7,),
    ]  # fmt: skip
    assert first.state() == "blocked"
    assert first.info().reason == "concurrency"


def test_by_every_way_in(app: PgQueue, db: Database) -> None:
    unlike = plain.using(concurrency_key="k", unique_key="u", queue="mail")
    jobs = [plain.job(), bill.job(1), bill.job(2), plain.using(concurrency_key="k").job()]
    pgqueue.enqueue_many(jobs)
    pgqueue.enqueue_many([*jobs, unlike.job()])
    pgqueue.copy_many([*jobs, unlike.job()])
    app.enqueue("t", concurrency_key="k", max_running=3)
    query = (
        "SELECT count(*), count(DISTINCT concurrency_key), sum(max_running) FROM pgqueue.jobs"
        " WHERE concurrency_key IS NOT NULL"
    )
    assert db.execute(query) == [(3 + 4 + 3 + 1, 3, 6 * 2 + 3)]


def test_queues_are_limited(app: PgQueue) -> None:
    pgqueue.queues.configure("mail", max_running=20, rate="100/m", retention="3d")
    pgqueue.queues.configure("mail", max_pending=2)
    [queue] = pgqueue.queues.list()
    assert (queue.max_running, queue.rate, queue.max_pending) == (20, "100/60s", 2)
    assert queue.retention_other is not None
    pgqueue.queues.configure("mail", rate=None, max_running=None)
    [queue] = pgqueue.queues.list()
    assert (queue.max_running, queue.rate, queue.max_pending) == (None, None, 2)
    plain.using(queue="mail").enqueue()
    with pytest.raises(QueueFullError, match="queue 'mail' must have at most 2 jobs") as caught:
        pgqueue.enqueue_many(plain.using(queue="mail").job() for _ in range(2))
    assert caught.value.sqlstate == "PQ007"
    assert len(app.jobs()) == 1


def test_coroutines(app: PgQueue) -> None:
    async def run() -> None:
        await app.queues.aconfigure("mail", max_running=1, retention="1d")
        await app.queues.alimit_key("k", 5)
        await app.queues.alimit_key("k", None, "5/s")
        await app.aclose()

    asyncio.run(run())
    assert app.queues.list()[0].max_running == 1


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_running": -1}, "max_running must be between 0 and 2147483647; got -1"),
        ({"max_pending": "5"}, "max_pending must be a whole number; got '5'"),
        ({"rate": "100"}, "rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got '100'"),
        ({"rate": 5}, "rate must be text such as 100/m"),
    ],
)
def test_bad_limits_are_refused(app: PgQueue, limits: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app.queues.configure("mail", **limits)
    assert str(caught.value).startswith(said)


def test_a_limit_needs_a_key() -> None:
    with pytest.raises(ConfigurationError, match="give concurrency_key= with it"):
        plain.using(max_running=2).job()
    with pytest.raises(ConfigurationError, match="give concurrency= with it"):
        pgqueue.task(max_running=2, name="wrong")(lambda: None)
    with pytest.raises(ConfigurationError, match="concurrency must name arguments of"):
        pgqueue.task(concurrency=("x",), name="wrong")(lambda: None)
    with pytest.raises(ConfigurationError, match="rate must be text such as 100/m"):
        plain.using(rate="100")
    with pytest.raises(ConfigurationError, match="so does a rate"):
        pgqueue.task(fair_by="a", rate="1/s", name="wrong")(lambda a: None)
    with pytest.raises(ConfigurationError, match="max_running must be between 1 and"):
        plain.using(concurrency_key="k", max_running=0)


@pgqueue.task(rate="100/m")
def ask(n: int = 0) -> None:
    """Be started now and then."""


@pgqueue.task(concurrency=("account",), rate="5/s", max_running=3)
def call(account: int) -> None:
    """Be started now and then, for each account."""


def test_rates_are_of_the_task_or_of_a_key(app: PgQueue, db: Database) -> None:
    ask.enqueue(1)
    ask.using(rate="7/s").enqueue(1)
    call.enqueue(1)
    pgqueue.enqueue_many([ask.job(2), call.job(2), plain.using(rate="1/s").job()])
    pgqueue.enqueue_many([ask.using(unique_key="u").job(2)])
    pgqueue.copy_many([ask.job(3), call.job(1), plain.job()])
    app.enqueue("t", rate="2/h")
    app.enqueue("t", concurrency_key="k", rate="3/h")
    found = db.execute(
        "SELECT concurrency_key, rate, max_running, count(*) FROM pgqueue.jobs"
        " WHERE rate IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 2, 4"
    )
    key = f"rate:{ask.name}"
    assert sorted(row for row in found if row[1] != "5/s") == sorted([
        (f"rate:{plain.name}", "1/s", None, 1), (key, "100/m", None, 4), ("rate:t", "2/h", None, 1),
        ("k", "3/h", None, 1), (key, "7/s", None, 1),
    ])  # fmt: skip
    assert [row[1:] for row in found if row[1] == "5/s"] == [("5/s", 3, 1), ("5/s", 3, 2)]


@pgqueue.task(fair_by="tenant")
def export(tenant: str, page: int = 0) -> None:
    """Be served in turn."""


def test_turns_are_made_from_arguments(app: PgQueue, db: Database) -> None:
    pgqueue.enqueue_many([export.job("a", 1), export.job("a"), export.job(tenant="b")])
    pgqueue.copy_many([export.job("b"), export.using(fair_key="c").job("a")])
    export.enqueue("a")
    found = db.execute("SELECT fair_key, count(*) FROM pgqueue.jobs GROUP BY 1 ORDER BY 2")
    assert [count for _, count in found] == [1, 2, 3]
    assert export.using(concurrency_key="k").enqueue("a").info().fair_key is None
    with pytest.raises(ConfigurationError, match="fair_by and concurrency exclude each other"):
        pgqueue.task(fair_by="a", concurrency=("a",), name="wrong")(lambda a: None)
    with pytest.raises(ConfigurationError, match="concurrency_key and fair_key exclude each other"):
        plain.using(concurrency_key="k", fair_key="f").job()


def test_jobs_are_cancelled_by_what_they_are(app: PgQueue) -> None:
    name = plain.name
    plain.enqueue(1)
    plain.using(queue="mail").enqueue(n=2)
    assert app.cancel_matching(task=name, args=[1], reason="no") == (1, 0)
    assert app.cancel_matching(queue="mail", kwargs={"n": 2}, older_than="0s").cancelled == 1

    async def run() -> None:
        assert await app.acancel_matching(unique_key="u", concurrency_key="k") == (0, 0)
        await app.aclose()

    asyncio.run(run())
    with pgqueue.group("g") as group:
        plain.using(group=group).enqueue()
        with pgqueue.group("inside", parent=group) as inside:
            plain.using(group=inside).enqueue()
        with pytest.raises(ConfigurationError, match="a group's id must be a whole number"):
            app.cancel_matching(group="g")
        assert app.cancel_matching(group=group, task="other") == (0, 0)
        assert app.cancel_matching(group=group).cancelled == 2
    assert [one.name for one in app.groups()] == ["inside", "g"]

    async def look() -> None:
        assert await app.agroups() == app.groups()
        with pytest.raises(ConfigurationError, match="limit"):
            await app.agroups(limit=0)
        await app.aclose()

    asyncio.run(look())
    with pytest.raises(ConfigurationError, match="must be told what to match"):
        app.cancel_matching(reason="all")
