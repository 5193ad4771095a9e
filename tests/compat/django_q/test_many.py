"""Iterations and chains, as functions and as objects; and tasks as objects."""

from typing import Any

import pytest

from tests.compat.django_q.conftest import Work
from tests.compat.django_q.test_results import soon
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"


def test_an_iteration(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_iter, fetch, queue_size, result

    floor = async_iter("math.floor", [1.5, 2.5, 3.5], hook="fail.me")
    sign = async_iter("math.copysign", ((1, -1), (2, -1)), q_options={"task_name": "signs"})
    assert queue_size() == 5
    assert result(floor, wait=10) is None
    thread = soon(work)
    assert result(floor, wait=-1) == [1, 2, 3]
    assert result("signs", wait=60_000) == [-1.0, -2.0]
    thread.join()
    task = fetch(floor)
    assert task is not None
    assert (task.id, task.func, task.args, task.group) == (
        floor, "math.floor", [1.5, 2.5, 3.5], None
    )  # fmt: skip
    assert (task.success, task.hook, task.attempt_count) == (True, None, 1)
    signs = fetch(sign)
    assert signs is not None
    assert (signs.args, signs.name) == ([(1, -1), (2, -1)], "signs")
    # Members are not kept.
    assert Task.objects.count() == 2


def test_an_iteration_with_a_failure(work: Work, market: Database) -> None:
    from django.core.cache import cache

    from pgqueue.compat.django_q.tasks import async_iter, fetch

    task_id = async_iter("math.sqrt", [4, -1])
    work()
    task = fetch(task_id)
    assert task is not None
    assert task.success is False
    assert task.result[0] == 2.0
    assert "math domain error" in task.result[1] or "nonnegative" in task.result[1]
    assert "Traceback" in task.result[1]
    assert list(getattr(cache, "_cache", {})) == []


def test_an_iteration_in_the_cache_and_an_empty_one(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_iter, async_task, result
    from tests.compat.project.market.tasks import Basket

    task_id = async_iter("math.floor", [1.5], cached=True)
    empty = async_iter("math.floor", [])
    objects = async_iter(f"{TASKS}.fill", [Basket("a"), 2])
    words = async_iter(f"{TASKS}.echo", [1], word="w")
    async_task("math.floor", 1)
    work()
    assert result(task_id) is None
    assert result(task_id, cached=True) == [1]
    assert result(empty, wait=-1) == []
    assert result(objects) == [Basket(Basket("a")), Basket(2)]
    assert result(words) == [[[1], {"word": "w"}]]


def test_an_iteration_here_and_now(market: Database) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import Iter, async_iter, fetch, result
    from tests.compat.project.market.tasks import MarketError

    assert result(async_iter("math.floor", (1, 2, 3), sync=True)) == [1, 2, 3]
    assert result(async_iter("math.floor", (1,), sync=True)) == [1]
    with pytest.raises(MarketError):
        async_iter(f"{TASKS}.fail", ["a"], sync=True)
    calls = Iter("math.copysign", sync=True, cached=True)
    assert calls.append(1, -1) == 1
    calls.append(2, -1)
    assert (calls.started, calls.length()) == (False, 2)
    assert (calls.result(), calls.fetch()) == (None, None)
    task_id = calls.run()
    assert calls.result() == [-1.0, -2.0]
    found = calls.fetch()
    assert found is not None
    assert (found.id, found.result) == (task_id, [-1.0, -2.0])
    calls.append(3, -1)
    assert calls.result() is None
    calls.run()
    assert len(calls.result()) == 3
    assert Task.objects.count() == 2
    assert fetch(task_id) is None
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


def test_iter_on_the_queue(work: Work) -> None:
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import Iter

    calls = Iter("math.floor", [1.5], {"q_options": {"save": True}}, broker=get_broker("other"))
    calls.append(2.5)
    calls.run()
    work("other")
    assert calls.result(wait=1000) == [1, 2]
    found = calls.fetch()
    assert found is not None
    assert (found.cluster, found.args) == ("other", [1.5, (2.5,)])


def test_a_chain(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_chain, queue_size, result_group

    links: Any = [
        ("math.copysign", (1, -1)), "math.floor", (f"{TASKS}.echo", (), {"x": 1}),
        ("math.floor", (2.5,)),
    ]  # fmt: skip
    group = async_chain(links)
    assert len(links) == 4
    assert len(group) == 32
    assert queue_size() == 1
    thread = soon(work)
    # The second has no argument and fails: the chain goes on.
    results = result_group(group, count=3, failures=True, wait=60_000)
    assert len(results) >= 3
    thread.join()
    work()
    found = Task.objects.filter(group=group).order_by("started")
    assert [(task.func, task.success) for task in found] == [
        ("math.copysign", True), ("math.floor", False), (f"{TASKS}.echo", True),
        ("math.floor", True),
    ]  # fmt: skip
    # What failed is tried again, without the rest of the chain.
    market.execute("SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs")
    assert len(work()) == 1
    assert Task.objects.count() == 4


def test_a_chain_that_is_not_kept_goes_on(work: Work) -> None:
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_chain

    async_chain([("math.floor", (1,), {"save": False}), ("math.floor", (2,))], group="g")
    assert len(work()) == 2
    assert Task.objects.get().args == (2,)


def test_a_chain_may_stop(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import Chain

    chain = Chain(group="g", stop_on_failure=True)
    chain.append("math.floor", 1.5)
    chain.append(f"{TASKS}.fail", ack_failure=True)
    chain.append("math.floor", 2.5)
    chain.run()
    assert len([one for one in work() if "::" not in one.task]) == 2
    assert chain.current() == 2


def test_a_chain_as_an_object(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import Chain, async_chain, count_group, result_group

    chain = Chain(sync=True)
    chain.append("math.floor", 1)
    chain.append("math.copysign", 1, -1)
    assert chain.append("math.floor", 2, group="ignored") == 3
    assert (chain.length(), chain.current(), chain.result(), chain.fetch()) == (3, None, None, None)
    chain.run()
    assert sorted(chain.result(wait=1000)) == [-1, 1, 2]
    assert (chain.current(), len(chain.fetch())) == (3, 3)
    chain.cached = True
    assert chain.append("math.floor", 3) == 4
    assert count_group(chain.group) == 0
    chain.run()
    assert (len(chain.result(wait=1000)), chain.current(), len(chain.fetch())) == (4, 4, 4)
    group = async_chain([f"{TASKS}.hello", f"{TASKS}.hello"], sync=True, cached=True)
    assert result_group(group, cached=True) == ["hello", "hello"]
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    # Each link is of the queue of the first.
    other = Chain([("math.floor", (1,)), ("math.floor", (2,))], broker=get_broker("other"))
    other.run()
    work("other")
    assert sorted(other.result()) == [1, 2]


def test_a_link_is_enqueued_once(work: Work, market: Database) -> None:
    """As after a worker that died between the two commits."""
    from pgqueue.compat.django_q import enqueueing, packages
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import async_chain

    async_chain(["math.floor", (f"{TASKS}.hello", ())], group="g")
    [(payload,)] = market.execute("SELECT payload FROM pgqueue.django_q_queue")
    work()
    enqueueing.go_on({**packages.read(payload), "success": True}, get_broker())
    assert work() == []


def test_a_task_as_an_object(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import AsyncTask

    task = AsyncTask("math.copysign")
    assert (task.id, task.started, task.func, task.result(), task.fetch()) == (
        "", False, "math.copysign", None, None
    )  # fmt: skip
    task.args = (1, -1)
    task.cached, task.sync, task.broker = True, True, get_broker()
    assert (task.cached, task.sync) == (True, True)
    task_id = task.run()
    assert (task.id, task.started) == (task_id, True)
    assert task.result() == -1
    assert task.fetch().result == -1
    task.args = (1, 1)
    assert (task.started, task.result()) == (False, None)
    inner = {"cached": True, "sync": False}
    task = AsyncTask("math.copysign", 1, -1, q_options=inner)
    assert not task.sync
    task.sync = True
    assert task.kwargs["q_options"]["sync"] is True
    task.run()
    assert task.result_group() is None
    task.group, task.save, task.hook = "objects", False, "fail.me"
    assert (task.group, task.save, task.hook, task.started) == ("objects", False, "fail.me", False)
    assert (task.result_group(), task.fetch_group()) == (None, None)
    task.run()
    assert task.result_group() == [-1]
    assert task.fetch_group() == [task.fetch()]
    with override_settings(Q_CLUSTER={"sync": True, "cached": True}):
        task = AsyncTask("math.floor", 1.5)
        task.run()
        assert task.result() == 1
    queued = AsyncTask("math.floor", 2.5, group="q")
    queued.run()
    work()
    assert queued.result(wait=-1) == 2
    assert list(queued.result_group(count=1)) == [2]


def test_an_iteration_where_all_is_cached(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_iter, result

    with override_settings(Q_CLUSTER={"cached": 60}):
        kept = async_iter("math.floor", [1.5, 2.5])
        row = async_iter("math.floor", [3.5], cached=False)
        work()
    assert result(kept, cached=True) == [1, 2]
    assert result(row) == [3]
    assert Task.objects.count() == 1
