"""The examples of the manual's pages about tasks, groups, iterables and chains."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("manual")

Work = Callable[..., list[Any]]


def test_async_task(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import async_task, result

    # create the task
    async_task("math.copysign", 2, -2)

    # or with import and storing the id
    from math import copysign

    task_id = async_task(copysign, 2, -2)

    # get the result
    task_result = result(task_id)

    # result returns None if the task has not been executed yet
    assert task_result is None
    assert len(task_id) == 32
    work()
    # you can wait for it
    task_result = result(task_id, 200)
    assert task_result == -2.0

    # but in most cases you will want to use a hook:
    async_task("math.modf", 2.5, hook="hooks.print_result")
    work()
    assert capsys.readouterr().out == "(0.5, 2.0)\n"


def test_options_in_a_dictionary(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.models import Task
    from django_q.tasks import async_task, result

    opts = {"hook": "hooks.print_result", "group": "math", "timeout": 30}

    async_task("math.modf", 2.5, q_options=opts)
    work()
    assert capsys.readouterr().out == "(0.5, 2.0)\n"
    assert Task.objects.get().group == "math"
    assert opts == {"hook": "hooks.print_result", "group": "math", "timeout": 30}

    # "this enables you to use these keywords for your function call"
    named = async_task("tasks.inspect", group="g2", q_options={"group": "g1"})
    work()
    assert result(named) == [[], {"group": "g2"}]
    assert Task.get_task(named).group == "g1"


def test_async_task_class(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import AsyncTask

    # instantiate an async task
    a = AsyncTask("math.floor", 1.5, group="math")

    # you can set or change keywords afterwards
    a.cached = True

    # run it
    a.run()
    work()

    # wait indefinitely for the result and print it
    print(a.result(wait=-1))

    # change the args
    a.args = (2.5,)

    # "the result is invalidated and you will have to run it again to retrieve a new result"
    assert a.result(wait=10) is None

    # run it again
    a.run()
    work()

    # wait max 10 seconds for the result and print it
    print(a.result(wait=10))
    assert capsys.readouterr().out == "1\n2\n"


def test_cached(work: Work) -> None:
    from django_q.models import Task
    from django_q.tasks import async_task, fetch, result

    # cache the result for 10 seconds
    id = async_task("math.floor", 100, cached=10)
    work()

    # wait max 50ms for the result to appear in the cache
    assert result(id, wait=50, cached=True) == 100
    assert not Task.objects.exists()

    # or fetch the task object
    task = fetch(id, cached=True)

    # and then save it to the database
    task.save()
    assert Task.objects.get().result == 100


def test_a_cached_group(work: Work) -> None:
    from django_q.brokers import get_broker
    from django_q.models import Task
    from django_q.tasks import async_task, result_group

    # set up a broker instance for better performance
    broker = get_broker()

    # Async a hundred functions under a group label; twenty will do
    for i in range(20):
        async_task("math.frexp", i, group="frexp", cached=True, broker=broker)
    work()

    # wait max 50ms for the results to return
    found = result_group("frexp", wait=50, count=20, cached=True)
    assert len(found) == 20
    assert (0.5, 1) in found
    assert not Task.objects.exists()


def test_synchronously(capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import async_task, fetch

    # create a synchronous task
    task_id = async_task("my.buggy.code", sync=True)

    # the task will then be available immediately
    task = fetch(task_id)

    # and can be examined
    if not task.success:
        print(f"An error occurred: {task.result}")
    assert capsys.readouterr().out.startswith("An error occurred: ")

    # one that raises does so to the caller
    from django.contrib.auth.models import User

    user = User(username="nobody")
    with pytest.raises(ValueError, match="nobody has no report"):
        async_task("tasks.create_html_report", user, sync=True)


def test_connection_pooling(work: Work) -> None:
    from django_q.brokers import get_broker
    from django_q.tasks import async_task, queue_size

    broker = get_broker()
    for _i in range(10):
        async_task("math.modf", 2.5, broker=broker)
    assert queue_size() == 10
    assert len(work()) == 10
    assert queue_size() == 0


def test_groups(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import async_task, count_group, fetch, fetch_group, result_group

    for i in range(4):
        async_task("math.modf", i, group="modf")
    work()

    # wait until the group has 4 results
    result = result_group("modf", count=4)
    print(sorted(result))
    assert capsys.readouterr().out == "[(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0)]\n"

    # count the number of failures
    failure_count = count_group("modf", failures=True)
    assert failure_count == 0

    # only use the successes
    successes = fetch_group("modf")
    if failure_count:
        successes = successes.exclude(success=False)
    first = [task.result for task in successes]

    # this is the same as
    successes = fetch_group("modf", failures=False)
    second = [task.result for task in successes]

    # and the same as
    third = result_group("modf")  # filters failures by default
    assert sorted(first) == sorted(second) == sorted(third) == sorted(result)

    task = fetch(fetch_group("modf")[0].name)
    if task.group_count() > 3:
        print(len(task.group_result()))
        task.group_delete()
        print(f"Deleted group {task.group}")
    assert capsys.readouterr().out == "4\nDeleted group modf\n"
    assert count_group("modf") == 0


def test_the_group_of_an_object(work: Work) -> None:
    from django_q.tasks import AsyncTask

    # add a task to the math group and run it cached
    for _at in range(10):
        a = AsyncTask("math.floor", 2.5, group="math", cached=True)
        a.run()
    work()

    # wait until this tasks group has 10 results
    assert a.result_group(count=10) == [2] * 10


def test_iterables(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import Iter, async_iter, result

    # set up a list of arguments for math.floor
    iter = list(range(20))

    # async_task iter them
    id = async_iter("math.floor", iter)
    work()

    # wait for the collated result for 1 second
    result_list = result(id, wait=1000)
    assert sorted(result_list) == iter

    i = Iter("math.copysign")

    # add some arguments
    i.append(1, -1)
    i.append(2, -1)
    i.append(3, -1)

    # run it
    i.run()
    work()

    # get the results
    print(sorted(i.result(), reverse=True))
    assert capsys.readouterr().out == "[-1.0, -2.0, -3.0]\n"
    assert i.length() == 3


def test_chains(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    from django_q.tasks import Chain, async_chain, result_group

    # the chain must be in the format
    # [(func,(args),{kwargs}),(func,(args),{kwargs}),..]
    group_id = async_chain([("math.copysign", (1, -1)), ("math.floor", (1,))])
    work()

    # get group result
    assert sorted(result_group(group_id, count=2)) == [-1.0, 1]

    # create a chain that uses the cache backend
    chain = Chain(cached=True)

    # add some tasks
    assert chain.append("math.copysign", 1, -1) == 1
    chain.append("math.floor", 1)

    # run it
    chain.run()
    work()

    print(chain.result())
    assert capsys.readouterr().out == "[-1.0, 1]\n"
    assert (chain.current(), chain.length()) == (2, 2)
