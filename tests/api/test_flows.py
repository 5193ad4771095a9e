"""Groups, chains and flows from Python: what is refused where it is written, and what is sent."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from pgqueue import (
    BadArgumentsError,
    ConfigurationError,
    Flow,
    JobFailedError,
    JobNotFoundError,
    JobState,
    PgQueue,
    RefusedJobError,
    chain,
    default_app,
    group,
    set_default_app,
    task,
)
from tests.fixtures.databases import Database


@task(name="flows.one")
def one(value: int, more: int = 0) -> int:
    return value + more


@task(name="flows.none")
def none() -> None: ...


@task(name="flows.alike", unique=True)
def alike(value: int) -> None: ...


@task(name="flows.soon", expires="7d")
def soon(value: int = 0) -> None: ...


@task(name="flows.told", queue="calls")
def told(what: dict[str, Any], word: str = "") -> None: ...


@pytest.fixture(autouse=True)
def app(db: Database) -> Iterator[PgQueue]:
    before = default_app()
    with PgQueue(db.dsn) as made:
        set_default_app(made)
        yield made
    set_default_app(before)


def rows(db: Database, columns: str) -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {columns} FROM pgqueue.jobs ORDER BY id")


def test_a_chain_gives_results_where_they_fit(db: Database) -> None:
    made = chain(one.job(1), one.job(), none.job(), one.job(7), name="four").enqueue()
    assert rows(db, "task, args, results_as") == [
        ("flows.one", [1], None), ("flows.one", [], "args"), ("flows.none", [], None),
        ("flows.one", [7], "args"),
    ]  # fmt: skip
    assert len(made.job_ids) == 4
    assert (made.progress().state, made.progress().name) == ("closed", "four")


def test_what_does_not_fit_is_refused_where_it_is_written() -> None:
    flow = Flow()
    first, second, third = (flow.add(one.job(n)) for n in range(3))
    with pytest.raises(BadArgumentsError, match="missing a required argument: 'value'"):
        flow.add(one.job())
    with pytest.raises(BadArgumentsError, match="results of the 3 jobs before; say results='list'"):
        flow.add(one.job(), after=[first, second, third])
    with pytest.raises(BadArgumentsError, match="at most 0 positional"):
        flow.add(none.job(), after=first, results="args")
    with pytest.raises(BadArgumentsError, match=r"made of what task.job\(…\) makes"):
        flow.add(one)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="after must name jobs of this flow"):
        flow.add(none.job(), after=[7])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="run_if must be one of"):
        flow.add(none.job(), after=first, run_if="fail")
    for alone in (none.using(unique_key="a").job(), alike.job(1), alike.job()):  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match="must have no unique key"):
            flow.add(alone, after=first)
    with pytest.raises(ConfigurationError, match="no after= of its own; got a job of flows"):
        flow.add(none.using(after=[1]).job())
    with pytest.raises(ConfigurationError, match="after must name jobs of this flow"):
        flow.add(none.job(), after=Flow().add(none.job()))
    for wrong in ({"group": "x"}, {"before": ["x"]}, {"inside": "x"}):
        with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} must be"):
            flow.enqueue(**wrong)  # type: ignore[arg-type]
    for make in (Flow, group):
        with pytest.raises(ConfigurationError, match="'on_fnish' of a group; did you mean"):
            make(on_fnish=none)  # type: ignore[operator]
    named = Flow("x")
    named.add(none.job())
    with pytest.raises(ConfigurationError, match="must have no name, callbacks or meta"):
        named.enqueue(inside=1)
    flow.add(none.job(), name="a", after="b")
    with pytest.raises(ConfigurationError, match="names in a flow must differ; got 'a' twice"):
        flow.add(none.job(), name="a")
    with pytest.raises(ConfigurationError, match="no job of the flow is named 'b'"):
        flow.enqueue()
    with pytest.raises(ConfigurationError, match="at least one job"):
        Flow().enqueue()
    # What a flow may leave out, nobody else may.
    for call in (default_app().enqueue_many, default_app().copy_many):
        with pytest.raises(BadArgumentsError, match="missing a required argument: 'value'"):
            call([one.job()])  # type: ignore[call-arg]


def test_one_for_each_of_nothing_is_a_group_that_has_ended(db: Database) -> None:
    made = one.map([], name="none", on_finish=told, on_failure="some.task")
    assert (made.job_ids, made.results(timeout=0)) == ((), [])
    assert (made.progress().state, made.progress().name) == ("succeeded", "none")
    assert rows(db, "task") == [("flows.told",)]

    async def main() -> list[object]:
        return await (await one.amap([])).aresults(timeout=0)

    assert asyncio.run(main()) == []


def test_a_result_that_is_gone_is_not_passed_over(db: Database) -> None:
    made = one.map([1, 2])
    default_app().job(made.job_ids[0]).cancel("no")
    default_app().job(made.job_ids[1]).delete()
    db.execute("SELECT pgqueue.advance()")
    first, second = made.results(timeout=0, return_errors=True)
    assert isinstance(first, JobFailedError)
    assert isinstance(second, JobNotFoundError)
    assert str(second).startswith(f"the result of job {made.job_ids[1]} is gone")


def test_the_last_job_of_a_group(db: Database) -> None:
    with group("g") as made:
        members = [one.using(group=made).enqueue(n) for n in range(2)]
        with pytest.raises(BadArgumentsError, match="missing a required argument: 'value'"):
            made.add_last(one.job())  # type: ignore[call-arg]
        with pytest.raises(BadArgumentsError, match="jobs must be what"):
            made.add_last(one)  # type: ignore[arg-type]
        last = made.add_last(one.using(priority=5).job(7))
        assert asyncio.run(made.aadd_last(none.job())) != last
        # The one before is a member as the others.
        assert [job.state() for job in (*members, last)] == ["ready"] * 3
    assert rows(db, "group_id") == [(made.id,)] * 4
    assert made.cancel() == 4
    with pytest.raises(RefusedJobError, match="must name a group that has not ended"):
        made.add_last(none.job())


def test_times_of_members_count_from_now(db: Database) -> None:
    chain(soon.using(run_at="1h", timeout=5).job(), none.job()).enqueue()
    soon.map([1])
    hours = "round(extract(epoch FROM {} - created_at) / 3600)::integer"
    columns = f"{hours.format('run_at')}, {hours.format('expires_at')}, timeout"
    assert rows(db, columns) == [
        (1, 169, dt.timedelta(seconds=5)), (None, None, None), (None, 168, None),
    ]  # fmt: skip


def test_a_circle_is_named(db: Database) -> None:
    flow = Flow()
    flow.add(none.job(), name="egg", after="hen")
    flow.add(none.job(), name="hen", after="egg")
    with pytest.raises(RefusedJobError, match="'egg' after 'hen' after 'egg'"):
        flow.enqueue()
    assert rows(db, "id") == []


def test_callbacks_take_every_form(db: Database) -> None:
    one.using(on_success=told, on_failure="some.task", on_finish=told.job(word="x")).enqueue(1)
    assert rows(db, "callbacks") == [({
        "on_success": {"task": "flows.told", "queue": "calls"},
        "on_failure": "some.task",
        "on_finish": {"task": "flows.told", "queue": "calls", "kwargs": {"word": "x"}},
    },)]  # fmt: skip
    with pytest.raises(BadArgumentsError, match="told what ended as first argument"):
        one.using(on_success=none)
    with pytest.raises(ConfigurationError, match="on_finish must be a task"):
        one.using(on_finish=7)
    with pytest.raises(
        ConfigurationError, match="a callback must have no options but queue, priority"
    ):
        one.using(on_finish=told.using(run_at="5m"))
    specs = [one.using(on_success="a.task").job(n) for n in range(2)]
    default_app().enqueue_many(specs)
    default_app().copy_many(specs)
    assert [row[0] for row in rows(db, "callbacks")[1:]] == [{"on_success": "a.task"}] * 4


@task(name="flows.limited", concurrency=("account",), max_running=2)
def limited(value: int, account: int = 0, *, word: str = "") -> int:
    return value


@task(name="flows.rated", rate="100/m")
def rated(value: object, word: str = "") -> None: ...


@task(name="flows.fair", fair_by="tenant")
def fair(value: object, tenant: str = "") -> None: ...


def test_members_of_flows_and_callbacks_keep_their_limits(db: Database) -> None:
    flow = Flow()
    first = flow.add(limited.job(1, account=7))
    flow.add(limited.job(account=7), after=first)
    flow.add(rated.job(), after=first)
    flow.add(fair.job(tenant="ann"), after=first)
    flow.add(one.using(concurrency_key="own", max_running=3).job(1), after=first)
    flow.enqueue()
    alone = limited.enqueue(2, 7)
    mine = alone.info().concurrency_key
    turn = fair.using().enqueue(0, "ann").info().fair_key
    found = rows(db, "concurrency_key, max_running, rate, fair_key")
    line = [("rate:flows.rated", None, "100/m", None), (None, None, None, turn)]
    # The first, without its default for word, is called like the one that stands alone.
    assert found[0][0] is not None
    assert found[1:5] == [(found[1][0], 2, None, None), *line, ("own", 3, None, None)]
    assert mine == found[0][0] == found[1][0]
    other = Flow()
    other.add(none.job(), name="a")
    other.add(none.job(), name="b")
    other.add(limited.job(), after=["a", "b"])
    with pytest.raises(ConfigurationError, match=r"made from 'account'.*when it starts"):
        other.enqueue()
    one.using(on_success=rated, on_failure=fair.job(tenant="ann")).enqueue(1)
    one.using(on_finish=limited.job(account=7), on_success=told.using(rate="1/s")).enqueue(1)
    (both,), (last,) = rows(db, "callbacks")[-2:]
    assert both["on_success"] == {
        "task": "flows.rated", "concurrency_key": "rate:flows.rated", "rate": "100/m",
    }  # fmt: skip
    assert both["on_failure"]["fair_key"] == turn
    assert last["on_finish"]["concurrency_key"] == mine
    assert last["on_finish"]["max_running"] == "2"
    assert last["on_success"]["rate"] == "1/s"


def test_a_group_in_a_transaction_of_the_callers(db: Database) -> None:
    with db.connect(autocommit=False) as mine:
        with group("g", connection=mine, meta={"a": 1}) as made:
            one.using(group=made, connection=mine).enqueue(1)
        with pytest.raises(JobNotFoundError, match="has not committed"):
            made.progress()
        mine.commit()
        assert made.progress().total == 1
        with pytest.raises(ZeroDivisionError), group(connection=mine) as failed:
            _ = 1 // 0
        mine.rollback()
    with pytest.raises(JobNotFoundError):
        failed.wait(timeout=0)


def test_a_block_that_raises_cancels_what_it_enqueued() -> None:
    made = group()

    def fill() -> None:
        with made:
            one.using(group=made).enqueue(1)
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        fill()
    [job] = default_app().jobs()
    assert job.state is JobState.CANCELLED
    assert made.progress().state == "cancelled"
    assert made.retry() == 1
    assert made.cancel() == 1
    assert made.delete() == 1


def test_coroutines_have_the_same(db: Database) -> None:
    async def main() -> None:
        app = default_app()
        async with await app.agroup("g") as made:
            await one.using(group=made.id).aenqueue(1)
        assert (await made.aprogress()).total == 1
        assert await made.acancel("no") == 1
        assert (await made.await_(timeout=5)).state == "cancelled"
        assert [type(e).__name__ for e in await made.aresults(return_errors=True)] == [
            "JobFailedError"
        ]
        flow = Flow()
        flow.add(one.job(1))
        assert len((await flow.aenqueue()).job_ids) == 1
        mapped = await one.amap([1, (2, 3)])
        assert await mapped.aretry() == 0
        await mapped.acancel()
        assert await mapped.adelete() == 2
        await app.aclose()

    asyncio.run(main())


def test_ten_thousand_jobs_that_run_after_each_other(db: Database) -> None:
    flow = Flow()
    last = flow.add(none.job(), name="0")
    for number in range(1, 10_000):
        last = flow.add(none.job(), after=last, name=str(number))
    made = flow.enqueue()
    assert made.progress().total == len(made.job_ids) == 10_000
    db.execute("TRUNCATE pgqueue.jobs")
