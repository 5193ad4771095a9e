"""Looking what came out, and waiting for it."""

import threading
import unittest
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.django_q.conftest import Work
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"


@pytest.fixture
def group(work: Work) -> str:
    """A group of two that have succeeded and one that has failed."""
    from pgqueue.compat.django_q.tasks import async_task

    async_task("math.floor", 1.5, group="g")
    async_task(f"{TASKS}.fail", "no more", group="g", ack_failure=True)
    async_task("math.floor", 2.5, group="g")
    async_task("math.floor", 3.5, group="other")
    work()
    return "g"


def test_groups(group: str) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import count_group, fetch_group, result_group

    assert sorted(result_group(group)) == [1, 2]
    both = result_group(group, failures=True)
    assert len(both) == 3
    assert any("no more" in str(found) for found in both)
    assert {task.success for task in fetch_group(group)} == {True, False}
    assert [task.success for task in fetch_group(group, failures=False)] == [True, True]
    assert (count_group(group), count_group(group, failures=True)) == (3, 1)
    task = fetch_group(group)[0]
    assert isinstance(task, Task)
    assert sorted(task.group_result()) == [1, 2]
    assert len(task.group_result(failures=True)) == 3
    assert (task.group_count(), task.group_count(failures=True)) == (3, 1)
    # More than asked for is enough.
    assert len(result_group(group, count=1, wait=-1)) == 2
    assert len(fetch_group(group, count=3)) == 3


def test_there_is_no_group(market: Database) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import count_group, delete_group, fetch_group, result_group

    assert result_group("none") is None
    assert fetch_group("none") is None
    assert result_group("none", count=2, wait=10) is None
    assert fetch_group("none", count=2, wait=10) is None
    assert count_group("none") == 0
    assert delete_group("none") == 0
    assert delete_group("none", tasks=True)[0] == 0
    task = Task(name="Amalia")
    assert str(task) == "Amalia"
    assert (task.group_result(), task.group_count(), task.group_delete()) == (None, None, None)


def test_a_group_is_deleted(group: str) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import count_group, delete_group, fetch_group

    task = fetch_group(group)[0]
    assert delete_group(group) == 3
    assert task.group_delete() == 0
    assert count_group(group) == 0
    assert Task.objects.count() == 4
    assert task.group_delete(tasks=True)[0] == 0
    number, kinds = delete_group("other", tasks=True)
    assert (number, kinds) == (1, {"django_q.Task": 1})
    assert Task.objects.count() == 3


def test_names_and_ids(work: Work) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    long = "x" * 32
    first = async_task("math.floor", 1.5, task_name=long)
    async_task("math.floor", 2.5, task_name="twice")
    async_task("math.floor", 3.5, task_name="twice")
    work()
    assert result(long) == 1
    task = fetch(first)
    assert task is not None
    assert task.name == long
    with pytest.raises(Task.MultipleObjectsReturned):
        result("twice")
    assert result("nobody") is None
    assert fetch("nobody", wait=20) is None
    assert Task.get_result(first) == 1
    assert Task.get_task("nobody") is None


