"""The admin: the old page, with its list, filter, date hierarchy and form."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.django_future.conftest import MARKET, NOTE, statuses
from tests.fixtures.databases import Database

LIST = "/admin/django_future/scheduledjob/"


@pytest.fixture
def root(future: Any) -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"Accept-Language": "en"})
    client.force_login(User.objects.create_superuser("root", password="root"))
    return client


def page(client: Any, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response
    return str(response.content.decode())


def form(**words: str) -> dict[str, str]:
    return {
        "status": "scheduled",
        "time_slot_start_0": "2040-10-10",
        "time_slot_start_1": "08:00:00",
        "time_slot_end_0": "2040-10-17",
        "time_slot_end_1": "08:00:00",
        "callable_name": NOTE,
        "content_type": "",
        "object_id": "",
        **words,
    }


def test_the_addresses_are_the_old_ones(future: Any) -> None:
    from django.urls import reverse

    assert reverse("admin:django_future_scheduledjob_changelist") == LIST
    assert reverse("admin:django_future_scheduledjob_change", args=[1]) == f"{LIST}1/change/"


def test_the_list(root: Any, future: Any, new_order: Callable[[str], Any]) -> None:
    from django.contrib import admin

    from tests.compat.project.market.tasks import Basket

    known = admin.site._registry[future.ScheduledJob]
    assert (known.date_hierarchy, known.list_filter) == ("time_slot_start", ("status",))
    # Days are what the hierarchy offers within a month, whichever it is today.
    start = dt.datetime(2040, 10, 10, tzinfo=dt.UTC)
    future.schedule_job(start, NOTE, args=["the argument", Basket(1)])
    future.schedule_job(start, f"{MARKET}.tasks.fail", kwargs={"message": "no"})
    future.schedule_job(start, f"{MARKET}.tasks.nothing", kwargs={"password": "hush"})
    gone = new_order("1")
    future.schedule_job(start + dt.timedelta(days=5), NOTE, args=[gone])
    gone.delete()
    future.run_jobs(ignore_errors=True, now=start)
    shown = page(root, LIST)
    for words in (
        '<strong style="color: #006e2e">Complete</strong>',
        '<strong style="color: #b02b2c">Failed</strong>',
        '<strong style="color: inherit">Scheduled</strong>',
        "the argument",
        "cannot be read",
        "?status__exact=expired",
        "time_slot_start__day",
    ):
        assert words in shown, words
    assert "hush" not in shown
    assert NOTE not in page(root, f"{LIST}?status__exact=failed").partition("result_list")[2]
    assert page(root, f"{LIST}?q=nothing").count("field-colorful_status") == 1


def test_a_job_is_added_and_changed(root: Any, future: Any, calls: list[Any]) -> None:
    from django.contrib.contenttypes.models import ContentType

    shown = page(root, f"{LIST}add/")
    for title in ("Schedule", "Job"):
        assert re.search(rf"<h2[^>]*>\s*{title}\s*</h2>", shown)
    assert root.post(f"{LIST}add/", form()).status_code == 302
    job = future.ScheduledJob.objects.get()
    assert (job.callable_name, job.status, job.args) == (NOTE, "scheduled", [])
    address = f"{LIST}{job.pk}/change/"
    assert f"/admin/pgqueue/job/{job.pk}/change/" in page(root, address)
    changed = form(time_slot_start_0="2020-10-10", callable_name=f"{MARKET}.tasks.nothing")
    assert root.post(address, changed).status_code == 302
    future.run_jobs()
    assert statuses() == ["complete"]
    # Set back, it runs again.
    assert root.post(address, form(time_slot_start_0="2020-10-10")).status_code == 302
    assert statuses() == ["scheduled"]
    future.run_jobs()
    assert (statuses(), len(calls)) == (["complete"], 1)
    kind = ContentType.objects.get(app_label="market", model="order")
    method = form(callable_name="pay", content_type=str(kind.pk), object_id="7")
    assert root.post(f"{LIST}add/", method).status_code == 302
    assert future.ScheduledJob.objects.latest("id").object_id == 7


def test_what_the_form_refuses(root: Any) -> None:
    complaints = {
        "add &#x27;os.system&#x27; to PGQUEUE": {"callable_name": "os.system"},
        "A method needs a content type and an object ID.": {"callable_name": "pay"},
        "A job runs when a worker takes it": {"status": "running"},
        "It must be later than the start.": {"time_slot_end_0": "2040-10-10"},
    }
    for complaint, words in complaints.items():
        response = root.post(f"{LIST}add/", form(**words))
        assert complaint in response.content.decode()
    assert statuses() == []


def test_a_job_that_runs(root: Any, future: Any, market: Database) -> None:
    running = future.schedule_job("-1h", NOTE)
    c = market.connect()
    c.execute("SELECT pgqueue.dequeue(pgqueue.register_worker('other'), '{django_future}')")
    other = future.schedule_job("5d", NOTE)
    address = f"{LIST}{running.pk}/change/"
    assert "deletelink" not in page(root, address)
    assert "wait for it, or cancel it" in root.post(address, form()).content.decode()
    assert root.post(address, form(status="running")).status_code == 302
    chosen = {"action": "delete_selected", "_selected_action": [running.pk, other.pk]}
    assert root.post(LIST, chosen).status_code == 200
    response = root.post(LIST, {**chosen, "post": "yes"}, follow=True)
    assert "1 job is running and was left." in response.content.decode()
    assert statuses() == ["running"]


def test_the_traceback_is_shown(root: Any, future: Any) -> None:
    job = future.schedule_job("0h", f"{MARKET}.tasks.fail", args=["<no>"])
    future.run_jobs(ignore_errors=True)
    shown = page(root, f"{LIST}{job.pk}/change/")
    assert "<pre>Traceback (most recent call last):" in shown
    assert "MarketError: &lt;no&gt;" in shown


def test_permissions_are_those_of_the_model(future: Any) -> None:
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    found = Permission.objects.filter(content_type__app_label="django_future")
    assert sorted(found.values_list("codename", flat=True)) == [
        f"{word}_scheduledjob" for word in ("add", "change", "delete", "view")
    ]
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(found.filter(codename="view_scheduledjob"))
    client = Client()
    client.force_login(user)
    job = future.schedule_job("5d", NOTE)
    assert client.get(LIST).status_code == 200
    assert client.post(f"{LIST}{job.pk}/change/", form()).status_code == 403
