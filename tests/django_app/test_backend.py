"""The backend of Django's Tasks framework, and what a real worker makes of its tasks."""

import asyncio
import datetime as dt
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def tasks(project: Database) -> Iterator[Any]:
    from tests.django_app.store import tasks

    return importlib.reload(tasks)


@pytest.fixture
def api() -> Any:
    from pgqueue.django import task_api

    return task_api


def queries() -> Any:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return CaptureQueriesContext(connection)


def test_enqueue_is_one_query_and_get_result_another(tasks: Any, api: Any) -> None:
    from django.db import transaction

    with transaction.atomic(), queries() as made:
        result = tasks.add.enqueue(2, other=3)
    assert len(made) == 1
    assert result.status == api.TaskResultStatus.READY
    assert result.enqueued_at.tzinfo is not None
    assert (result.args, result.kwargs, result.attempts) == ([2], {"other": 3}, 0)
    with queries() as made:
        again = tasks.add.get_result(result.id)
    assert len(made) == 1
    assert again == result
    assert again.task == tasks.add
    assert result.task.priority == 5
    assert result.task.queue_name == "mail"


def test_from_a_coroutine(tasks: Any, api: Any) -> None:
    from asgiref.sync import async_to_sync

    async def enqueue() -> Any:
        result = await tasks.aadd.aenqueue(1, other=2)
        assert await tasks.aadd.aget_result(result.id) == result
        await result.arefresh()
        return result

    with queries() as made:
        assert async_to_sync(enqueue)().id == "1"
    assert len(made) == 3


def test_when(project: Database, tasks: Any) -> None:
    from django.test import override_settings
    from django.utils import timezone

    at = timezone.now() + dt.timedelta(days=1)
    later = tasks.add.using(run_after=at, priority=-7, queue_name="default").enqueue(1)
    assert later.task.run_after == at
    again = tasks.add.get_result(later.id)
    assert again == later
    soon = tasks.add.using(run_after=dt.timedelta(hours=2)).enqueue(1)
    found = tasks.add.get_result(soon.id).task.run_after - soon.enqueued_at
    assert abs(found - dt.timedelta(hours=2)) < dt.timedelta(seconds=5)
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        naive = dt.datetime(2090, 1, 1, 9)
        parked = tasks.add.using(run_after=naive).enqueue(1)
        assert tasks.add.get_result(parked.id).task.run_after == naive
        assert parked.enqueued_at.tzinfo is None
    [(stored,)] = project.execute("SELECT run_at FROM pgqueue.jobs WHERE id = %s", [parked.id])
    assert stored == dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


def test_what_is_refused_costs_no_query(tasks: Any, api: Any) -> None:
    import pgqueue

    for call, kind, words in (
        (lambda: tasks.add.enqueue(object()), TypeError, "Unsupported type"),
        (lambda: tasks.add.enqueue(float("nan")), pgqueue.NotSerializableError, r"\$.args\[0\]"),
        (lambda: tasks.add.enqueue({1: 2}), pgqueue.NotSerializableError, "str"),
        (lambda: tasks.add.enqueue("\0"), pgqueue.NotSerializableError, "NUL"),
        (lambda: tasks.add.enqueue(1, 2, 3), TypeError, "at most 2"),
        (lambda: tasks.add.using(priority=101), api.InvalidTask, "between -100 and 100"),
        (lambda: tasks.add.using(queue_name="x"), api.InvalidTask, "'x' is not valid"),
        (lambda: tasks.add.using(run_after=dt.datetime(2030, 1, 1)), api.InvalidTask, "aware"),
        (lambda: tasks.add.using(timeout=-1), api.InvalidTask, "add: timeout must be"),
        (lambda: tasks.add.using(time_out=1), TypeError, "did you mean 'timeout'"),
    ):
        with queries() as made, pytest.raises(kind, match=words):
            call()
        assert len(made) == 0


