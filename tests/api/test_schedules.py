"""Schedules from Python: made, declared, looked at, changed."""

import asyncio
import datetime as dt
import json
from typing import Any

import psycopg
import pytest

from pgqueue import (
    BadArgumentsError,
    ConfigurationError,
    JobState,
    PgQueue,
    ScheduleNotFoundError,
    every,
)
from pgqueue.api.registry import Registry
from pgqueue.api.schedules import declarations
from pgqueue.api.task import Task
from pgqueue.core.options import TaskOptions
from tests.fixtures.databases import Database


def report(month: int = 1, *, when: dt.datetime | None = None) -> None:
    """The function of the tasks below."""


def task_of(app: PgQueue, **options: Any) -> Task[Any, Any]:
    """A task that is in no registry."""
    return Task(report, TaskOptions.from_kwargs(**options), "report", lambda: app.clients)


@pytest.fixture
def task(app: PgQueue) -> Task[Any, Any]:
    return task_of(app, queue="slow")


def test_a_schedule_of_a_task(app: PgQueue, task: Task[Any, Any]) -> None:
    handle = app.schedule(task, 5, cron="0 9 * * 1-5", timezone="Europe/Berlin", name="weekdays")
    found = handle.info()
    assert (found.name, found.status, found.task, found.args) == (
        "weekdays", "active", "report", (5,),
    )  # fmt: skip
    assert (found.kind, found.rule, found.queue, found.source) == (
        "cron", "0 9 * * 1-5", "slow", "api",
    )  # fmt: skip
    assert app.schedules.list() == [found]
    slots = handle.preview(3)
    assert len(slots) == 3
    assert slots == sorted(slots)
    assert all(slot.hour in (7, 8) for slot in slots)
    assert handle.history() == []


def test_its_name_is_that_of_the_task_and_its_arguments(app: PgQueue, task: Task[Any, Any]) -> None:
    names = [
        app.schedule(task, every="1h").name,
        app.schedule(task, 5, every="1h").name,
        app.schedule(task, month=5, every="1h").name,
        app.schedule(task, 5, every="2h").name,
    ]
    assert names[0] == "report"
    assert names[1] == names[3]
    assert names[1].startswith("report:")
    assert len(app.schedules.list()) == 3


def test_of_a_bound_task_a_job_and_a_name(app: PgQueue, task: Task[Any, Any]) -> None:
    bound = app.schedule(task.using(priority=3, timeout="1m"), every="1h", name="a").info()
    assert (bound.priority, bound.queue) == (3, "slow")
    assert app.schedule(task.job(7), every="1h", name="b").info().args == (7,)
    assert app.schedule("elsewhere", 1, every="1h", name="c", x=2).info().kwargs == {"x": 2}
    # A parameter that is called as an option of schedules is.
    found = app.schedule("elsewhere", every="1h", kwargs={"name": "x", "at": 1}, name="d").info()
    assert found.kwargs == {"name": "x", "at": 1}


def test_in_the_callers_transaction(app: PgQueue, task: Task[Any, Any], db: Database) -> None:
    with psycopg.connect(db.dsn) as connection:
        app.schedule(task, every="1h", connection=connection)
        assert app.schedules.list() == []
        connection.rollback()
    assert app.schedules.list() == []
    with psycopg.connect(db.dsn) as connection:
        app.schedule(task, every="1h", connection=connection)
    assert len(app.schedules.list()) == 1


def test_the_planned_instant_is_checked_and_not_stored(app: PgQueue, task: Task[Any, Any]) -> None:
    found = app.schedule(task, 5, every="1h", planned_kwarg="when").info()
    assert (found.args, found.kwargs, found.planned_kwarg) == ((5,), {}, "when")
    with pytest.raises(BadArgumentsError):
        app.schedule(task, every="1h", planned_kwarg="what")


def test_what_is_refused(app: PgQueue, task: Task[Any, Any]) -> None:
    with pytest.raises(BadArgumentsError):
        app.schedule(task, 1, 2, every="1h")
    with pytest.raises(BadArgumentsError, match="'timezon'; did you mean 'timezone'"):
        app.schedule(task, every="1h", timezon="Europe/Berlin")
    with pytest.raises(ConfigurationError, match="only one"):
        app.schedule(task)
    with pytest.raises(ConfigurationError, match="slots to come"):
        app.schedule(task, rrule="FREQ=DAILY;UNTIL=20200101T000000Z")
    with pytest.raises(ConfigurationError, match="leave run_at"):
        app.schedule(task.using(run_at="5m"), every="1h")
    with pytest.raises(ConfigurationError, match="and after out"):
        app.schedule(task.using(after=[task.enqueue()]), every="1h")
    with pytest.raises(ConfigurationError, match="arguments already"):
        app.schedule(task.job(1), 2, every="1h")
    with pytest.raises(ConfigurationError, match="needs a task"):
        app.schedule(report, every="1h")  # type: ignore[arg-type]
    assert app.schedules.list() == []


