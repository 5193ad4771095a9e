"""Jobs and errors as models: whatever the ORM does to a row is done to the job."""

import datetime as dt
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database

DAY = dt.timedelta(days=1)


@pytest.fixture
def jobs(market: Database) -> Any:
    from pgqueue.compat.django_async.models import Job

    return Job.objects


def test_a_job_may_be_created_as_a_row(jobs: Any) -> None:
    job = jobs.create(name=f"{TASKS}.echo", args="[1]", kwargs="{}", meta="{}", priority=3)
    assert (native(job).state, native(job).priority, native(job).args) == ("ready", 3, [1])
    assert jobs.get(name=f"{TASKS}.echo").identity == job.identity != ""
    many = jobs.bulk_create([type(job)(name=f"{TASKS}.nothing") for _ in range(3)])
    assert jobs.filter(executed=None).count() == 4
    assert len({one.pk for one in many}) == 3
    chosen = jobs.create(id=1_000_000, name=f"{TASKS}.nothing")
    assert jobs.create(name=f"{TASKS}.nothing").pk > chosen.pk == 1_000_000


@pytest.mark.parametrize("model", ["Job", "Group"])
def test_ids_go_on_above_one_that_was_given(jobs: Any, market: Database, model: str) -> None:
    table, column = ("async_jobs", "name") if model == "Job" else ("async_groups", "reference")
    query = f"INSERT INTO pgqueue.{table} (id, {column}) VALUES (%s, 'a.b') RETURNING id"
    plain = f"INSERT INTO pgqueue.{table} ({column}) VALUES ('a.b') RETURNING id"
    for given in (3, 2, 10, 1010, 500, 5_000_000, 4_000_000):
        assert market.execute(query, [given]) == [(given,)]
    assert market.execute(plain) == [(5_000_001,)]


def test_a_row_that_could_never_run_is_refused(jobs: Any) -> None:
    from django.core.exceptions import ValidationError
    from django.db import Error, transaction

    with pytest.raises(ValueError, match="Expecting value"):
        jobs.create(name="a", args="not json")
    with pytest.raises(Error, match="args must be a JSON array"), transaction.atomic():
        jobs.bulk_create([jobs.model(name="a", args="{}")])
    with pytest.raises(ValidationError, match="meta must be JSON"):
        jobs.create(name="a", meta="{")
    job = jobs.create(name="a")
    with pytest.raises(Error, match="kwargs must be a JSON object"), transaction.atomic():
        jobs.filter(pk=job.pk).update(kwargs="[]")
    with pytest.raises(Error, match="id of a job must stay"), transaction.atomic():
        jobs.filter(pk=job.pk).update(id=7)
    assert again(job).kwargs == "{}"


def test_times_and_priority_move_it(jobs: Any) -> None:
    from django.utils import timezone

    job = jobs.create(name=f"{TASKS}.nothing")
    later = timezone.now() + DAY
    job.scheduled = later
    job.save()
    assert (native(job).state, again(job).scheduled) == ("scheduled", later)
    job.scheduled, job.priority = None, 9
    job.save()
    assert (native(job).state, native(job).priority, again(job).scheduled) == ("ready", 9, None)
    jobs.filter(pk=job.pk).update(scheduled=later, priority=-3)
    assert (native(job).state, native(job).priority) == ("scheduled", -3)
    job = again(job)
    job.name, job.args, job.added = f"{TASKS}.echo", '["x"]', later - 9 * DAY
    job.save()
    assert (native(job).task, native(job).args) == (f"async:{TASKS}.echo", ["x"])
    assert again(job).added == later - 9 * DAY


def test_ends_by_hand_and_back(jobs: Any) -> None:
    from django.utils import timezone

    job = jobs.create(name=f"{TASKS}.nothing")
    at = timezone.now() - 60 * DAY
    job.started, job.executed, job.result = at - DAY, at, '{"a": [1]}'
    job.save()
    read = again(job)
    assert (read.started, read.executed, read.result) == (at - DAY, at, '{"a": [1]}')
    assert (native(job).state, native(job).result) == ("succeeded", {"a": [1]})
    # It was not kept all that time; it is from now on.
    from pgqueue.django.models import FinishedJob

    assert FinishedJob.objects.get(pk=job.pk).keep_until > timezone.now() + DAY
    read.executed = at - DAY
    read.save()
    assert again(job).executed == at - DAY
    read.executed, read.cancelled = None, at
    read.save()
    assert (again(job).executed, again(job).cancelled) == (None, at)
    assert native(job).state == "cancelled"
    read.cancelled = None
    read.save()
    assert native(job).state == "ready"
    jobs.filter(pk=job.pk).update(executed=at)
    jobs.filter(pk=job.pk).update(executed=None, scheduled=timezone.now() + DAY)
    assert native(job).state == "scheduled"
    begun = jobs.create(name=f"{TASKS}.nothing", started=at)
    assert (again(begun).started, native(begun).state) == (at, "ready")
    made = again(jobs.create(name=f"{TASKS}.nothing", executed=at, result="7"))
    assert (made.result, made.priority, native(made).state) == ("7", 5, "succeeded")


