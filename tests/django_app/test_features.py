"""Keys, flows, callbacks and batch tasks in a Django project."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.databases import Database

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def tasks(project: Database) -> Iterator[Any]:
    from tests.django_app.store import tasks

    return importlib.reload(tasks)


def signals_of(api: Any, call: Any) -> list[str]:
    seen: list[str] = []

    def hear(task_result: Any, **_words: Any) -> None:
        seen.append(task_result.id)

    api.task_enqueued.connect(hear)
    try:
        call()
    finally:
        api.task_enqueued.disconnect(hear)
    return seen


def test_unique_tasks(project: Database, tasks: Any) -> None:
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    from pgqueue import DuplicateJobError
    from pgqueue.django import task_api
    from pgqueue.testing import drain

    with CaptureQueriesContext(connection) as made:
        first = tasks.once.enqueue(1)
    assert len(made) == 1
    assert tasks.once.enqueue(2).id != first.id
    with transaction.atomic():
        again = tasks.once.enqueue(1)
        named = tasks.add.using(unique_key="k", unique_while="waiting").enqueue(1)
        assert tasks.add.using(unique_key="k").enqueue(9).id == named.id
        with pytest.raises(DuplicateJobError):
            tasks.add.using(unique_key="k", on_duplicate="error").enqueue(9)
        # The transaction is as good as before.
        assert (again.id, again.args) == (first.id, [1])
    assert signals_of(task_api, lambda: tasks.once.enqueue(1)) == []
    drain()
    assert tasks.once.enqueue(1).id != first.id
    assert project.execute(
        "SELECT DISTINCT unique_while FROM pgqueue.jobs WHERE unique_key = 'k'"
    ) == [("waiting",)]


def test_what_is_written_with_each_job(project: Database, tasks: Any) -> None:
    tasks.keyed.enqueue("a", 1)
    tasks.keyed.using(max_running=5, concurrency_key="own").enqueue("a", 1)
    tasks.shared.enqueue("b")
    rows = project.execute(
        "SELECT concurrency_key, max_running, fair_key, callbacks FROM pgqueue.jobs ORDER BY id"
    )
    assert [row[1] for row in rows] == [2, 5, None]
    assert rows[0][0].startswith("tests.django_app.store.tasks.keyed:")
    assert rows[1][0] == "own"
    assert rows[2][2] is not None
    assert rows[0][3] == {
        "on_success": {"task": "tests.django_app.store.tasks.hear", "queue": "default"}
    }


def test_flows_of_djangos_tasks(tasks: Any) -> None:
    import pgqueue
    from pgqueue.testing import drain

    first = tasks.add.enqueue(1, 2)
    second = tasks.add.using(after=first, results="args").enqueue()
    third = tasks.add.using(after=[first, second], results="args").enqueue()
    with pgqueue.group("orders", on_finish=tasks.hear) as group:
        member = tasks.add.using(group=group, after=[third], run_if="finished").enqueue(7)
    assert drain()
    for one in (first, second, third, member):
        one.refresh()
    assert [one.return_value for one in (first, second, third, member)] == [3, 4, 7, 8]
    assert group.results(timeout=0) == [8]
    assert tasks.heard[-1]["name"] == "orders"


def test_what_is_refused(tasks: Any) -> None:
    from pgqueue.django import task, task_api

    for call, kind, words in (
        (lambda: tasks.add.using(unique_while="waiting"), task_api.InvalidTask, "give unique="),
        (lambda: tasks.add.using(max_running=2), task_api.InvalidTask, "give concurrency="),
        (lambda: tasks.add.using(after="x"), task_api.InvalidTask, "after must be"),
        (lambda: tasks.add.using(on_success=7), task_api.InvalidTask, "on_success must be"),
        (lambda: tasks.once.using(batch=2), TypeError, "unexpected keyword argument 'batch'"),
        (lambda: task(tasks.add.func, batch=2), TypeError, "batch"),
    ):
        with pytest.raises(kind, match=words):
            call()


def test_rows_as_arguments_of_a_batch_task(project: Database, tasks: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from pgqueue.testing import drain
    from tests.django_app.store.models import Order

    orders = [Order.objects.create(total=n) for n in range(3)]
    jobs = [tasks.total.enqueue(order) for order in orders]
    with CaptureQueriesContext(connection) as made:
        drain()
    assert sum('FROM "store_order"' in query["sql"] for query in made) == 1
    assert [job.result(timeout=0) for job in jobs] == [0, 1, 2]
    jobs = [tasks.total.enqueue(order) for order in orders]
    orders[1].delete()
    drain(raise_errors=False)
    assert [job.state() for job in jobs] == ["succeeded", "failed", "succeeded"]
    assert jobs[1].errors()[0].kind == "ArgumentGone"
    assert jobs[2].result(timeout=0) == 2
