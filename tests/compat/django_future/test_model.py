"""`ScheduledJob` as a model: the whole ORM works, over rows of the queue."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.django_future.conftest import MARKET, NOTE, statuses
from tests.fixtures.databases import Database

START = dt.datetime(2040, 10, 10, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def make(future: Any, **words: Any) -> Any:
    values = {
        "callable_name": NOTE,
        "time_slot_start": START,
        "time_slot_end": START + DAY,
        **words,
    }
    return future.ScheduledJob.objects.create(**values)


def test_names_of_the_old_model(future: Any) -> None:
    model = future.ScheduledJob
    assert model._meta.label == "django_future.ScheduledJob"
    assert [field.name for field in model._meta.concrete_fields] == [
        "id", "time_slot_start", "time_slot_end", "execution_start", "status", "content_type",
        "object_id", "callable_name", "args", "kwargs", "error", "return_value",
    ]  # fmt: skip
    assert [status for status, _ in model.STATUSES] == [
        "scheduled", "running", "failed", "complete", "expired",
    ]  # fmt: skip
    assert model._meta.get_latest_by == "time_slot_start"
    job = make(future)
    assert (repr(job), str(job)) == (f"<ScheduledJob (scheduled) callable={NOTE!r}>", NOTE)
    assert job.get_status_display() == "Scheduled"


def test_the_fields_are_the_columns_of_the_view(future: Any, market: Database) -> None:
    query = """
        SELECT column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'pgqueue' AND table_name = 'django_future_jobs'
    """
    kinds = {
        "BigAutoField": "bigint", "DateTimeField": "timestamp with time zone",
        "CharField": "text", "TextField": "text", "ObjectIdField": "text",
        "ForeignKey": "integer", "ArgumentsField": "jsonb",
    }  # fmt: skip
    fields = future.ScheduledJob._meta.concrete_fields
    assert dict(market.execute(query)) == {
        field.column: kinds[type(field).__name__] for field in fields
    }


def test_create_filter_order_and_count(future: Any) -> None:
    objects = future.ScheduledJob.objects
    late, early = make(future, time_slot_start=START + DAY / 2), make(future)
    assert list(objects.all()) == [early, late]
    assert (objects.latest(), objects.earliest()) == (late, early)
    assert objects.filter(callable_name=NOTE, status="scheduled").count() == 2
    assert list(objects.filter(time_slot_start__gt=START)) == [late]
    assert objects.values_list("callable_name", flat=True).distinct().get() == NOTE
    assert list(objects.dates("time_slot_start", "year")) == [dt.date(2040, 1, 1)]
    made = objects.bulk_create(
        [
            future.ScheduledJob(callable_name=NOTE, time_slot_start=START, time_slot_end=START)
            for _ in range(2)
        ]
    )
    assert objects.filter(pk__in=[job.pk for job in made]).count() == 2
    job, is_new = objects.get_or_create(
        callable_name="pay", defaults={"time_slot_start": START, "time_slot_end": START}
    )
    assert is_new
    assert objects.get(callable_name="pay").args == job.args == []


def test_save_changes_a_job_that_waits(future: Any, market: Database, calls: list[Any]) -> None:
    job = make(future, args=[1])
    job.args.append(2)
    job.kwargs = {"a": 1}
    job.time_slot_start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    job.save()
    assert market.execute("SELECT state FROM pgqueue.job_overview") == [("ready",)]
    future.run_jobs()
    assert calls == [((1, 2), {"a": 1})]


def test_save_of_a_job_that_has_run_meanwhile_does_not_run_it_again(
    future: Any, calls: list[Any]
) -> None:
    job = future.schedule_job("0h", NOTE)
    loaded = future.ScheduledJob.objects.get()
    future.run_jobs()
    for stale in (job, loaded):
        assert stale.status == "scheduled"
        stale.object_id = 5
        stale.save()
        stale.save()
    future.run_jobs()
    job.refresh_from_db()
    assert (len(calls), job.status, job.object_id) == (1, "complete", 5)
    job.status = "scheduled"
    job.save()
    future.run_jobs()
    assert len(calls) == 2


def test_save_of_some_fields_and_update(future: Any) -> None:
    job = make(future, args=[1])
    job.args, job.callable_name = [2], f"{MARKET}.tasks.nothing"
    job.save(update_fields=["args"])
    found = future.ScheduledJob.objects.get()
    assert (found.args, found.callable_name) == ([2], NOTE)
    job.save()
    job.refresh_from_db()
    assert job.callable_name == f"{MARKET}.tasks.nothing"
    rows = future.ScheduledJob.objects.filter(pk=job.pk)
    assert rows.update(kwargs={"b": 1}, time_slot_end=START + 2 * DAY) == 1
    job = rows.defer("kwargs").get()
    assert (job.kwargs, job.time_slot_end) == ({"b": 1}, START + 2 * DAY)
    assert rows.only("kwargs").get().args == [2]
    rows.update(args=[3])
    job.refresh_from_db(fields=["args"])
    assert job.args == [3]


@pytest.mark.parametrize("status", ["failed", "complete", "expired"])
def test_a_status_may_be_set(future: Any, calls: list[Any], status: str) -> None:
    job = make(future, time_slot_start=START - 40 * 366 * DAY)
    job.status, job.error, job.return_value = status, "Traceback\nE: no", "7"
    job.save()
    job.refresh_from_db()
    assert (job.status, job.error, job.return_value) == (status, "Traceback\nE: no", "7")
    future.run_jobs()
    assert calls == []
    # As one did to have it run again.
    future.ScheduledJob.objects.update(status="scheduled")
    future.run_jobs()
    assert (len(calls), statuses()) == (1, ["complete"])
    job = future.ScheduledJob.objects.get()
    job.callable_name = f"{MARKET}.tasks.nothing"
    future.ScheduledJob.objects.bulk_update([job], ["callable_name", "args", "object_id"])
    assert future.ScheduledJob.objects.get().callable_name == f"{MARKET}.tasks.nothing"
    old = make(future, status=status, execution_start=START, return_value="r")
    old.refresh_from_db()
    assert (old.status, old.execution_start, old.return_value) == (status, START, "r")


def test_what_is_refused(future: Any) -> None:
    from django.db import IntegrityError, transaction

    from pgqueue.compat.paths import PathNotAllowedError

    for words, error in (
        ({"time_slot_start": None}, IntegrityError),
        ({"time_slot_end": None}, IntegrityError),
        ({"status": "done"}, IntegrityError),
        ({"id": 7}, IntegrityError),
        ({"callable_name": "os.system"}, PathNotAllowedError),
    ):
        with pytest.raises(error), transaction.atomic():
            make(future, **words)
    assert statuses() == []


def test_delete(future: Any) -> None:
    job = make(future)
    make(future, status="complete")
    assert job.delete() == (1, {"django_future.ScheduledJob": 1})
    assert statuses() == ["complete"]
    assert future.ScheduledJob.objects.all().delete()[0] == 1
    assert statuses() == []


def test_unsaved_objects_are_pickled_and_saved_ones_are_fetched(
    future: Any, calls: list[Any], new_order: Callable[[str], Any], market: Database
) -> None:
    from tests.compat.project.market.models import Order

    order = new_order("old number")
    job = future.schedule_job("0h", NOTE, args=[order, Order(number="new")])
    Order.objects.update(number="new number")
    assert [one.number for one in future.ScheduledJob.objects.get().args] == ["new number", "new"]
    # Sealed arguments go through a save unopened.
    found = future.ScheduledJob.objects.get()
    found.time_slot_end += DAY
    found.save()
    query = "SELECT args #>> '{1,$t}', args #>> '{0,$t}' FROM pgqueue.jobs"
    assert market.execute(query) == [("pickle", "model")]
    # They are signed for what they are given to.
    found = future.ScheduledJob.objects.get()
    found.callable_name = f"{MARKET}.tasks.echo"
    found.save()
    found.callable_name = NOTE
    found.save()
    future.run_jobs()
    ((args, _),) = calls
    assert [one.number for one in args] == ["new number", "new"]
    assert job.pk == found.pk


def test_a_forged_pickle_is_not_opened(future: Any, market: Database, calls: list[Any]) -> None:
    from tests.compat.project.market.tasks import Basket

    future.schedule_job("0h", NOTE, args=[Basket(1)])
    other = future.schedule_job("0h", f"{MARKET}.tasks.nothing")
    market.execute(
        "UPDATE pgqueue.jobs SET args = (SELECT args FROM pgqueue.jobs WHERE id <> %s) "
        "WHERE id = %s",
        [other.pk, other.pk],
    )
    future.run_jobs(ignore_errors=True)
    assert (len(calls), statuses()) == (1, ["complete", "failed"])
    other.refresh_from_db()
    assert "PickleRefused" in other.error
    for job in (other, future.ScheduledJob.objects.get(pk=other.pk)):
        with pytest.raises(Exception, match="is not signed for the task"):
            _ = job.args


def test_objects_may_have_a_generic_relation(future: Any, new_order: Callable[[str], Any]) -> None:
    from django.contrib.contenttypes.fields import GenericRelation
    from django.contrib.contenttypes.models import ContentType

    first, second = new_order("1"), new_order("2")
    job = future.schedule_job("5d", NOTE, first)
    future.schedule_job("5d", NOTE, second)
    kind = ContentType.objects.get_for_model(first)
    assert list(kind.scheduledjob_set.filter(object_id=first.pk)) == [job]
    field = GenericRelation(future.ScheduledJob)
    field.contribute_to_class(type(first), "jobs")
    try:
        assert list(first.jobs.all()) == [job]
        orders = type(first).objects.prefetch_related("jobs")
        assert [len(order.jobs.all()) for order in orders] == [1, 1]
    finally:
        type(first)._meta.private_fields.remove(field)
        del type(first).jobs


# Sticky jobs


@pytest.fixture
def sticky(future: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An app with handlers under `sticky_job`, and another whose module cannot be imported."""
    from django.conf import settings
    from django.test import override_settings

    for name, text in (
        (
            "clock",
            "from pgqueue.compat.django_future import sticky_job\n\n"
            "times = []\n\n\n@sticky_job\ndef tick():\n    times.append(1)\n",
        ),
        ("torn", "import nothing_of_this_name\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "jobs.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    held = list(future.STICKY_JOBS)
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "torn", "clock"]):
        yield future
    future.STICKY_JOBS[:] = held


