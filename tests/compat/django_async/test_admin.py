"""The admin pages: what they show, and how many queries that takes."""

from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database


@pytest.fixture
def browser(market: Database) -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="x"))
    return client


def page(browser: Any, name: str, *args: Any) -> str:
    from django.urls import reverse

    answer = browser.get(reverse(f"admin:async_{name}", args=args))
    assert answer.status_code == 200
    return str(answer.content.decode())


def fill(number: int, first: int = 0) -> Any:
    from pgqueue.compat.django_async import schedule
    from tests.compat.project.market.tasks import MarketError

    for n in range(first, first + number):
        done = schedule(f"{TASKS}.echo", [n], group=f"group-{n}")
        failed = schedule(f"{TASKS}.fail", group=f"group-{n}")
        done.execute()
        with pytest.raises(MarketError):
            failed.execute()
    return failed


@pytest.mark.parametrize("name", ["job", "group", "error"])
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(browser: Any, name: str) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for first in (0, 3):
        fill(3, first)
        page(browser, f"{name}_changelist")
        with CaptureQueriesContext(connection) as queries:
            page(browser, f"{name}_changelist")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5, counts


def test_jobs(browser: Any) -> None:
    from pgqueue.compat.django_async import schedule

    failed = fill(1)
    found = page(browser, "job_changelist")
    assert f"{TASKS}.echo(0)" in found
    assert "group-0" in found
    found = page(browser, "job_change", failed.pk)
    assert "out of stock" in found
    assert "project/market/tasks.py" in found
    # One without a group is shown, too.
    schedule(f"{TASKS}.nothing")
    assert f"{TASKS}.nothing()" in page(browser, "job_changelist")


def test_display_group(market: Database) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.admin import display_group

    assert display_group(schedule(f"{TASKS}.nothing", group="nothing")) == "nothing"
    assert display_group(schedule(f"{TASKS}.nothing")) is None


def test_groups_have_their_counts(browser: Any) -> None:
    from pgqueue.compat.django_async.models import Group

    fill(1)
    found = page(browser, "group_changelist")
    assert 'field-executed_jobs">1<' in found
    assert 'field-unexecuted_jobs">1<' in found
    page(browser, "group_change", Group.objects.get().pk)


def test_errors(browser: Any) -> None:
    failed = fill(1)
    assert "MarketError(&#x27;out of stock&#x27;)" in page(browser, "error_changelist")
    page(browser, "error_change", failed.errors.get().pk)


def test_a_job_is_made_changed_and_deleted_by_form(browser: Any) -> None:
    from django.urls import reverse

    from pgqueue.compat.django_async.models import Job

    lines = {f"errors-{word}": 0 for word in ("TOTAL_FORMS", "INITIAL_FORMS")}
    words = {
        "name": f"{TASKS}.echo", "args": "[1]", "kwargs": "{}", "meta": "{}", "result": "",
        "priority": 5, "group": "", **lines,
        **{f"{name}_{n}": "" for name in ("scheduled", "started", "executed", "cancelled")
           for n in (0, 1)},
    }  # fmt: skip
    answer = browser.post(reverse("admin:async_job_add"), words)
    assert answer.status_code == 302, answer.content.decode()
    job = Job.objects.get()
    assert (native(job).state, native(job).args) == ("ready", [1])
    change = reverse("admin:async_job_change", args=[job.pk])
    moved = {"scheduled_0": "2040-01-01", "scheduled_1": "00:00:00", "priority": 9}
    assert browser.post(change, {**words, **moved}).status_code == 302
    assert (native(job).state, native(job).priority) == ("scheduled", 9)
    assert again(job).scheduled.year in (2039, 2040)
    gone = browser.post(reverse("admin:async_job_delete", args=[job.pk]), {"post": "yes"})
    assert (gone.status_code, Job.objects.count()) == (302, 0)


def test_permissions_have_their_old_names(market: Database) -> None:
    from django.contrib.auth.models import Permission

    found = Permission.objects.filter(content_type__app_label="async")
    assert {one.codename for one in found} >= {
        f"{act}_{name}" for act in ("add", "change", "delete", "view")
        for name in ("job", "group", "error")
    }  # fmt: skip
