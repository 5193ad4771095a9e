"""Enqueueing tasks, with every option, and what a worker makes of them."""

import datetime as dt
import math
from typing import Any

from tests.compat.django_q.conftest import Work
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"
ECHO = f"{TASKS}.echo"


def meta_of(db: Database) -> Any:
    return db.execute("SELECT meta -> 'django_q' FROM pgqueue.jobs ORDER BY id DESC LIMIT 1")[0][0]


def test_a_task_by_its_path(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import Success, Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    task_id = async_task("math.copysign", 2, -2)
    assert len(task_id) == 32
    assert int(task_id, 16)
    assert (fetch(task_id), result(task_id)) == (None, None)
    rows = market.execute("SELECT task, args, queue FROM pgqueue.jobs")
    assert rows == [("django_q:math.copysign", [2, -2], "default")]
    [ran] = work()
    assert (ran.state, ran.result) == ("succeeded", -2.0)
    task = fetch(task_id)
    assert isinstance(task, Task)
    assert result(task_id) == -2.0
    assert (task.func, task.args, task.kwargs) == ("math.copysign", (2, -2), {})
    assert (task.success, task.attempt_count, task.cluster) == (True, 1, "default")
    assert (task.group, task.hook) == (None, None)
    assert task.started < task.stopped
    assert task.time_taken() == (task.stopped - task.started).total_seconds()
    assert str(task) == task.name
    assert len(task.name.split("-")) == 4
    assert fetch(task.name) == task
    assert result(task.name) == -2.0
    assert Success.objects.get().pk == task.pk


def test_a_task_by_its_function(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.tasks import Basket, echo

    plain = async_task(echo, 1, word="a")
    builtin = async_task(math.floor, 1.5)
    method = async_task(Basket.total, 1, 2)
    text = async_task(f"{TASKS}.Basket.total", 1, 2)
    bound = async_task(Basket("a").__eq__, Basket("a"))
    work()
    found = [fetch(one) for one in (plain, builtin, method, text, bound)]
    assert [task.result for task in found if task] == [[[1], {"word": "a"}], 1, 3, 3, True]
    assert [task.func for task in found[:4] if task] == [
        ECHO, "math.floor", f"{TASKS}.Basket.total", f"{TASKS}.Basket.total"
    ]  # fmt: skip


def test_what_json_has_no_form_for(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import Basket

    saved = Order.objects.create(number="1")
    unsaved = Order(number="2")
    when = dt.datetime(2026, 1, 2)
    task_id = async_task(ECHO, saved, unsaved, Basket("x"), when=when, both={"a": (1, {2})})
    basket = async_task(f"{TASKS}.fill", "apple")
    [first, _] = work()
    assert first.error is None
    task = fetch(task_id)
    assert task is not None
    assert task.args[0] == saved
    assert task.args[1].number == "2"
    assert task.args[2] == Basket("x")
    assert task.kwargs == {"when": when, "both": {"a": (1, {2})}}
    assert task.result[0][2] == Basket("x")
    made = fetch(basket)
    assert made is not None
    assert made.result == Basket("apple")
    saved.delete()
    gone = fetch(task_id)
    assert gone is not None
    assert str(gone.args[0]) == "market.order 1"
