"""What is told of the queue: health(), estimates, queue_health; and what is deleted."""

import datetime as dt
import io
import json
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS, again
from tests.fixtures.databases import Database


@pytest.fixture
def now(market: Database, monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    """The time it is, for estimates and for what is old."""
    from django.utils import timezone

    from pgqueue.compat.django_async import api, stats

    at: dt.datetime = timezone.now()
    monkeypatch.setattr(api, "_get_now", lambda: at)
    monkeypatch.setattr(stats, "_get_now", lambda: at)
    return at


def add(name: str = "nothing", **values: Any) -> Any:
    from pgqueue.compat.django_async.models import Job

    return Job.objects.create(name=f"{TASKS}.{name}", **values)


def ran(at: dt.datetime, seconds: float, name: str = "nothing", **values: Any) -> Any:
    return add(name, started=at, executed=at + dt.timedelta(seconds=seconds), **values)


def test_health(now: dt.datetime) -> None:
    from pgqueue.compat.django_async.api import health
    from pgqueue.compat.django_async.models import Error

    hour = dt.timedelta(hours=1)
    old, new = ran(now - 2 * hour, 5), ran(now - hour, 5, "echo")
    gone, just_gone = add(cancelled=now - hour), add("echo", cancelled=now)
    add("order"), add("order")
    Error.objects.create(job=old, exception="First", traceback="None")
    found = health()
    link = "/slumber/async/Job/data/{}/".format
    assert found["errors"] == {"number": 1}
    assert found["queue"] == {
        "all-jobs": 6,
        "executed": 2,
        "executed-details": {f"{TASKS}.nothing": {"count": 1}, f"{TASKS}.echo": {"count": 1}},
        "oldest-executed": link(old.pk),
        "most-recent-executed": link(new.pk),
        "remaining": 2,
        "not-executed": 2,
        "not-executed-details": {f"{TASKS}.order": {"count": 2}},
        "cancelled": 2,
        "oldest-cancelled": link(gone.pk),
        "most-recent-cancelled": link(just_gone.pk),
        "cancelled-details": {f"{TASKS}.nothing": {"count": 1}, f"{TASKS}.echo": {"count": 1}},
        "estimated-completion-current-job": 0,
        "estimated-completion": 10.0,
    }
    assert health(lambda: 7)["queue"]["estimated-completion"] == 7


def test_health_of_an_empty_queue_and_without_addresses(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_async import api

    found = api.health()["queue"]
    assert (found["all-jobs"], found["oldest-executed"], found["executed-details"]) == (0, None, {})
    add(executed=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    with override_settings(ROOT_URLCONF="django.contrib.auth.urls"):
        assert api.health()["queue"]["oldest-executed"] is None


def test_grouped_aggregates(now: dt.datetime) -> None:
    from pgqueue.compat.django_async import api
    from pgqueue.compat.django_async.models import Job

    ran(now, 1), ran(now, 1), add("echo")
    assert api.get_grouped_aggregate("executed") == {f"{TASKS}.nothing": {"count": 2}}
    assert api.get_grouped_aggregate("executed", complement=True) == {f"{TASKS}.echo": {"count": 1}}
    assert api.get_first(Job.objects.filter(name="no")) is None
    assert api.get_first(Job.objects.order_by("-id")).name == f"{TASKS}.echo"


def test_rough_estimate(now: dt.datetime) -> None:
    from pgqueue.compat.django_async import stats

    at = now - dt.timedelta(hours=7)
    ran(at, 5, scheduled=at)
    ran(at, 7, "echo", scheduled=at - dt.timedelta(seconds=3))
    ran(at, 25, "order")
    ran(at - dt.timedelta(days=2), 1000, "order")
    add("order")
    assert stats.estimate_rough_queue_completion() == 13.33
    add(started=now)  # it runs
    assert stats.estimate_rough_queue_completion() == 13.33


def test_estimate_of_the_job_that_runs(now: dt.datetime) -> None:
    from pgqueue.compat.django_async import stats

    assert stats.estimate_current_job_completion() == 0
    ran(now, 5)
    assert stats.estimate_current_job_completion() == 0
    add(started=now - dt.timedelta(seconds=3))
    assert stats.estimate_current_job_completion() == 2.0
    add("echo", started=now - dt.timedelta(seconds=3))
    assert stats.estimate_current_job_completion() == 2.0


def test_precise_estimate(now: dt.datetime) -> None:
    from pgqueue.compat.django_async import stats
    from pgqueue.compat.django_async.models import Group

    ran(now, 5), ran(now, 10, "echo"), ran(now, 8.4, "echo")
    add(), add("echo"), add()
    assert stats._estimate_completion_ungrouped() == pytest.approx(19.2)
    assert stats.estimate_queue_completion() == 19.2
    group = Group.objects.create(reference="a", created=now)
    Group.objects.filter(pk=group.pk).update(created=now)
    done, other = add(group=group), add(group=group)
    for job in (done, other):
        job.started, job.executed = now, now + dt.timedelta(seconds=5)
        job.save()
    assert stats.estimate_queue_completion() == 24.2


def command(**options: Any) -> Any:
    from django.core.management import call_command

    out = io.StringIO()
    call_command("queue_health", stdout=out, **options)
    return json.loads(out.getvalue())


def test_queue_health(now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.management import CommandError

    from pgqueue.compat.django_async import api, stats
    from pgqueue.compat.django_async.management.commands import queue_health

    ran(now, 5), add(), add("echo")
    assert command() == command(algorithm="precise") == api.health(stats.estimate_queue_completion)
    assert command(algorithm="rough") == api.health()
    assert command(algorithm="rough") != command()
    with pytest.raises(CommandError, match="Unknown option for estimation algorithm"):
        command(algorithm="hello")
    # As tests of old put something in its place.
    monkeypatch.setattr(queue_health, "dumps", lambda found: json.dumps(found["errors"]))
    assert command() == {"number": 0}


# remove_old_jobs


def test_old_jobs_are_removed_and_the_next_look_is_scheduled(now: dt.datetime) -> None:
    from pgqueue.compat.django_async.api import remove_old_jobs
    from pgqueue.compat.django_async.models import Error, Job

    day = dt.timedelta(days=1)
    old, gone = add(executed=now - 31 * day), add(cancelled=now - 31 * day)
    kept = [add(executed=now - 29 * day), add(cancelled=now - 29 * day), add(added=now - 99 * day)]
    for job in (old, kept[0]):
        Error.objects.create(job=job, exception="Error", traceback="code stack")
    assert remove_old_jobs() is None
    found = list(Job.objects.order_by("id"))
    assert found[:-1] == kept
    assert not Job.objects.filter(pk__in=[old.pk, gone.pk]).exists()
    assert Error.objects.get().job == kept[0]
    following = found[-1]
    assert (following.name, following.args) == ("async.api.remove_old_jobs", "[30, 8]")
    assert following.scheduled == now + dt.timedelta(hours=8)


def test_it_runs_as_a_job_and_schedules_itself_again_and_again(now: dt.datetime) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.api import deschedule, remove_old_jobs
    from pgqueue.compat.django_async.models import Job

    first = schedule(remove_old_jobs, args=[2, 8])
    assert [one.state for one in here.run(["async"])] == ["succeeded"]
    assert Job.objects.filter(name="async.api.remove_old_jobs").count() == 2
    second = Job.objects.exclude(pk=first.pk).get()
    assert (second.identity, second.executed) == (first.identity, None)
    deschedule("async.api.remove_old_jobs", args=[2, 8])
    assert again(second).cancelled is not None


@pytest.mark.parametrize(
    ("ages", "removed"), [([31], True), ([16], False), ([45, 16], False), ([None], False),
                          ([45, None], False), ([31, 45], True)],
)  # fmt: skip
@pytest.mark.parametrize("how", ["executed", "cancelled"])
def test_groups_go_as_a_whole(
    now: dt.datetime, ages: list[int | None], removed: bool, how: str
) -> None:
    from pgqueue.compat.django_async.api import remove_old_jobs
    from pgqueue.compat.django_async.models import Group, Job

    group = Group.objects.create(reference="of-jobs")
    jobs = [add(group=group) for _ in ages]
    for job, days in zip(jobs, ages, strict=True):
        if days is not None:
            setattr(job, how, now - dt.timedelta(days=days))
            job.save()
    Group.objects.create(reference="empty")
    remove_old_jobs()
    assert Group.objects.filter(reference="of-jobs").exists() is not removed
    assert Job.objects.count() == 1 + (0 if removed else len(ages))
    assert Group.objects.filter(reference="empty").exists()


def test_what_is_over_is_kept_until_somebody_removes_it(market: Database) -> None:
    from django.apps import apps
    from django.core.management import call_command
    from django.test import override_settings

    query = "SELECT retention_succeeded > '36500 days' FROM pgqueue.queues WHERE name = 'async'"
    assert market.execute(query) == [(True,)]
    job = add()
    job.execute()
    market.execute("SELECT pgqueue.prune(at => clock_timestamp() + interval '90 years')")
    assert again(job) == job
    # Unless the settings say something else.
    market.execute("DELETE FROM pgqueue.queues")
    assert apps.is_installed("pgqueue.compat.django_async")
    with override_settings(PGQUEUE={"QUEUES": {"async": {"retention": "3d"}}}):
        call_command("migrate", verbosity=0)
    assert market.execute(query) != [(True,)]
