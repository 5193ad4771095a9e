"""Run a job: one transaction with its finish; failures come back later, and lower."""

import datetime as dt
import json
import logging

import pytest

from tests.compat.conftest import worker
from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database


def delay(errors: int) -> float:
    return float(60 * errors**1.6)


def test_it_gives_what_the_function_returns(market: Database) -> None:
    from pgqueue.compat.django_async import schedule

    job = schedule(f"{TASKS}.echo", ["async-test-user"], {"result": (1, "something")})
    assert job.execute() == [["async-test-user"], {"result": [1, "something"]}]
    assert job.result == '[["async-test-user"], {"result": [1, "something"]}]'
    assert job.started <= job.executed
    assert again(job).executed == job.executed
    assert native(job).state == "succeeded"
    nothing = schedule(f"{TASKS}.nothing")
    assert (nothing.execute(), nothing.result) == (None, "null")
    assert schedule(f"{TASKS}.Basket.total", [1, 2]).execute() == 3
    assert schedule("math.floor", [2.5]).execute() == 2


def test_one_that_was_never_saved_or_is_over_or_later_runs_too(market: Database) -> None:
    from django.utils import timezone

    from pgqueue.compat.django_async.models import Job

    job = Job(name=f"{TASKS}.order", args='["1"]')
    job.execute()
    assert again(job).executed is not None
    before = job.executed
    job.execute()
    assert job.executed > before
    later = Job(name=f"{TASKS}.order", scheduled=timezone.now() + dt.timedelta(days=1))
    later.args = '["2"]'
    later.execute()
    assert later.executed is not None
    later.name = f"{TASKS}.echo"
    assert later.execute() == [["2"], {}]
    from tests.compat.project.market.models import Order

    assert list(Order.objects.values_list("number", flat=True)) == ["1", "1", "2"]


def test_one_that_was_cancelled_runs_all_the_same(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.api import deschedule

    job = schedule(f"{TASKS}.nothing", meta={"is": "passed by"})
    deschedule(f"{TASKS}.nothing")
    job = again(job)
    assert job.cancelled is not None
    job.execute()
    assert (again(job).cancelled, again(job).executed) == (None, job.executed)
    assert again(job).meta == '{"is": "passed by"}'


def test_a_failure_undoes_the_work_and_comes_back_later_and_lower(market: Database) -> None:
    from django.utils import timezone

    from pgqueue.compat.django_async import schedule
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import MarketError

    job = schedule(f"{TASKS}.order_and_fail", ["1"])
    for errors in (1, 2, 3):
        with pytest.raises(MarketError):
            job.execute()
        assert Order.objects.count() == 0
        assert (job.priority, job.started, job.executed) == (5 - errors, None, None)
        wait = (job.scheduled - timezone.now()).total_seconds()
        assert delay(errors) - 30 < wait <= delay(errors)
        assert native(job).state == "scheduled"
    errors = list(job.errors.order_by("id"))
    assert [error.exception for error in errors] == ["MarketError('out of stock')"] * 3
    assert "project/market/tasks.py" in errors[0].traceback
    assert "out of stock" in errors[0].traceback
    # When it falls due it still tells since when, and it may yet succeed.
    due = job.scheduled
    market.execute("SELECT pgqueue.promote(at => clock_timestamp() + interval '1 day')")
    assert native(job).state == "ready"
    assert again(job).scheduled == due
    job = again(job)
    job.name = f"{TASKS}.order"
    job.save()
    job.execute()
    assert (again(job).priority, again(job).scheduled) == (2, due)
    # And whoever moves it has the last word.
    job.executed = job.scheduled = None
    job.save()
    assert (again(job).scheduled, native(job).state) == (None, "ready")


def test_there_is_no_last_attempt(market: Database) -> None:
    from pgqueue.compat.django_async import running
    from pgqueue.compat.django_async.models import Job
    from tests.compat.project.market.tasks import MarketError

    assert [round(running.delay(n) / 60, 1) for n in range(1, 6)] == [1, 3.0, 5.8, 9.2, 13.1]
    job = Job.objects.create(name=f"{TASKS}.fail", priority=-32767)
    for _ in range(3):
        with pytest.raises(MarketError):
            job.execute()
    assert (again(job).priority, native(job).state) == (-32768, "scheduled")


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("my.function", [], "PathNotFoundError"),
        ("os.getpid", [], "PathNotAllowedError"),
        (f"{TASKS}.fill", [1], "TypeError"),
        (f"{TASKS}.order", [], "TypeError"),
        ("sys.exit", [3], "SystemExit"),
    ],
)
def test_whatever_goes_wrong_is_a_failure(
    market: Database, name: str, args: list[object], error: str
) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_async import plain
    from pgqueue.compat.django_async.models import Job

    job = Job.objects.create(name=name, args=plain.dumps(args))
    allow = {"ALLOW": ["sys.exit"]}
    with override_settings(PGQUEUE=allow), pytest.raises(BaseException) as caught:
        job.execute()
    assert type(caught.value).__name__ == error
    assert native(job).state == "scheduled"
    assert job.errors.get().exception.startswith(f"{error}(")


