"""The facades called in coroutines: what enqueues says what to call there, and that works."""

import re
from typing import Any

import pytest

from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"
ECHO = f"{TASKS}.echo"


def in_coroutine(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function where an event loop runs, as in an async view."""
    from asgiref.sync import async_to_sync

    async def view() -> Any:
        return function(*args, **kwargs)

    return async_to_sync(view)()


def refusal(function: Any, *args: Any, **kwargs: Any) -> str:
    from django.core.exceptions import SynchronousOnlyOperation

    with pytest.raises(SynchronousOnlyOperation) as raised:
        in_coroutine(function, *args, **kwargs)
    return str(raised.value)


def test_what_enqueues_says_what_to_call(market: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgqueue.compat.django_async import schedule as async_schedule
    from pgqueue.compat.django_future import schedule_job
    from pgqueue.compat.django_q import tasks

    for function, args in (
        (tasks.async_task, (ECHO,)),
        (tasks.async_iter, (ECHO, [1])),
        (tasks.async_chain, ([ECHO],)),
        (tasks.schedule, (ECHO,)),
        (tasks.AsyncTask(ECHO).run, ()),
        (tasks.Iter(ECHO, [1]).run, ()),
        (tasks.Chain([ECHO]).run, ()),
    ):
        said = refusal(function, *args)
        for name in re.findall(r"\ba\w+(?=\(\))", said):
            assert callable(getattr(tasks, name, None)) or name == "async_to_sync"
        assert "await aasync_task()" in said
    assert "await sync_to_async(schedule_job)" in refusal(schedule_job, "0h", ECHO)
    assert "await sync_to_async(schedule)" in refusal(async_schedule, ECHO)
    # Before the function has had its effects.
    said = refusal(tasks.async_task, f"{TASKS}.order", "1", sync=True)
    assert "await aasync_task()" in said
    assert market.execute("SELECT count(*) FROM market_order") == [(0,)]
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    in_coroutine(tasks.async_task, ECHO)
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(1,)]


def test_what_needs_no_database_is_not_refused(market: Database) -> None:
    from pgqueue.compat.django_q.brokers import Broker
    from pgqueue.compat.django_q.tasks import async_task, result

    packages: list[str] = []

    class Own(Broker):
        def enqueue(self, task: str) -> int:
            packages.append(task)
            return 1

    in_coroutine(async_task, ECHO, broker=Own("own"))
    assert len(packages) == 1
    made = in_coroutine(async_task, ECHO, 1, sync=True, cached=True)
    assert result(made, cached=True) == [[1], {}]


def test_enqueueing_from_a_coroutine(market: Database) -> None:
    """In the transaction of the thread that it came from."""
    from asgiref.sync import async_to_sync
    from django.db import transaction

    from pgqueue.compat import here
    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import (
        aasync_chain,
        aasync_iter,
        aasync_task,
        aschedule,
        result,
        result_group,
    )

    async def view() -> list[str]:
        made = await aschedule(ECHO, 4, name="later", schedule_type=Schedule.HOURLY)
        return [
            await aasync_task(ECHO, 1, word="a"),
            await aasync_iter(ECHO, [2, 3]),
            await aasync_chain([(ECHO, (5,))], group="chain"),
            str(made.pk),
        ]

    with transaction.atomic():
        async_to_sync(view)()
        transaction.set_rollback(True)
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    one, many, chain, made = async_to_sync(view)()
    while here.run(["default"]):
        continue
    assert result(one) == [[1], {"word": "a"}]
    assert result(many) == [[[2], {}], [[3], {}]]
    assert list(result_group(chain)) == [[[5], {}]]
    assert Schedule.objects.get(pk=made).runs == 1