@pytest.mark.parametrize("result_id", ["", "0", "7", "-1", "x", "9" * 30, "\u0661", None, 12.5])
def test_there_is_no_such_result(result_id: Any, tasks: Any, api: Any) -> None:
    from django.db import connection, transaction

    with transaction.atomic():
        with pytest.raises(api.TaskResultDoesNotExist):
            tasks.add.get_result(result_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_a_job_of_another_task_or_of_no_task_of_djangos(tasks: Any, api: Any) -> None:
    from pgqueue.django.task_api import _errors

    job = tasks.whisper.enqueue("not Django's")
    with pytest.raises(api.TaskResultDoesNotExist):
        tasks.add.get_result(str(job.id))
    other = tasks.aadd.enqueue(1, 2)
    with pytest.raises(_errors.TaskResultMismatch):
        tasks.add.get_result(other.id)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("blocked", "READY"),
        ("scheduled", "READY"),
        ("ready", "READY"),
        ("running", "RUNNING"),
        ("succeeded", "SUCCESSFUL"),
        ("failed", "FAILED"),
        ("cancelled", "FAILED"),
        ("expired", "FAILED"),
    ],
)
def test_states(state: str, status: str, project: Database, tasks: Any) -> None:
    c = project.connect()
    make = getattr(factories, state, None)
    columns = {"task": tasks.add.module_path, "args": "[1]"}
    job = make(c, **columns) if make else factories.finished(c, state, result="3", **columns)
    result = tasks.add.get_result(str(job))
    assert result.status == status
    assert result.is_finished == (status in ("SUCCESSFUL", "FAILED"))
    if status == "SUCCESSFUL":
        assert result.return_value == 3
    else:
        with pytest.raises(ValueError, match="Task"):
            _ = result.return_value
    if status == "FAILED":
        assert issubclass(result.errors[-1].exception_class, Exception)


def test_options_of_the_queue(project: Database, tasks: Any) -> None:
    from pgqueue.django.models import Job

    tasks.stumble.using(max_attempts=9, timeout="5m", expires="1h", meta={"a": 1}).enqueue(1)
    job = Job.objects.get()
    assert (job.max_attempts, job.timeout, job.meta) == (9, dt.timedelta(minutes=5), {"a": 1})
    assert job.expires_at > job.created_at
    # What the code says is read there by the worker.
    plain = Job.objects.get(pk=tasks.stumble.enqueue(1).id)
    assert (plain.max_attempts, plain.timeout, plain.meta) == (None, None, None)


def test_settings_of_the_backend(tasks: Any, api: Any) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    backend = "pgqueue.django.PgQueueBackend"
    assert [found for found in run_checks() if found.id.startswith("pgqueue")] == []
    options = {"max_attemps": 3, "timeout": -1, "database": "other"}
    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": options}}):
        found = {message.id: message for message in run_checks()}
    assert {"pgqueue.E008", "pgqueue.E009", "pgqueue.W003"} <= set(found)
    assert "did you mean 'max_attempts'" in found["pgqueue.E008"].msg
    assert all(message.hint for message in found.values())
    with override_settings(
        TASKS={"default": {"BACKEND": backend, "QUEUES": [], "OPTIONS": {"max_attempts": 4}}}
    ):
        again = importlib.reload(tasks)
        from pgqueue.api.decorating import registry

        assert registry.get(again.add.module_path).options.max_attempts == 4
        assert registry.get(again.stumble.module_path).options.max_attempts == 3
        again.add.using(queue_name="any").enqueue(1)


def test_an_async_task_cannot_be_atomic(api: Any) -> None:
    from pgqueue.django import task

    with pytest.raises(api.InvalidTask, match="plain function"):
        task(atomic=True)(_coroutine)


async def _coroutine() -> None: ...


def test_signals_of_an_enqueue(project: Database, tasks: Any, api: Any) -> None:
    heard: list[Any] = []

    def hear(sender: Any, task_result: Any, **kwargs: Any) -> None:
        heard.append((sender.__name__, task_result.id, task_result.enqueued_at is not None))
        # Its row is there already, in the same transaction.
        heard.append(tasks.add.get_result(task_result.id).status)

    api.task_enqueued.connect(hear)
    try:
        tasks.add.enqueue(1)
    finally:
        api.task_enqueued.disconnect(hear)
    assert heard == [("PgQueueBackend", "1", True), "READY"]


