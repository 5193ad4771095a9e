"""`run_jobs` and `runscheduledjobs`: which jobs run, in what order, and what is kept of them."""

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.conftest import manage, worker
from tests.compat.django_future.conftest import MARKET, NOTE, seconds, statuses
from tests.django_app.conftest import _point
from tests.fixtures.databases import Database

HOUR = dt.timedelta(hours=1)
DAY = 24 * HOUR
FAIL = f"{MARKET}.tasks.fail"
ORDER = f"{MARKET}.tasks.order"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def run(*words: str) -> str:
    """Run the command; gives what it wrote."""
    from django.core.management import call_command

    out = io.StringIO()
    call_command("runscheduledjobs", *words, stdout=out)
    return out.getvalue()


def orders() -> list[str]:
    from tests.compat.project.market.models import Order

    return list(Order.objects.values_list("number", flat=True))


# What runs, and when


def test_what_is_due_runs_by_the_start_of_its_slot(future: Any, calls: list[Any]) -> None:
    for start in (-1, -3, 2, -2):
        future.schedule_job(start * HOUR, NOTE, args=[start])
    assert future.run_jobs() is None
    assert [args for args, _ in calls] == [(-3,), (-2,), (-1,)]
    assert statuses() == ["complete", "complete", "scheduled", "complete"]
    future.run_jobs()
    assert len(calls) == 3


def test_the_time_may_be_another_one(future: Any, calls: list[Any]) -> None:
    job = future.schedule_job("5h", NOTE)
    naive = dt.datetime(2040, 7, 1, 12)
    other = future.schedule_job(naive, NOTE)
    for passed, times in ((3, 0), (4, 0), (6, 1), (7, 1)):
        future.run_jobs(now=now() + passed * HOUR)
        assert len(calls) == times
    # Without a zone it is of the current time zone, as where the job was scheduled.
    future.run_jobs(now=naive - dt.timedelta(seconds=1))
    assert len(calls) == 1
    future.run_jobs(now=naive)
    assert len(calls) == 2
    job.refresh_from_db()
    other.refresh_from_db()
    assert job.status == other.status == "complete"


def test_a_job_does_not_run_after_its_end(future: Any, calls: list[Any]) -> None:
    start = now() + DAY
    future.schedule_job(start, NOTE, expires="5h")
    past = future.schedule_job("-2d", NOTE, expires="1d")
    future.run_jobs()
    past.refresh_from_db()
    assert (past.status, past.error, past.execution_start) == ("expired", None, None)
    # The end is exclusive, and an expired job never runs.
    future.run_jobs(now=start + 5 * HOUR)
    assert statuses() == ["expired", "expired"]
    future.run_jobs(now=start)
    assert calls == []


def test_a_time_that_is_not_now_may_leave_jobs_as_they_are(future: Any, calls: list[Any]) -> None:
    from django.conf import settings
    from django.test import override_settings

    ours = {**settings.PGQUEUE, "DJANGO_FUTURE": {"EXPIRE_BY_NOW": False}}
    with override_settings(PGQUEUE=ours):
        future.schedule_job("3d", NOTE, expires="5d")
        future.run_jobs(now=now() + 9 * DAY)
        assert (calls, statuses()) == ([], ["scheduled"])
        future.run_jobs(now=now() + 7 * DAY)
        assert (len(calls), statuses()) == (1, ["complete"])


def test_jobs_that_are_scheduled_meanwhile_wait_for_the_next_run(
    future: Any, calls: list[Any]
) -> None:
    future.schedule_job("0h", f"{MARKET}.future.again_at_once")
    for times in (1, 2, 3):
        future.run_jobs()
        assert len(calls) == times
    assert statuses() == ["complete"] * 3 + ["scheduled"]


# What is called