def test_exceptions_are_shown_as_python_writes_them(market: Database) -> None:
    from pgqueue.compat.django_async.models import Job
    from tests.compat.project.market.tasks import MarketError

    for text in ("plain", "it's", 'a "word"', 'it\'s a "word"', "back\\slash", "two\nlines"):
        job = Job.objects.create(name=f"{TASKS}.fail", args=json.dumps([text]))
        with pytest.raises(MarketError):
            job.execute()
        assert job.errors.get().exception == repr(MarketError(text))


def test_one_that_runs_elsewhere_is_not_run_twice(market: Database) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async import schedule
    from pgqueue.core.errors import JobStateError

    job = schedule(f"{TASKS}.order", ["1"])

    def meanwhile(_ticket: object) -> None:
        with pytest.raises(JobStateError, match="must not be running"):
            again(job).execute()

    (ran,) = here.run(["async"], before=meanwhile)
    assert ran.state == "succeeded"


def test_inside_a_transaction(market: Database) -> None:
    from django.db import transaction

    from pgqueue.compat.django_async import schedule
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import MarketError

    with transaction.atomic():
        good = schedule(f"{TASKS}.order", ["1"])
        good.execute()
        bad = schedule(f"{TASKS}.order_and_fail", ["2"])
        with pytest.raises(MarketError):
            bad.execute()
    assert list(Order.objects.values_list("number", flat=True)) == ["1"]
    assert (again(good).executed is not None, again(bad).errors.count()) == (True, 1)


def test_arguments_do_not_get_into_the_log(
    market: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from pgqueue.compat.django_async import schedule

    caplog.set_level(logging.DEBUG)
    job = schedule(f"{TASKS}.echo", ["a secret"])
    job.execute()
    assert f"{job.pk} {TASKS}.echo" in caplog.text
    assert "a secret" not in caplog.text


def test_a_worker_runs_them(market_db: Database) -> None:
    """Beside all others: nothing is needed but the worker that there is."""
    market_db.execute(
        "INSERT INTO pgqueue.async_jobs (name, args, priority) VALUES"
        " (%(t)s || '.order', '[\"1\"]', 5), (%(t)s || '.order_and_fail', '[\"2\"]', 5)",
        {"t": TASKS},
    )
    done = worker(market_db)
    assert done.returncode == 0, done.stderr
    rows = market_db.execute(
        "SELECT executed IS NOT NULL, priority, scheduled > added + interval '50 s', result"
        " FROM pgqueue.async_jobs ORDER BY id"
    )
    assert [row[:3] for row in rows] == [(True, 5, None), (False, 4, True)]
    assert rows[0][3] == "1"
    assert market_db.execute("SELECT number FROM market_order") == [("1",)]
    assert market_db.execute("SELECT exception FROM pgqueue.async_errors") == [
        ("MarketError('out of stock')",)
    ]
