"""What is in the table of django-future comes over, once."""

import datetime as dt
from typing import Any

import pytest

from tests.compat.migrating.conftest import Migrate
from tests.compat.migrating.old_tables import DJANGO_FUTURE, pickled
from tests.fixtures.databases import Database

MARKET = "tests.compat.project.market.tasks"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def old(market: Database) -> Database:
    market.execute(DJANGO_FUTURE)
    return market


def put(db: Database, **more: Any) -> None:
    row = {
        "time_slot_start": NOW - HOUR,
        "time_slot_end": NOW + 24 * HOUR,
        "status": "scheduled",
        "callable_name": f"{MARKET}.echo",
        "args": pickled(()),
        "kwargs": pickled({}),
        **more,
    }
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    db.execute(
        f"INSERT INTO django_future_scheduledjob ({names}) VALUES ({marks})", list(row.values())
    )


def test_waiting_jobs_run_as_they_would_have(old: Database, migrate: Migrate) -> None:
    from django.contrib.contenttypes.models import ContentType

    from pgqueue.compat.django_future import run_jobs
    from pgqueue.compat.django_future.models import ScheduledJob
    from tests.compat.project.market.models import Order

    order = Order.objects.create(number="7")
    kind = ContentType.objects.get_for_model(Order).pk
    # Of Python 2.
    put(old, args=pickled((1, {"a": (2,)}), 2), kwargs=pickled({"x": order}, 2))
    put(old, callable_name="pay", content_type_id=kind, object_id=order.pk)
    put(old, time_slot_start=NOW + HOUR)
    done = migrate("django-future")
    assert (done.code, done.counts()) == (0, {"jobs": (3, 0, 3, 0)})
    assert ScheduledJob.objects.count() == 0
    done = migrate("django-future", "--apply")
    assert (done.code, done.counts()) == (0, {"jobs": (3, 0, 3, 0)})
    first, second, third = ScheduledJob.objects.order_by("id")
    assert (first.args, first.kwargs) == ((1, {"a": (2,)}), {"x": order})
    assert second.content_object == order
    assert (third.time_slot_start, third.time_slot_end) == (NOW + HOUR, NOW + 24 * HOUR)
    run_jobs()
    assert [job.status for job in ScheduledJob.objects.order_by("id")] == [
        "complete", "complete", "scheduled",
    ]  # fmt: skip
    order.refresh_from_db()
    assert order.paid


def test_jobs_that_are_over_are_shown_as_such(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_future.models import ScheduledJob

    start = NOW - 3 * HOUR
    put(old, status="complete", execution_start=start, return_value="7")
    put(old, status="failed", execution_start=start, error="Traceback …\nValueError: no\n")
    put(old, status="expired", time_slot_end=NOW - HOUR)
    put(old, status="running", execution_start=start)
    done = migrate("django-future", "--apply")
    assert (done.code, done.counts()) == (1, {"jobs": (4, 0, 3, 1)})
    assert "it may have had its effects" in done.refusals()["4"]
    found = ScheduledJob.objects.order_by("id").values_list(
        "status", "execution_start", "return_value", "error"
    )
    assert list(found) == [
        ("complete", start, "7", None),
        ("failed", start, None, "Traceback …\nValueError: no\n"),
        ("expired", None, None, None),
    ]
    kept = old.execute("SELECT count(*) FROM pgqueue.finished_jobs WHERE keep_until < now()")
    assert kept == [(0,)]
    assert migrate("django-future", "--apply").counts() == {"jobs": (4, 3, 0, 1)}


def test_arguments_that_are_more_than_data_are_refused(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_future.models import ScheduledJob
    from tests.compat.project.market.tasks import Basket

    put(old, args=pickled((Basket(1),)))
    put(old, args=pickled((Basket(1),)), status="complete")
    put(old, callable_name="os.system", args=pickled(("true",)))
    done = migrate("django-future", "--apply")
    assert (done.code, done.counts()) == (1, {"jobs": (3, 0, 0, 3)})
    why = done.refusals()
    assert "nobody has signed it, so let the old library run it" in why["1"]
    assert "--without-values moves the rest" in why["2"]
    assert "'os.system' may not be run by a job" in why["3"]
    done = migrate("django-future", "--apply", "--without-values")
    assert done.counts() == {"jobs": (3, 0, 1, 2)}
    put(old, callable_name="os.system", status="failed")
    assert migrate("django-future", "--apply").counts() == {"jobs": (4, 1, 1, 2)}
    job = ScheduledJob.objects.earliest("id")
    assert (job.status, job.args, job.kwargs) == ("complete", (), {})


def test_the_table_of_an_older_version_is_read_too(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_future.models import ScheduledJob

    old.execute("ALTER TABLE django_future_scheduledjob DROP COLUMN return_value")
    put(old, status="complete")
    assert migrate("django-future", "--apply", "--delete").report["tables"][0]["deleted"] == 1
    assert ScheduledJob.objects.get().return_value is None