def test_a_row_read_before_does_not_undo_what_the_queue_did_since(jobs: Any) -> None:
    job = jobs.create(name=f"{TASKS}.echo", args="[1]")
    stale = again(job)
    again(job).execute()
    stale.meta = '{"note": "late"}'
    stale.save()
    read = again(job)
    assert read.executed is not None
    assert read.meta == '{"note": "late"}'
    assert native(job).state == "succeeded"
    stale.save()
    assert again(job).executed is not None


def test_delete(jobs: Any, market: Database) -> None:
    from pgqueue.compat.django_async.models import Error
    from pgqueue.django.models import Job as NativeJob

    job, other = (jobs.create(name=f"{TASKS}.nothing") for _ in range(2))
    Error.objects.create(job=job, exception="Error", traceback="code stack")
    assert job.delete()[0] == 2
    assert (jobs.count(), Error.objects.count(), NativeJob.objects.count()) == (1, 0, 1)
    jobs.all().delete()
    assert NativeJob.objects.count() == 0
    assert not jobs.filter(pk=other.pk).exists()


def test_clear_queue(jobs: Any) -> None:
    from pgqueue.compat.django_async.helpers import clear_queue

    @clear_queue
    def count(*, least: int) -> bool:
        """Count."""
        return bool(jobs.count() >= least)

    jobs.create(name=f"{TASKS}.nothing")
    assert (count(least=1), count(least=0), count.__name__) == (False, True, "count")


def test_errors_are_rows(jobs: Any) -> None:
    from django.db import Error as DatabaseError
    from django.db import transaction

    from pgqueue.compat.django_async.models import Error

    job = jobs.create(name=f"{TASKS}.nothing")
    one = Error.objects.create(job=job, exception="Exception text")
    two = Error.objects.create(job=job, exception="Another", traceback="lines")
    assert str(one) == f"{one.executed} : Exception text"
    assert [error.pk for error in job.errors.order_by("id")] == [one.pk, two.pk]
    two.exception, two.traceback = "Changed", "more lines"
    two.save()
    assert Error.objects.filter(exception="Changed", traceback="more lines").get() == two
    one.delete()
    assert list(job.errors.all()) == [two]
    assert jobs.filter(errors__isnull=False).get() == job
    with pytest.raises(DatabaseError, match="there is no job 77"), transaction.atomic():
        Error.objects.create(job_id=77)
    with pytest.raises(DatabaseError, match="must stay as they are"), transaction.atomic():
        Error.objects.filter(pk=two.pk).update(id=5)


def test_jobs_of_others_are_none_of_its(jobs: Any, market: Database) -> None:
    market.execute("INSERT INTO pgqueue.jobs (task, queue) VALUES ('plain', 'async')")
    assert jobs.count() == 0
    market.execute("INSERT INTO pgqueue.async_jobs (name) VALUES ('my.function')")
    job = jobs.get()
    assert (job.name, job.args, job.priority, str(job)) == ("my.function", "[]", 5, "my.function()")
    market.execute("DELETE FROM pgqueue.async_jobs WHERE name = 'my.function'")
    assert market.execute("SELECT task FROM pgqueue.jobs") == [("plain",)]


def test_the_models_are_the_views(market: Database) -> None:
    from django.apps import apps
    from django.db import connection

    for model in apps.get_app_config("async").get_models():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'pgqueue' AND table_name = %s",
                [model._meta.db_table.split('"')[-2]],
            )
            columns = {name for (name,) in cursor.fetchall()}
        assert columns == {field.column for field in model._meta.concrete_fields}
        list(model.objects.all())
    from django.core.management import call_command

    call_command("makemigrations", "async", check=True, dry_run=True, verbosity=0)
