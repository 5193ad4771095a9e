"""Results in Django's cache."""

from typing import Any

import pytest

from tests.compat.django_q.conftest import Work
from tests.compat.django_q.test_results import soon
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"


def test_one(work: Work) -> None:
    from django.core.cache import cache

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import (
        async_task,
        delete_cached,
        fetch,
        fetch_cached,
        result,
        result_cached,
    )

    task_id = async_task("math.copysign", 1, -1, cached=True)
    short = async_task(f"{TASKS}.nothing", cached=60)
    assert result(task_id, wait=10, cached=True) is None
    assert fetch(task_id, wait=10, cached=True) is None
    thread = soon(work)
    assert result(task_id, wait=-1, cached=True) == -1.0
    assert result(short, wait=-1, cached=True) is None
    thread.join()
    assert cache.get(f"default:{task_id}")
    assert fetch(task_id) is None
    assert not Task.objects.exists()
    task = fetch(task_id, cached=True)
    assert task is not None
    assert (task.id, task.func, task.args, task.result) == (
        task_id, "math.copysign", (1, -1), -1.0
    )  # fmt: skip
    assert (task.success, task.cluster) == (True, "default")
    assert result_cached(task_id) == -1.0
    assert fetch_cached(short) is not None
    task.save()
    assert fetch(task_id) == task
    assert delete_cached(task_id) is True
    assert delete_cached(task_id) is False
    assert result(task_id, cached=True) is None


def test_a_group(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import (
        async_task,
        count_group,
        count_group_cached,
        delete_group,
        delete_group_cached,
        fetch_group,
        fetch_group_cached,
        result_group,
        result_group_cached,
    )

    assert result_group("c", wait=10, cached=True) is None
    assert fetch_group("c", count=2, wait=10, cached=True) is None
    assert count_group("c", cached=True) is None
    for number in range(3):
        async_task("math.floor", number, cached=True, group="c")
    async_task("math.popysign", 1, cached=True, group="c", ack_failure=True)
    work()
    assert count_group("c", cached=True) == count_group_cached("c") == 4
    assert count_group("c", failures=True, cached=True) == 1
    assert result_group("c", cached=True) == result_group_cached("c") == [0, 1, 2]
    assert len(result_group("c", failures=True, cached=True)) == 4
    assert len(result_group("c", cached=True, count=2)) == 3
    assert len(fetch_group("c", cached=True)) == len(fetch_group_cached("c")) == 4
    assert [task.result for task in fetch_group("c", failures=False, cached=True)] == [0, 1, 2]
    assert count_group("c") == 0
    assert delete_group("c", cached=True) is None
    assert delete_group_cached("c") is None
    assert count_group("c", cached=True) is None


def test_the_setting(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    with override_settings(Q_CLUSTER={"cached": 60, "name": "c"}):
        task_id = async_task("math.floor", 1.5)
        work("c")
        assert result(task_id) == 1
        found = fetch(task_id)
        assert found is not None
        assert found.success
        assert result(task_id, cached=False) is None
    assert not Task.objects.exists()


called: list[Any] = []


def hook(task: Any) -> None:
    called.append(task.id)


@pytest.mark.parametrize("pickle", [True, False])
def test_the_hook_is_called_when_it_is_saved(work: Work, pickle: bool) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task, fetch

    with override_settings(PGQUEUE={"ALLOW": ["math.*", f"{__name__}.*"], "PICKLE": pickle}):
        called.clear()
        task_id = async_task("math.floor", 1.5, cached=True, hook=f"{__name__}.hook")
        work()
        assert called == []
        task = fetch(task_id, cached=True)
        assert task is not None
        task.save()
        assert called == [task_id]


def test_members_of_a_group_at_once(work: Work, market: Database) -> None:
    """Two that end at the same time both stand in the group."""
    import threading

    from django.db import connections
    from django.utils import timezone

    from pgqueue.compat.django_q import saving
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import count_group

    now = timezone.now()
    base = {"name": "n", "func": "f", "args": (), "kwargs": {}, "started": now, "stopped": now}
    start = threading.Barrier(4)

    def save(number: int) -> None:
        start.wait()
        for each in range(5):
            task = {**base, "id": f"{number}-{each}", "group": "g", "cached": True}
            saving.save_cached({**task, "success": True, "result": 1}, get_broker())
        connections.close_all()

    threads = [threading.Thread(target=save, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_group("g", cached=True) == 20
