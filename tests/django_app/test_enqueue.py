"""Enqueueing over Django's own connection."""

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.databases import Database

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def tasks(project: Database) -> Iterator[Any]:
    import importlib

    from tests.django_app.store import tasks

    # Its tasks are forgotten with each test.
    return importlib.reload(tasks)


def jobs(project: Database) -> int:
    return int(project.execute("SELECT count(*) FROM pgqueue.jobs")[0][0])


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    from django.db import transaction

    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        yield
        raise ZeroDivisionError


def queries() -> Any:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return CaptureQueriesContext(connection)


def test_by_one_query_that_djangos_log_shows(project: Database, tasks: Any) -> None:
    from django.db import transaction

    with queries() as outside:
        job = tasks.whisper.enqueue("a")
    assert len(outside) == 1
    with transaction.atomic(), queries() as inside:
        tasks.whisper.enqueue("b")
    assert len(inside) == 1
    assert job.state() == "ready"
    assert jobs(project) == 2


def test_with_the_transaction_or_not_at_all(project: Database, tasks: Any) -> None:
    from django.db import transaction

    from tests.django_app.store.models import Order

    with rolled_back():
        order = Order.objects.create()
        tasks.pay.enqueue(order)
    assert jobs(project) == 0
    with transaction.atomic():
        with rolled_back():
            tasks.whisper.enqueue("in a savepoint")
        job = tasks.whisper.enqueue("kept")
        assert jobs(project) == 0
        assert job.state() == "ready"
    assert jobs(project) == 1


def test_by_hand_and_with_autocommit_off(project: Database, tasks: Any) -> None:
    from django.db import connection, transaction

    transaction.set_autocommit(False)
    tasks.whisper.enqueue("a")
    transaction.rollback()
    tasks.whisper.enqueue("b")
    transaction.commit()
    transaction.set_autocommit(True)
    assert jobs(project) == 1
    tasks.whisper.using(connection=connection).enqueue("c")
    assert jobs(project) == 2


def refused(tasks: Any) -> list[tuple[Any, type[Exception]]]:
    import pgqueue
    from tests.django_app.store.models import Order

    whisper = tasks.whisper
    return [
        (lambda: whisper.enqueue(float("nan")), pgqueue.NotSerializableError),
        (lambda: whisper.enqueue("\0"), pgqueue.NotSerializableError),
        (lambda: whisper.enqueue(dt.datetime(2030, 1, 1)), pgqueue.NotSerializableError),
        (lambda: whisper.enqueue("x" * 2**21), pgqueue.NotSerializableError),
        (lambda: whisper.enqueue(1, 2), pgqueue.BadArgumentsError),
        (lambda: whisper.enqueue(Order()), pgqueue.NotSerializableError),
        (lambda: whisper.using(queue="*"), pgqueue.ConfigurationError),
    ]


def test_what_is_refused_costs_no_query(tasks: Any) -> None:
    for call, kind in refused(tasks):
        with queries() as made, pytest.raises(kind):
            call()
        assert len(made) == 0


@pytest.mark.parametrize("server_side", [False, True])
def test_what_the_server_refuses_does_not_poison_the_transaction(
    server_side: bool, project: Database, tasks: Any
) -> None:
    from django.db import connection, transaction

    import pgqueue
    from pgqueue.api.default import default_app
    from pgqueue.db.statements.adding import JobSpec
    from tests.django_app.store.models import Order

    connection.close()
    connection.settings_dict["OPTIONS"] = {"server_side_binding": server_side}
    try:
        with transaction.atomic():
            Order.objects.create(total=1)
            job = tasks.whisper.enqueue("before")
            with pytest.raises(pgqueue.RefusedJobError):
                default_app().clients.sync.enqueue(JobSpec(task="t", args='{"no": "array"}'))
            with pytest.raises(pgqueue.JobNotFoundError):
                default_app().job(99).cancel()
            tasks.whisper.enqueue("after")
            assert Order.objects.count() == 1
            assert job.state() == "ready"
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = {}
    assert jobs(project) == 2


def test_without_the_schema(bare_project: Database) -> None:
    import importlib

    from django.db import connection, transaction

    import pgqueue
    from tests.django_app.store import tasks

    importlib.reload(tasks)
    with transaction.atomic():
        with pytest.raises(pgqueue.SchemaMissingError):
            tasks.whisper.enqueue("a")
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_many(project: Database, tasks: Any) -> None:
    from django.db import transaction

    import pgqueue

    with transaction.atomic(), queries() as made:
        handles = pgqueue.enqueue_many(tasks.whisper.job(str(n)) for n in range(100))
        assert len(made) == 1
        assert pgqueue.copy_many(tasks.whisper.job(str(n)) for n in range(50)) == 50
    assert len({handle.id for handle in handles}) == 100
    with transaction.atomic(), pytest.raises(pgqueue.NotSerializableError):
        pgqueue.copy_many(tasks.whisper.job("a" if n < 20 else float("nan")) for n in range(30))
    with rolled_back():
        pgqueue.copy_many(tasks.whisper.job(str(n)) for n in range(50))
    assert jobs(project) == 150