def test_pause_resume_run_delete(app: PgQueue, task: Task[Any, Any]) -> None:
    handle = app.schedule(task, every="1h")
    assert handle.pause()
    assert not handle.pause()
    assert handle.info().status == "paused"
    assert len(handle.preview(2)) == 2
    job = handle.run_now()
    assert job.state() is JobState.READY
    [run] = handle.history()
    assert (run.job_id, run.manual, run.state) == (job.id, True, JobState.READY)
    found = handle.info()
    assert (found.last_job_id, found.last_state, found.runs) == (job.id, JobState.READY, 0)
    assert handle.resume()
    assert not handle.resume()
    assert handle.delete()
    assert not handle.delete()
    assert job.state() is JobState.READY


def test_of_none(app: PgQueue) -> None:
    handle = app.schedules.get("none")
    for call in (handle.info, handle.pause, handle.resume, handle.run_now, handle.preview):
        with pytest.raises(ScheduleNotFoundError, match="there is no schedule 'none'"):
            call()
    with pytest.raises(ConfigurationError, match="count must be between 1 and 1000"):
        handle.preview(0)


def test_from_a_coroutine(app: PgQueue, task: Task[Any, Any]) -> None:
    async def main() -> None:
        handle = await app.aschedule(task, at=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        assert (await handle.ainfo()).kind == "once"
        assert await handle.apause()
        assert await handle.aresume()
        assert await (await handle.arun_now()).astate() is JobState.READY
        assert await handle.apreview() == [dt.datetime(2100, 1, 1, tzinfo=dt.UTC)]
        assert len(await handle.ahistory()) == 1
        assert len(await app.schedules.alist()) == 1
        assert await handle.adelete()
        await app.aclose()

    asyncio.run(main())


def test_what_tasks_declare(app: PgQueue) -> None:
    registry = Registry()
    registry.add(task_of(app, schedule=[every("1h"), every("2h", name="b", kwargs={"month": 2})]))
    told = json.loads(declarations(registry, ["shop:app"]))
    assert told["modules"] == ["shop", __name__]
    assert [(one["name"], one["every"], one["kwargs"]) for one in told["schedules"]] == [
        ("b", "2h", {"month": 2}),
        ("report", "1h", {}),
    ]
    assert app.schedules.declare(registry) == (2, 0)
    assert app.schedules.declare(registry, ["shop"]) == (0, 0)
    assert {found.source for found in app.schedules.list()} == {"code"}
    # Other code has no say.
    assert app.schedules.declare(Registry(), ["shop"]) == (0, 0)
    assert app.schedules.declare(Registry(), [__name__]) == (0, 2)
    assert {found.status for found in app.schedules.list()} == {"undeclared"}


def test_jobs_have_what_the_task_says(app: PgQueue, db: Database) -> None:
    """Keys, limits and callbacks, whether the schedule is made by a program or declared."""
    words: dict[str, Any] = {
        "concurrency": ("month",), "max_running": 2, "rate": "100/m",
        "unique": ("month",), "unique_for": "10m", "on_duplicate": "error", "on_success": "after",
    }  # fmt: skip
    task = task_of(app, **words, schedule=every("1h", name="code", args=(5,)))
    app.schedule(task, 5, every="1h", name="api")
    registry = Registry()
    registry.add(task)
    assert app.schedules.declare(registry) == (1, 0)
    assert app.schedules.declare(registry) == (0, 0)
    read = (
        "SELECT unique_key, unique_for, callbacks, concurrency_key, max_running, rate"
        " FROM pgqueue.jobs WHERE id = %s"
    )
    given = []
    for name in ("api", "code"):
        job = app.schedules.get(name).run_now()
        given += db.execute(read, (job.id,))
        job.cancel()
        db.execute("DELETE FROM pgqueue.unique_keys")
    given += db.execute(read, (task.enqueue(5).id,))
    assert given[0] == given[1] == given[2]
    assert given[0][4:] == (2, "100/m")
    assert app.schedules.get("api").info().options == app.schedules.get("code").info().options


def test_a_duplicate_is_told(app: PgQueue) -> None:
    task = task_of(app, unique=True)
    holder = task.enqueue(5)
    handle = app.schedule(task, 5, every="1h")
    assert handle.run_now().id == holder.id
    [run] = handle.history()
    assert (run.job_id, run.duplicate_of, run.manual) == (None, holder.id, True)
    # Keys that are made of the planned instant differ from slot to slot.
    each = app.schedule(task, 6, every="1h", planned_kwarg="when")
    assert each.run_now().id != each.run_now().id


def test_fair_jobs_and_callbacks(app: PgQueue, db: Database) -> None:
    task = task_of(app, fair_by="month")
    app.schedule(task.using(on_failure="sorry"), 5, every="1h").run_now()
    task.enqueue(5)
    found = db.execute("SELECT fair_key, callbacks FROM pgqueue.jobs ORDER BY id")
    assert found[0][0] == found[1][0]
    assert found[0][1] == {"on_failure": "sorry"}


def test_declarations_that_cannot_be(app: PgQueue) -> None:
    registry = Registry()
    registry.add(task_of(app, schedule=every("1h", args=(1, 2))))
    with pytest.raises(BadArgumentsError):
        declarations(registry, [])
    registry = Registry()
    registry.add(task_of(app, schedule=[every("1h"), every("2h", name="report")]))
    with pytest.raises(ConfigurationError, match="'report' is declared twice"):
        declarations(registry, [])