def soon(run: Callable[[], Any]) -> threading.Thread:
    """Do something meanwhile in a thread, with connections of its own."""

    def act() -> None:
        from django.db import connections

        try:
            run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_waiting(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch, result, result_group

    task_id = async_task("math.floor", 1.5)
    assert result(task_id, wait=10) is None
    assert fetch(task_id, wait=10) is None
    thread = soon(work)
    assert result(task_id, wait=-1) == 1
    thread.join()
    async_task("math.floor", 2.5, group="g")
    assert result_group("g", wait=10) is None
    async_task("math.floor", 3.5, group="g")
    thread = soon(work)
    assert sorted(result_group("g", count=2)) == [2, 3]
    thread.join()
    # One that nobody has enqueued yet.
    thread = soon(lambda: (async_task("math.floor", 4.5, task_name="late"), work()))
    assert result("late", wait=60_000) == 4
    thread.join()


def test_none_is_a_result(work: Work, market: Database) -> None:
    """So is an empty list."""
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    nothing = async_task(f"{TASKS}.nothing")
    unsaved = async_task("math.floor", 1, save=False)
    cancelled = async_task("math.floor", 1)
    empty = async_task(f"{TASKS}.empty")
    market.execute(
        "SELECT pgqueue.cancel(id) FROM pgqueue.jobs WHERE meta -> 'django_q' ->> 'id' = %s",
        [cancelled],
    )
    thread = soon(work)
    assert result(nothing, wait=-1) is None
    thread.join()
    assert fetch(nothing) is not None
    assert result(unsaved, wait=-1) is None
    assert result(cancelled, wait=-1) is None
    assert result(empty, wait=-1) == []


def test_it_cannot_be_waited_for_where_it_was_enqueued(work: Work) -> None:
    from django.db import transaction

    from pgqueue.compat.django_q.tasks import async_iter, async_task, fetch, result, result_group
    from pgqueue.compat.django_q.waiting import WaitInTransactionError

    before = async_task("math.floor", 7.5)
    with transaction.atomic():
        with transaction.atomic():
            task_id = async_task("math.floor", 1.5, group="g", task_name="mine")
        many = async_iter("math.floor", [1, 2])
        for call in (
            lambda: result(task_id, wait=-1),
            lambda: fetch("mine", wait=5000),
            lambda: result(task_id, wait=-1, cached=True),
            lambda: result_group("g", count=1),
            lambda: result_group("g", wait=-1),
            lambda: result(many, wait=-1),
        ):
            with pytest.raises(WaitInTransactionError, match="transaction that is under way"):
                call()
        assert result(task_id) is None
        # Of another transaction it can.
        thread = soon(work)
        assert result(before, wait=-1) == 7
        thread.join()
    work()
    with transaction.atomic():
        assert result(task_id, wait=-1) == 1


def test_a_test_case_may_ask(market: Database) -> None:
    from django.test import TestCase

    from pgqueue.compat.django_q.tasks import async_task, result, result_group
    from pgqueue.compat.django_q.waiting import WaitInTransactionError
    from pgqueue.django.testing import JobsMixin

    class Case(JobsMixin, TestCase):
        def runTest(self) -> None:
            task_id = async_task("math.floor", 1.5, group="g")
            assert result(task_id, wait=100) is None
            assert result_group("g", wait=100) is None
            with pytest.raises(WaitInTransactionError):
                result(task_id, wait=-1)
            self.drain_jobs()
            assert result(task_id) == 1
            assert list(result_group("g", count=1)) == [1]

    found = unittest.TestResult()
    unittest.TestSuite([Case()]).run(found)
    assert found.testsRun == 1
    assert (found.errors, found.failures) == ([], [])


def test_a_result_by_hand(market: Database) -> None:
    from django.core import serializers
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Failure, Success, Task

    now = timezone.now()
    Task.objects.create(
        id="a" * 32, name="mine", func="f", args=(1,), started=now, stopped=now, result={1: "x"}
    )
    task = Task.objects.get(name="mine", func__startswith="f", stopped__lte=timezone.now())
    assert (task.result, task.args, task.kwargs, task.success) == ({1: "x"}, (1,), None, True)
    task.success = False
    task.save()
    assert (Success.objects.count(), Failure.objects.get().pk) == (0, task.pk)
    assert Failure.objects.filter(pk=task.pk).update(success=True) == 1
    assert Success.objects.values_list("result", flat=True)[0] == {1: "x"}
    written = serializers.serialize("json", Task.objects.all())
    task.delete()
    assert not Task.objects.exists()
    [read] = serializers.deserialize("json", written)
    read.save()
    again = Task.objects.get()
    assert (again.result, again.args, again.kwargs) == ({1: "x"}, (1,), None)
