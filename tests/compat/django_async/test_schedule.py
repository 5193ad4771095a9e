"""Enqueue by schedule() and the model; take back by deschedule()."""

import datetime as dt
import hashlib
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database

#: Of calls whose hash django-async's own users know.
KNOWN = {
    "async.tests.test_models._fn()": "289dbff9c1bd746fc444a20d396986857a6e8f04",
    "async.tests.test_models._fn(k='v', x=None)": "236a244a0cd845bb5a427db495ec830fa4ab9d93",
    "async.tests.test_models._fn('argument', k='v', x=None)":
        "9abc86055107d5b5aa97ea32e098580543680c27",
}  # fmt: skip


class Pair(NamedTuple):
    first: int
    second: int


def test_a_job_is_an_ordinary_row_of_the_queue(market: Database) -> None:
    from pgqueue.compat.django_async import schedule

    at = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    job = schedule(
        f"{TASKS}.echo", [1, "two"], {"b": None}, run_after=at, priority=7, meta={"who": "me"}
    )
    assert (job.name, job.args, job.kwargs) == (f"{TASKS}.echo", '[1, "two"]', '{"b": null}')
    assert (job.meta, job.priority, job.scheduled) == ('{"who": "me"}', 7, at)
    row = native(job)
    assert (row.task, row.args, row.kwargs) == (f"async:{TASKS}.echo", [1, "two"], {"b": None})
    assert (row.queue, row.priority, row.run_at, row.state) == ("async", 7, at, "scheduled")
    read = again(job)
    for name in ("name", "args", "kwargs", "meta", "result", "identity", "scheduled", "added"):
        assert getattr(read, name) == getattr(job, name), name
    assert (read.started, read.executed, read.cancelled, read.group) == (None, None, None, None)
    assert str(read) == f"{TASKS}.echo(1, 'two', b=None)"


def test_defaults(market: Database) -> None:
    from pgqueue.compat.django_async import schedule

    job = again(schedule(f"{TASKS}.nothing"))
    assert (job.args, job.kwargs, job.meta, job.result) == ("[]", "{}", "{}", "")
    assert (job.priority, job.scheduled) == (5, None)
    assert native(job).state == "ready"