def test_arguments_object_and_job_come_in_this_order(
    future: Any, calls: list[Any], new_order: Callable[[str], Any]
) -> None:
    from tests.compat.project.market.tasks import Basket

    order = new_order("1")
    future.schedule_job("0h", NOTE, order, args=[1, Basket(2)], kwargs={"k": 3})
    job = future.schedule_job("0h", f"{MARKET}.future.with_job", order, args=(1,))
    future.run_jobs()
    assert calls[0] == ((order, 1, Basket(2)), {"k": 3})
    name = f"{MARKET}.future.with_job"
    shown, text, key, begun, args = calls[1]
    assert shown == f"<ScheduledJob (running) callable={name!r}>"
    assert (text, key, args) == (name, job.pk, (order, 1))
    assert seconds(begun, now()) < 60
    job.refresh_from_db()
    assert repr(job) == f"<ScheduledJob (complete) callable={name!r}>"


def test_a_name_without_a_dot_is_a_method_of_the_object(
    future: Any, new_order: Callable[[str], Any]
) -> None:
    order = new_order("1")
    paid = future.schedule_job("0h", "pay", content_object=order)
    told = future.schedule_job("0h", "told", content_object=order)
    alone = future.schedule_job("0h", "pay")
    future.run_jobs(ignore_errors=True)
    order.refresh_from_db()
    assert order.paid
    for job in (paid, told, alone):
        job.refresh_from_db()
    assert paid.return_value == "1 is paid"
    assert told.return_value == f"1 by {told.pk}"
    assert alone.error.strip().endswith("'NoneType' object has no attribute 'pay'")


def test_an_object_that_is_gone(
    future: Any, calls: list[Any], new_order: Callable[[str], Any]
) -> None:
    order = new_order("1")
    job = future.schedule_job("0h", NOTE, order, args=[7])
    method = future.schedule_job("0h", "pay", order)
    order.delete()
    future.run_jobs(ignore_errors=True)
    # A function is called without it, a method cannot be.
    assert calls == [((7,), {})]
    method.refresh_from_db()
    job.refresh_from_db()
    assert (job.status, method.status) == ("complete", "failed")
    assert "AttributeError" in method.error