def test_from_coroutines_on_the_connection_of_their_thread(project: Database, tasks: Any) -> None:
    from asgiref.sync import async_to_sync

    import pgqueue

    async def enqueue() -> int:
        job = await tasks.whisper.aenqueue("a")
        await pgqueue.aenqueue_many([tasks.whisper.job("b")])
        assert await job.astate() == "ready"
        return int(job.id)

    with rolled_back():
        async_to_sync(enqueue)()
    assert jobs(project) == 0
    async_to_sync(enqueue)()
    assert jobs(project) == 2


def test_a_view_with_atomic_requests(project: Database, tasks: Any) -> None:
    from django.db import connection
    from django.http import HttpResponse
    from django.test import Client, override_settings
    from django.urls import path

    def view(request: Any, fails: int) -> HttpResponse:
        tasks.whisper.enqueue("from a view")
        if fails:
            raise ZeroDivisionError
        return HttpResponse("done")

    async def aview(request: Any) -> HttpResponse:
        await tasks.whisper.aenqueue("from an async view")
        return HttpResponse("done")

    class Urls:
        urlpatterns = (path("a", aview), path("<int:fails>", view))

    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"]):
        client = Client(raise_request_exception=False)
        # An async view cannot be in such a transaction.
        assert client.get("/a").status_code == 200
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        try:
            assert client.get("/1").status_code == 500
            assert jobs(project) == 1
            assert client.get("/0").status_code == 200
        finally:
            connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert jobs(project) == 2


def test_a_pool_of_djangos(project: Database, tasks: Any) -> None:
    from django.db import connection, transaction

    connection.close()
    connection.settings_dict["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 2}}
    try:
        for _ in range(3):
            with transaction.atomic():
                tasks.whisper.enqueue("a")
            connection.close()
        assert asyncio.run(tasks.whisper.aenqueue("b")).id == 4
    finally:
        connection.close()
        connection.close_pool()
        connection.settings_dict["OPTIONS"] = {}
    assert jobs(project) == 4


def test_model_instances(project: Database, tasks: Any) -> None:
    from pgqueue.django.models import Job
    from pgqueue.django.references import Reference
    from tests.django_app.store.models import Hidden, Order, Parcel

    order, other = Order.objects.create(), Order.objects.create()
    parcel = Parcel.objects.create(order=order)
    job = tasks.ship.using(meta={"own": 1}).enqueue(order, parcels=[parcel, parcel])
    found = job.info()
    assert found.args == (Reference(label="store.order", pk=str(order.pk)),)
    assert found.args[0].fetch() == order
    again = tasks.pay.enqueue(order)
    with queries() as made:
        assert [one.pk for one in Job.objects.for_object(order)] == [again.id, job.id]
    assert len(made) == 1
    assert [one.pk for one in Job.objects.for_object(parcel)] == [job.id]
    assert list(Job.objects.for_object(other)) == []
    assert found.meta["own"] == 1

    hidden = Hidden(code="a:b]\"'\\ ü")
    hidden.save()
    seen = tasks.whisper.enqueue(hidden)
    assert seen.info().args[0].fetch() == hidden
    assert [one.pk for one in Job.objects.for_object(hidden)] == [seen.id]
    parcels = [Parcel.objects.create(key=uuid.uuid4()) for _ in range(3)]
    from pgqueue.django import references

    stored = tasks.whisper.enqueue({"all": parcels, "set": {order}}).info()
    with queries() as made:
        args, _ = references.fetch(list(stored.args), {})
    assert args == [{"all": parcels, "set": {order}}]
    assert len(made) == 2


def test_the_index_is_used(project: Database, tasks: Any) -> None:
    import pgqueue
    from pgqueue.django.models import Job
    from tests.django_app.store.models import Order

    order = Order.objects.create()
    pgqueue.copy_many(tasks.whisper.using(meta={"n": n}).job("a") for n in range(3000))
    tasks.pay.enqueue(order)
    project.execute("ANALYZE pgqueue.jobs")
    plan = Job.objects.for_object(order).order_by().explain()
    assert "jobs_objects_idx" in plan, plan


def test_an_instance_of_another_database(project: Database, other_db: Database, tasks: Any) -> None:
    from django.db import connections

    from tests.django_app.store.models import Order

    with connections["other"].schema_editor() as editor:
        editor.create_model(Order)
    order = Order.objects.using("other").create(total=7)
    reference = tasks.pay.enqueue(order).info().args[0]
    assert reference.using == "other"
    assert reference.fetch().total == 7


def test_what_was_read_of_an_instance_is_passed_on(project: Database, tasks: Any) -> None:
    from pgqueue.cli.values import to_json
    from pgqueue.django.models import Job
    from tests.django_app.store.models import Order

    order = Order.objects.create()
    first = tasks.pay.enqueue(order)
    [reference] = first.info().args
    again = tasks.pay.enqueue(reference)
    assert again.info().args == (reference,)
    assert [one.pk for one in Job.objects.for_object(order)] == [again.id, first.id]
    # As `pgqueue jobs show` writes it.
    assert to_json(reference) == {"$t": "model", "v": ["store.order", str(order.pk)]}