def test_by_a_real_worker(project: Database, tasks: Any, api: Any, worker: StartWorker) -> None:
    from tests.django_app.store.models import Order

    enqueued = {
        "sum": tasks.add.enqueue(2, other=3),
        "loop": tasks.aadd.enqueue(2, 3),
        "told": tasks.tell.enqueue(word="hello"),
        "said": tasks.report.using(timeout=60).enqueue(2),
        "third": tasks.stumble.enqueue(2),
        "never": tasks.stumble.enqueue(5),
        "atomic": tasks.atomically.enqueue(12),
        "unstorable": tasks.unstorable.using(max_attempts=3).enqueue(),
    }
    running = worker(
        "--processes", "1", "--burst",
        app="pgqueue.django.project",
        env={"DJANGO_SETTINGS_MODULE": "tests.django_app.full"},
        ready=False,
    )  # fmt: skip
    assert running.process.wait(60) == 0, running.log()
    for result in enqueued.values():
        result.refresh()
    found = {
        name: result.return_value if result.status == "SUCCESSFUL" else result.status
        for name, result in enqueued.items()
    }
    told = {"attempt": 1, "enqueued": True, "id": enqueued["told"].id, "status": "RUNNING"}
    assert found == {
        "sum": 5,
        "loop": 5,
        "told": {**told, "word": "hello"},
        "said": [False, True, "default"],
        "third": 3,
        "never": "FAILED",
        "atomic": True,
        "unstorable": "FAILED",
    }
    assert Order.objects.get().total == 12
    assert project.execute(
        "SELECT level, message FROM pgqueue.job_logs ORDER BY job_id, attempt, n"
    ) == [("info", "row 0"), ("info", "row 1"), ("warning", "nearly done")]
    third = enqueued["third"]
    assert (third.attempts, len(third.errors)) == (3, 2)
    assert third.errors[0].exception_class is LookupError
    assert "attempt 1" in third.errors[0].traceback
    assert third.started_at <= third.last_attempted_at <= third.finished_at
    assert enqueued["never"].attempts == 3
    # It has had its effects, so it is not tried again.
    assert enqueued["unstorable"].attempts == 1
    # Of the signals in the worker, as Django's own receivers log them.
    log = running.log()
    assert f"Task id={enqueued['sum'].id} path={tasks.add.module_path} state=RUNNING" in log
    assert f"Task id={enqueued['sum'].id} path={tasks.add.module_path} state=SUCCESSFUL" in log
    assert log.count(f"Task id={third.id} path={tasks.stumble.module_path} state=FAILED") == 0
    never = f"Task id={enqueued['never'].id} path={tasks.stumble.module_path} state=FAILED"
    assert log.count(never) == 1
    assert "LookupError: attempt 3" in log.partition(never)[2][:3000]


def test_a_task_of_a_module_that_nobody_has_imported(
    project: Database, worker: StartWorker
) -> None:
    c = project.connect()
    job = factories.job(c, "tests.django_app.store.elsewhere.double", args="[21]")
    outside = factories.job(c, "tests.django_app.store_not.double", args="[21]")
    worker(
        "--processes", "1",
        app="pgqueue.django.project",
        env={"DJANGO_SETTINGS_MODULE": "tests.django_app.full"},
    )  # fmt: skip
    eventually(lambda: factories.state(c, job) == "succeeded", 60)
    eventually(lambda: factories.position(c, outside).get("reason") == "unknown_task", 60)


def test_sync_in_a_loop(tasks: Any) -> None:
    async def enqueue() -> Any:
        return await tasks.add.aenqueue(1)

    from django.db import connections

    result = asyncio.run(enqueue())
    assert tasks.add.get_result(result.id).args == [1]
    connections.close_all()