def test_a_falsy_object_is_one_all_the_same(
    future: Any, calls: list[Any], new_order: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = new_order("1")
    monkeypatch.setattr(type(order), "__bool__", lambda self: False, raising=False)
    future.schedule_job("0h", NOTE, order)
    future.run_jobs()
    assert calls == [((order,), {})]


def test_what_cannot_be_found_fails(future: Any) -> None:
    for name in (f"{MARKET}.not_there.yet", f"{MARKET}.future.not_there"):
        job = future.schedule_job("0h", name)
        with pytest.raises(Exception, match="names nothing"):
            future.run_jobs()
        job.refresh_from_db()
        assert job.status == "failed"
        assert "PathNotFoundError" in job.error


# What is kept


def test_what_is_returned_is_kept_as_text(future: Any) -> None:
    names = {
        (NOTE, 7): "7",
        (NOTE, "é"): "é",
        (NOTE, None): None,
        (f"{MARKET}.future.later", "on"): "later on",
        (f"{MARKET}.future.unprintable",): "a\u2400b",
    }
    for name, *args in names:
        future.schedule_job("0h", name, args=args)
    future.run_jobs()
    found = future.ScheduledJob.objects.order_by("id")
    assert [job.return_value for job in found] == list(names.values())
    assert statuses() == ["complete"] * 5


def test_each_job_is_a_transaction_that_an_error_rolls_back(future: Any) -> None:
    good = future.schedule_job("0h", ORDER, args=["1"])
    bad = future.schedule_job("0h", f"{MARKET}.tasks.order_and_fail", args=["2"])
    again = future.schedule_job("0h", f"{MARKET}.future.again_and_fail")
    last = future.schedule_job("0h", f"{MARKET}.future.order_on_commit", args=["3"])
    future.run_jobs(ignore_errors=True)
    assert orders() == ["1", "3"]
    assert future.ScheduledJob.objects.count() == 4
    for job in (good, bad, again, last):
        job.refresh_from_db()
    assert statuses() == ["complete", "failed", "failed", "complete"]
    assert bad.error.startswith("Traceback (most recent call last):\n")
    assert "MarketError: out of stock" in bad.error.splitlines()[-1]
    assert again.error.splitlines()[-1] == "ValueError: fail"
    assert (good.error, good.return_value) == (None, "1")
    assert seconds(bad.execution_start, now()) < 60


def test_the_first_error_ends_the_run_and_is_raised(future: Any) -> None:
    from tests.compat.project.market.tasks import MarketError

    for name, args in ((ORDER, ["1"]), (FAIL, ["no"]), (ORDER, ["2"])):
        future.schedule_job("0h", name, args=args)
    with pytest.raises(MarketError, match="no"):
        future.run_jobs()
    assert statuses() == ["complete", "failed", "scheduled"]
    future.run_jobs()
    assert (orders(), statuses()) == (["1", "2"], ["complete", "failed", "complete"])


def test_delete_completed_deletes_only_what_succeeded(future: Any) -> None:
    for name, args in ((ORDER, ["1"]), (FAIL, ["no"]), (ORDER, ["2"])):
        future.schedule_job("0h", name, args=args)
    run("-d", "-i")
    assert (orders(), statuses()) == (["1", "2"], ["failed"])
    future.schedule_job("0h", ORDER, args=["3"])
    future.run_jobs(delete_completed=True)
    assert statuses() == ["failed"]
    future.schedule_job("0h", FAIL)
    with pytest.raises(Exception, match="out of stock"):
        run("--delete-completed")
    run("--ignore-errors", "--delete-completed")
    assert statuses() == ["failed", "failed"]


def test_a_job_may_save_itself(future: Any) -> None:
    job = future.schedule_job("0h", f"{MARKET}.future.save_and_end")
    future.run_jobs()
    job.refresh_from_db()
    assert (job.status, job.args) == ("complete", ["changed"])


# Two at once


def test_a_job_that_another_runs_is_passed_by(
    future: Any, calls: list[Any], market: Database
) -> None:
    from django.conf import settings
    from django.core.management import CommandError
    from django.test import override_settings

    future.schedule_job("-1h", NOTE, args=["theirs"])
    c = market.connect()
    c.execute("SELECT pgqueue.dequeue(pgqueue.register_worker('other'), '{django_future}')")
    future.schedule_job("0h", NOTE, args=["ours"])
    assert statuses() == ["running", "scheduled"]
    ours = {**settings.PGQUEUE, "DJANGO_FUTURE": {"ONE_RUN_AT_A_TIME": True}}
    with override_settings(PGQUEUE=ours):
        with pytest.raises(ValueError, match="jobs in progress found; aborting"):
            future.run_jobs()
        with pytest.raises(CommandError, match="jobs in progress found; aborting"):
            run()
    assert calls == []
    future.run_jobs()
    assert (calls, statuses()) == ([(("ours",), {})], ["running", "complete"])


def test_within_a_transaction_all_is_part_of_it(future: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        future.schedule_job("0h", ORDER, args=["1"])
        future.schedule_job("0h", f"{MARKET}.tasks.order_and_fail", args=["2"])
        future.run_jobs(ignore_errors=True)
        assert (orders(), statuses()) == (["1"], ["complete", "failed"])
        transaction.set_rollback(True)
    assert (orders(), statuses()) == ([], [])


def test_the_queue_may_be_in_another_database(market: Database, future: Any) -> None:
    from django.conf import settings
    from django.db import connections
    from django.test import override_settings

    from pgqueue.django import framework

    # The same one, over a connection of its own.
    _point("other", market)
    try:
        with override_settings(PGQUEUE={**settings.PGQUEUE, "DATABASE": "other"}):
            framework.install()
            future.schedule_job("0h", ORDER, args=["1"])
            future.schedule_job("0h", f"{MARKET}.tasks.order_and_fail", args=["2"])
            assert future.ScheduledJob.objects.first()._state.db == "other"
            future.run_jobs(ignore_errors=True)
            assert (orders(), statuses()) == (["1"], ["complete", "failed"])
            future.ScheduledJob.objects.first().delete()
            assert statuses() == ["failed"]
    finally:
        connections["other"].close()


# Rescheduling


def test_reschedule_copies_what_is_not_given(future: Any, new_order: Callable[[str], Any]) -> None:
    first, second = new_order("1"), new_order("2")
    job = future.schedule_job("-1d", NOTE, first, "9d", (1,), {"a": 2})
    copy = job.reschedule("3d")
    assert (copy.callable_name, copy.content_object) == (NOTE, first)
    assert (copy.args, copy.kwargs) == ((1,), {"a": 2})
    assert copy.pk != job.pk
    # Not copied: a week is the default.
    assert copy.time_slot_end - copy.time_slot_start == 7 * DAY
    assert seconds(copy.time_slot_start, now() + 3 * DAY) < 60
    other = job.reschedule(
        dt.datetime(2040, 1, 1, tzinfo=dt.UTC), ORDER, second, "1d", ["x"], {"b": 3}
    )
    found = future.ScheduledJob.objects.get(pk=other.pk)
    assert (found.callable_name, found.content_object) == (ORDER, second)
    assert (found.args, found.kwargs) == (["x"], {"b": 3})
    assert found.time_slot_end == dt.datetime(2040, 1, 2, tzinfo=dt.UTC)


def test_reschedule_may_count_from_the_scheduled_time(future: Any) -> None:
    from django.conf import settings
    from django.test import override_settings

    job = future.schedule_job("-1d", NOTE)
    assert seconds(job.reschedule(3 * DAY).time_slot_start, now() + 3 * DAY) < 60
    ours = {**settings.PGQUEUE, "DJANGO_FUTURE": {"RESCHEDULE_FROM": "scheduled"}}
    with override_settings(PGQUEUE=ours):
        for date in ("3d", 3 * DAY):
            assert job.reschedule(date).time_slot_start == job.time_slot_start + 3 * DAY


def test_a_handler_reschedules_its_job(future: Any, calls: list[Any]) -> None:
    future.schedule_job("0h", f"{MARKET}.future.again")
    future.run_jobs()
    future.run_jobs(now=now() + 4 * DAY)
    future.run_jobs(now=now() + 8 * DAY)
    assert calls == [5, 6]


def test_run_calls_the_job_here_and_leaves_its_status(future: Any, calls: list[Any]) -> None:
    job = future.schedule_job("5d", NOTE, args=[3], kwargs={"a": 1})
    assert job.run() == 3
    assert calls == [((3,), {"a": 1})]
    assert statuses() == ["scheduled"]


# Real programs


def test_any_worker_runs_them(market: Database, future: Any) -> None:
    first = future.schedule_job("0h", ORDER, args=["1"])
    second = future.schedule_job("0h", f"{MARKET}.tasks.order_and_fail", args=["2"])
    future.schedule_job("5d", ORDER, args=["3"])
    for task in ("os.system", "_hidden"):
        market.execute(
            "INSERT INTO pgqueue.jobs (task, queue, meta, expires_at) "
            "VALUES (%s, 'django_future', %s, now() + interval '1 d')",
            [f"django_future:{task}", '{"django_future": {}}'],
        )
    done = worker(market)
    assert done.returncode == 0, done.stderr
    assert orders() == ["1"]
    assert statuses() == ["complete", "failed", "scheduled", "failed", "failed"]
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.return_value == "1"
    assert second.error.splitlines()[-1].endswith("MarketError: out of stock")
    for job in future.ScheduledJob.objects.order_by("id")[3:]:
        assert "PathNotAllowedError" in job.error


def test_the_command_runs_them(market: Database, future: Any) -> None:
    future.schedule_job("0h", FAIL)
    future.schedule_job("0h", ORDER, args=["1"])
    failed = manage(market, "runscheduledjobs")
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr
    assert failed.stderr.strip().endswith("MarketError: out of stock")
    assert statuses() == ["failed", "scheduled"]