def test_functions_by_name_or_themselves(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.api import remove_old_jobs
    from pgqueue.core.errors import ConfigurationError
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import Basket, nothing

    assert schedule(nothing).name == f"{TASKS}.nothing"
    assert schedule(Basket.total).name == f"{TASKS}.Basket.total"
    # By the name that it always had, so that jobs of old and new have one identity.
    assert schedule(remove_old_jobs).name == "async.api.remove_old_jobs"
    with pytest.raises(ConfigurationError):
        schedule(lambda: None)
    with pytest.raises(ConfigurationError):
        schedule(Order().pay)


def test_options_by_position_follow_the_code_not_the_manual(market: Database) -> None:
    from pgqueue.compat.django_async import schedule

    at = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    job = schedule(f"{TASKS}.nothing", None, None, 3, at, "by place", {"a": 1})
    assert (job.priority, job.scheduled, job.group.reference) == (3, at, "by place")
    assert job.meta == '{"a": 1}'
    with pytest.raises(TypeError, match="give what comes after kwargs by name"):
        schedule(f"{TASKS}.nothing", None, None, at)
    with pytest.raises(TypeError, match="unexpected keyword argument 'priorty'"):
        schedule(f"{TASKS}.nothing", priorty=3)
    with pytest.raises(TypeError, match="multiple values for argument 'priority'"):
        schedule(f"{TASKS}.nothing", None, None, 3, priority=3)
    with pytest.raises(TypeError, match="at most 7 positional"):
        schedule(f"{TASKS}.nothing", None, None, 3, at, None, None, 1)


def test_what_may_not_run_is_refused_before_anything_is_sent(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Job
    from pgqueue.compat.paths import PathNotAllowedError

    with pytest.raises(PathNotAllowedError, match=r'PGQUEUE\["ALLOW"\]'):
        schedule("os.system", ["true"])
    with pytest.raises(TypeError):
        schedule(f"{TASKS}.nothing", [object()])
    with pytest.raises(ValueError, match="Out of range float"):
        schedule(f"{TASKS}.nothing", [float("nan")])
    assert Job.objects.count() == 0
    # What does not exist is found out by the worker, as ever.
    assert schedule("my.function", args=(1, 2, 3), kwargs={"key": "value"}).pk


def test_arguments_are_what_json_makes_of_them(market: Database) -> None:
    from pgqueue.compat.django_async import schedule

    given: list[Any] = [(1, 2), Decimal("1.50"), Decimal(3), Pair(1, 2), {1: "a"}, "ü\u2028", 1.0]
    job = again(schedule(f"{TASKS}.echo", given, {"x": {"$t": "tuple", "v": [1]}}))
    assert job.execute() == [
        [[1, 2], 1.5, 3, {"first": 1, "second": 2}, {"1": "a"}, "ü\u2028", 1.0],
        {"x": {"$t": "tuple", "v": [1]}},
    ]
    assert job.args.isascii()
    assert again(job).args == job.args


def test_identity_is_the_hash_of_the_call(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Job, identity_of

    job = Job(name="async.tests.test_models._fn")
    assert identity_of(job) == KNOWN["async.tests.test_models._fn()"]
    job.kwargs = '{"x": null, "k": "v"}'
    assert identity_of(job) == KNOWN["async.tests.test_models._fn(k='v', x=None)"]
    job.args = '["argument"]'
    assert identity_of(job) == KNOWN["async.tests.test_models._fn('argument', k='v', x=None)"]
    made = schedule(f"{TASKS}.echo", [{"long": 1, "b": 2}], {"zz": 1, "a": 2})
    text = f"{TASKS}.echo({{'long': 1, 'b': 2}}, a=2, zz=1)"
    assert made.identity == hashlib.sha1(text.encode()).hexdigest()
    read = again(made)
    read.priority = 1
    read.save()
    # The column brings keys into another order; what a job is called does not change with that.
    assert again(made).identity == made.identity
    read.args = "[1]"
    read.save()
    assert again(made).identity != made.identity


def test_deschedule_cancels_what_is_open(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.api import deschedule
    from tests.compat.project.market.tasks import echo

    one, two, other, done = (schedule(echo, [n]) for n in (1, 1, 2, 1))
    done.execute()
    assert deschedule(f"{TASKS}.echo", [1]) is None
    assert all(again(job).cancelled is not None for job in (one, two))
    assert [native(job).state for job in (one, two)] == ["cancelled", "cancelled"]
    assert (again(other).cancelled, again(done).cancelled) == (None, None)
    deschedule(echo, args=[2])
    assert again(other).cancelled is not None
    # Key order is of no matter, within as well.
    inner = schedule(echo, kwargs={"b": 1, "a": 2})
    deschedule(echo, kwargs={"a": 2, "b": 1})
    assert again(inner).cancelled is not None


def test_deschedule_stops_none_that_runs(market: Database) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.api import deschedule

    job = schedule(f"{TASKS}.nothing")
    states = []

    def meanwhile(ticket: Any) -> None:
        deschedule(f"{TASKS}.nothing")
        states.append(native(job).state)

    ran = here.run(["async"], before=meanwhile)
    assert (states, [one.state for one in ran]) == (["running"], ["succeeded"])
    assert (again(job).cancelled, again(job).result) == (None, "null")


def test_an_enqueue_is_part_of_the_transaction(market: Database) -> None:
    from django.db import transaction

    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Job

    with transaction.atomic():
        schedule(f"{TASKS}.nothing")
        transaction.set_rollback(True)
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"args": "ab"}, "args must be a list or tuple; got a value of type str"),
        ({"args": {"a": 1}}, "args must be a list or tuple; got a value of type dict"),
        ({"kwargs": [1]}, "kwargs must be a dictionary; got a value of type list"),
    ],
)
def test_arguments_of_another_kind(market: Database, words: Any, said: str) -> None:
    from pgqueue.compat.django_async.api import schedule

    with pytest.raises(TypeError, match=said):
        schedule("my.function", **words)
