"""`schedule_job`: what it takes, what it refuses, and what stands in the queue then."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.django_future.conftest import MARKET, NOTE, seconds
from tests.fixtures.databases import Database

DAY = dt.timedelta(days=1)


def test_a_datetime_is_used_as_it_is(future: Any) -> None:
    start = dt.datetime(2040, 10, 10, 8, tzinfo=dt.UTC)
    job = future.schedule_job(start, NOTE)
    assert (job.time_slot_start, job.time_slot_end) == (start, start + 7 * DAY)
    job.refresh_from_db()
    assert (job.time_slot_start, job.time_slot_end) == (start, start + 7 * DAY)


def test_one_without_a_zone_is_of_the_current_time_zone(future: Any) -> None:
    from django.utils import timezone

    naive = dt.datetime(2040, 7, 1, 12)
    with timezone.override("America/New_York"):
        job = future.schedule_job(naive, NOTE, expires=dt.datetime(2040, 7, 2))
    job.refresh_from_db()
    assert job.time_slot_start == dt.datetime(2040, 7, 1, 16, tzinfo=dt.UTC)
    assert job.time_slot_end == dt.datetime(2040, 7, 2, 4, tzinfo=dt.UTC)
    # The project's is Europe/Vienna.
    job = future.schedule_job(naive, NOTE)
    assert job.time_slot_start == dt.datetime(2040, 7, 1, 10, tzinfo=dt.UTC)
    day = future.schedule_job(dt.date(2040, 7, 1), NOTE)
    assert day.time_slot_start == dt.datetime(2040, 6, 30, 22, tzinfo=dt.UTC)
    job.time_slot_start = naive + DAY
    job.save()
    job.refresh_from_db()
    assert job.time_slot_start == dt.datetime(2040, 7, 2, 10, tzinfo=dt.UTC)


def test_times_without_time_zone_support(future: Any, calls: list[Any]) -> None:
    from django.db import connection
    from django.test import override_settings

    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Vienna"):
        connection.close()
        job = future.schedule_job(dt.datetime(2040, 7, 1, 12), NOTE)
        aware = future.schedule_job(dt.datetime(2040, 7, 1, 10, tzinfo=dt.UTC), NOTE)
        due = future.schedule_job("0h", NOTE)
        for found in (job, aware):
            found.refresh_from_db()
            assert found.time_slot_start == dt.datetime(2040, 7, 1, 12)
        future.run_jobs()
        assert len(calls) == 1
        due.refresh_from_db()
        assert due.status == "complete"
        future.run_jobs(now=dt.datetime(2040, 7, 1, 12))
        assert len(calls) == 3
    connection.close()


def test_offsets_count_from_now(future: Any) -> None:
    from django.utils import timezone

    lengths = {
        "5m": dt.timedelta(minutes=5),
        "3h": dt.timedelta(hours=3),
        "5d": 5 * DAY,
        "2w": 14 * DAY,
        "0h": dt.timedelta(),
        "-5d": -5 * DAY,
    }
    for offset, length in lengths.items():
        assert future.parse_timedelta(offset) == length
        for date in (offset, length):
            job = future.schedule_job(date, NOTE)
            assert seconds(job.time_slot_start, timezone.now() + length) < 60
            assert job.time_slot_end - job.time_slot_start == 7 * DAY


def test_offsets_that_are_none(future: Any) -> None:
    from pgqueue.compat.django_future.utils import parse_timedelta

    errors: dict[str, type[Exception]] = {
        "5x": KeyError, "5s": KeyError, "d": ValueError, "xd": ValueError, "": ValueError,
        "1d12h": ValueError, "1.5h": ValueError,
    }  # fmt: skip
    for offset, error in errors.items():
        with pytest.raises(error):
            parse_timedelta(offset)
        with pytest.raises(error):
            future.schedule_job(offset, NOTE)
        with pytest.raises(error):
            future.schedule_job("1d", NOTE, expires=offset or " ")
    assert not future.ScheduledJob.objects.exists()


def test_a_date_that_is_none(future: Any) -> None:
    with pytest.raises(TypeError, match="date must be a datetime, a timedelta or an offset"):
        future.schedule_job(5, NOTE)


def test_keyword_arguments_are_a_dictionary(future: Any) -> None:
    with pytest.raises(TypeError, match="kwargs must be a dictionary; got a value of type list"):
        future.schedule_job("5d", NOTE, kwargs=[1])


def test_a_callable_is_a_name(future: Any) -> None:
    for name in ("", None, 7, print):
        with pytest.raises(AssertionError):
            future.schedule_job("5d", name)


def test_a_name_is_not_resolved_when_it_is_scheduled(future: Any) -> None:
    job = future.schedule_job("5d", f"{MARKET}.not_there.yet")
    assert job.status == "scheduled"


def test_what_may_not_run_is_not_scheduled(future: Any) -> None:
    refusals = {
        "os.system": r"add 'os.system' to PGQUEUE\[\"ALLOW\"\]",
        "collections.abc.Iterable": "may not be run by a job",
        f"{MARKET}.future.__dict__": "may not be run by a job",
        "_hidden": "does not begin with an underscore",
        "a-b": "is that of a method of the content object",
    }
    for name, words in refusals.items():
        with pytest.raises(Exception, match=words) as caught:
            future.schedule_job("5d", name)
        assert type(caught.value).__name__ == "PathNotAllowedError"
    assert not future.ScheduledJob.objects.exists()


def test_methods_are_those_of_the_projects_own_models(
    future: Any, new_order: Callable[[str], Any], market: Database
) -> None:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.contrib.contenttypes.models import ContentType
    from django.test import override_settings

    from pgqueue.compat.paths import PathNotAllowedError

    user, order = User.objects.create_user("anna"), new_order("1")
    for name in ("email_user", "delete"):
        with pytest.raises(PathNotAllowedError, match=f"django.contrib.auth.models.User.{name}"):
            future.schedule_job("0h", name, content_object=user)
    # As a row that came by SQL would have it.
    job = future.schedule_job("0h", "delete", content_object=order)
    kind = ContentType.objects.get_for_model(user)
    future.ScheduledJob.objects.update(content_type=kind, object_id=user.pk)
    future.run_jobs(ignore_errors=True)
    job.refresh_from_db()
    assert job.status == "failed"
    assert "PathNotAllowedError" in job.error
    assert User.objects.filter(pk=user.pk).exists()
    # What the project's own model has inherited is its own.
    future.schedule_job("0h", "delete", content_object=order)
    allowed = ["django.contrib.auth.models.User.delete"]
    with override_settings(PGQUEUE={**settings.PGQUEUE, "ALLOW": allowed}):
        future.schedule_job("0h", "delete", content_object=user)
        future.run_jobs()
    assert not type(order).objects.exists()
    assert not User.objects.exists()


def test_expiry_counts_from_the_scheduled_time(future: Any) -> None:
    start = dt.datetime(2040, 10, 10, tzinfo=dt.UTC)
    for expires in ("3d", 3 * DAY, start + 3 * DAY):
        job = future.schedule_job(start, NOTE, expires=expires)
        assert job.time_slot_end == start + 3 * DAY


def test_a_job_needs_an_end(future: Any) -> None:
    from django.db import IntegrityError

    for expires in (None, "", 0):
        with pytest.raises(IntegrityError, match="time_slot_end must be given"):
            future.schedule_job("5d", NOTE, expires=expires)


def test_parameters_come_back_as_they_were(future: Any) -> None:
    from tests.compat.project.market.tasks import Basket

    plain = future.schedule_job("5d", NOTE)
    assert (plain.args, plain.kwargs) == ((), {})
    given = [1, {"a": dt.datetime(2040, 1, 1, tzinfo=dt.UTC), "b": {1, 2}}, (2,)]
    for args in (given, tuple(given), [*given, Basket(1)], (Basket(2),)):
        job = future.schedule_job("5d", NOTE, args=args, kwargs={"basket": Basket(3), "n": 4})
        found = future.ScheduledJob.objects.get(pk=job.pk)
        assert found.args == args
        assert found.kwargs == {"basket": Basket(3), "n": 4}
    found = future.ScheduledJob.objects.get(pk=plain.pk)
    assert (found.args, found.kwargs) == ((), {})
    found.args = None
    found.save()
    assert future.ScheduledJob.objects.get(pk=plain.pk).args == []


def test_pickles_can_be_turned_off(future: Any) -> None:
    from django.conf import settings
    from django.test import override_settings

    from pgqueue import NotSerializableError
    from tests.compat.project.market.tasks import Basket

    with (
        override_settings(PGQUEUE={**settings.PGQUEUE, "PICKLE": False}),
        pytest.raises(NotSerializableError, match=r'PGQUEUE\["PICKLE"\] is False'),
    ):
        future.schedule_job("5d", NOTE, args=[Basket(1)])


def test_a_content_object(future: Any, new_order: Callable[[str], Any]) -> None:
    from django.contrib.contenttypes.models import ContentType

    order = new_order("1")
    job = future.schedule_job("5d", NOTE, content_object=order)
    found = future.ScheduledJob.objects.get()
    kind = ContentType.objects.get_for_model(order)
    assert (found.content_type, found.object_id, found.content_object) == (kind, order.pk, order)
    assert list(future.ScheduledJob.objects.filter(content_type=kind, object_id=order.pk)) == [job]
    assert list(future.ScheduledJob.objects.prefetch_related("content_object")) == [job]
    with pytest.raises(ValueError, match="unsaved related object"):
        future.schedule_job("5d", NOTE, content_object=type(order)(number="new"))


def test_any_primary_key_is_kept_as_text(future: Any, market: Database) -> None:
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    for key in ("007", "7", "a" * 32):
        session = Session.objects.create(
            session_key=key, session_data="", expire_date=timezone.now()
        )
        job = future.schedule_job("5d", NOTE, content_object=session)
        job.refresh_from_db()
        assert job.content_object == session
    assert job.object_id == "a" * 32
    query = "SELECT meta -> 'django_future' ->> 'object_id' FROM pgqueue.jobs ORDER BY id"
    assert market.execute(query) == [("007",), ("7",), ("a" * 32,)]


def test_a_job_is_part_of_the_transaction_and_of_the_queue(future: Any, market: Database) -> None:
    from django.db import transaction

    from pgqueue.django.models import Job

    with transaction.atomic():
        future.schedule_job("5d", NOTE, args=[1], kwargs={"a": 2})
        transaction.set_rollback(True)
    assert not future.ScheduledJob.objects.exists()
    future.schedule_job("5d", NOTE, args=[1], kwargs={"a": 2})
    query = "SELECT task, args, kwargs, queue, state FROM pgqueue.job_overview"
    assert market.execute(query) == [
        (f"django_future:{NOTE}", [1], {"a": 2}, "django_future", "scheduled")
    ]
    assert Job.objects.get().queue == "django_future"