def test_sticky_jobs_are_scheduled_and_run_by_each_run(
    sticky: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import sys

    for times in (1, 2):
        sticky.run_jobs()
        assert len(sys.modules["clock.jobs"].times) == times
    assert statuses() == ["complete", "complete"]
    assert "the module torn.jobs cannot be imported" in caplog.text
    # There is one, and one only.
    sticky.schedule_sticky_jobs()
    sticky.schedule_sticky_jobs()
    assert statuses() == ["complete", "complete", "scheduled"]
    assert sticky.ScheduledJob.objects.latest("id").callable_name == "clock.jobs.tick"
    for name in [name for name in sys.modules if name.startswith("clock")]:
        del sys.modules[name]


# What the app does beside it


def test_finished_jobs_are_kept_for_long(market: Database) -> None:
    query = "SELECT name, retention_succeeded, retention_other FROM pgqueue.queues WHERE name = %s"
    ((name, succeeded, other),) = market.execute(query, ["django_future"])
    assert name == "django_future"
    assert succeeded == other == dt.timedelta(hours=876_600)


def test_a_retention_that_was_said_holds(future: Any, market: Database) -> None:
    from django.conf import settings
    from django.test import override_settings

    from pgqueue.compat import retention

    query = "SELECT retention_succeeded FROM pgqueue.queues WHERE name = 'django_future'"
    market.execute("SELECT pgqueue.configure_queue('django_future', '1 day')")
    retention.keep("default", "django_future", {"plan": []})
    assert market.execute(query) == [(DAY,)]
    market.execute("DELETE FROM pgqueue.queues")
    retention.keep("default", "django_future", {})
    said = {**settings.PGQUEUE, "QUEUES": {"django_future": {"retention": "3d"}}}
    with override_settings(PGQUEUE=said):
        retention.keep("default", "django_future", {"plan": []})
    assert market.execute(query) == []
    retention.keep("default", "django_future", {"plan": []})
    assert market.execute(query) != []


def test_the_setting_is_checked(future: Any) -> None:
    from django.conf import settings
    from django.core.checks import run_checks
    from django.test import override_settings

    from pgqueue.compat.django_future import conf

    right = {"RESCHEDULE_FROM": "scheduled", "ONE_RUN_AT_A_TIME": True, "EXPIRE_BY_NOW": False}
    cases: list[tuple[Any, list[str]]] = [
        ({}, []),
        (right, []),
        ({"RESCHEDULE_FORM": "now"}, ["django_future.E001"]),
        ({"RESCHEDULE_FROM": "then"}, ["django_future.E002"]),
        (7, ["pgqueue.E003"]),
    ]
    for given, ids in cases:
        with override_settings(PGQUEUE={**settings.PGQUEUE, "DJANGO_FUTURE": given}):
            assert [one.id for one in run_checks() if "DJANGO_FUTURE" in one.msg] == ids
            assert conf.get("RESCHEDULE_FROM") == ("scheduled" if given is right else "now")


def test_models_need_no_migration(future: Any) -> None:
    from django.core.management import call_command

    call_command("makemigrations", "django_future", check=True, dry_run=True, verbosity=0)
