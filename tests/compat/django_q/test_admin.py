"""The four pages of the admin: what they list, find, filter and do, and by how many queries."""

import datetime as dt
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database

Client = Any
TASKS = "tests.compat.project.market.tasks"


@pytest.fixture
def client(market: Database) -> Client:
    """A browser of a superuser."""
    from django.contrib.auth.models import User
    from django.test import Client

    made = Client()
    made.force_login(User.objects.create_superuser("root", password="root"))
    return made


def task(at: int, **words: Any) -> Any:
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Task

    now = timezone.now() - dt.timedelta(minutes=at)
    values = {
        "id": f"{at:032x}", "name": f"task-{at}", "func": f"{TASKS}.echo", "args": (at, "x"),
        "kwargs": {}, "result": f"out {at}", "started": now - dt.timedelta(seconds=2),
        "stopped": now,
    }  # fmt: skip
    return Task.objects.create(**values | words)


def queries(client: Client, path: str) -> tuple[int, str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(seen), answer.content.decode()


def test_every_page_has_its_old_name(client: Client) -> None:
    from django.urls import reverse

    from pgqueue.compat.django_q.models import OrmQ, Schedule
    from pgqueue.compat.django_q.tasks import async_task

    ids = {"success": task(1).pk, "failure": task(2, success=False).pk}
    ids["schedule"] = Schedule.objects.create(func="math.floor", args="1.5").pk
    async_task("math.floor", 1.5)
    ids["ormq"] = OrmQ.objects.get().pk
    for name, pk in ids.items():
        assert client.get(reverse(f"admin:django_q_{name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:django_q_{name}_change", args=(pk,))).status_code == 200
        assert client.get(reverse(f"admin:django_q_{name}_delete", args=(pk,))).status_code == 200
        adding = client.get(reverse(f"admin:django_q_{name}_add"))
        assert adding.status_code == (200 if name == "schedule" else 403)
    assert "Django Q" in client.get("/admin/").content.decode()


def test_lists_are_made_by_as_many_queries_whatever_they_show(client: Client) -> None:
    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import async_task
    from tests.compat.project.market.models import Order

    order = Order.objects.create(number="a1")

    def fill(first: int, last: int) -> None:
        for at in range(first, last):
            done = at % 2 == 0
            result = order if done else f"out {at}"
            task(at, success=done, group=f"group-{at}", args=(order,), result=result)
            Schedule.objects.create(func="math.floor", task=f"{at:032x}", cluster=f"c{at}")
            async_task("math.floor", at, group=f"group-{at}")

    paths = [f"/admin/django_q/{name}/" for name in ("success", "failure", "schedule", "ormq")]
    fill(0, 4)
    few = [queries(client, path)[0] for path in paths]
    fill(4, 24)
    many = [queries(client, path) for path in paths]
    assert [count for count, _ in many] == few
    assert max(few) <= 9
    successes, failures, schedules, queue = (text for _, text in many)
    assert "task-22" in successes
    assert "task-23" not in successes
    assert "task-23" in failures
    assert "out 23" in failures
    assert f'<a href="/admin/django_q/success/{22:032x}/change/">[task-22]</a>' in schedules
    assert f'<a href="/admin/django_q/failure/{23:032x}/change/">[task-23]</a>' in schedules
    assert "group-23" in queue
    assert "math.floor" in queue


def test_tasks_are_searched_and_filtered(client: Client) -> None:
    task(1, group="mail")
    task(2, func="shop.tasks.other")
    task(3, cluster="long")

    def names(path: str) -> set[str]:
        text = queries(client, f"/admin/django_q/success/?{path}")[1]
        return {name for name in ("task-1", "task-2", "task-3") if f">{name}<" in text}

    assert names("q=mail") == {"task-1"}
    assert names("q=shop.tasks") == {"task-2"}
    assert names("q=task-3") == {"task-3"}
    assert names("group=mail") == {"task-1"}
    assert names("group__isnull=True") == {"task-2", "task-3"}
    assert names("cluster=long") == {"task-3"}
    assert names("group=nothing") == set()
    text = queries(client, "/admin/django_q/success/")[1]
    assert "?group=mail" in text
    assert "?cluster=long" in text


def test_what_became_of_a_task_cannot_be_edited_but_deleted(client: Client) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from tests.compat.project.market.tasks import Basket

    path = f"/admin/django_q/success/{task(1).pk}/"
    form = client.get(f"{path}change/").content.decode().partition("<fieldset")[2]
    assert "<input" not in form
    assert "1, x" in form
    client.post(f"{path}change/", {"name": "other", "func": "other", "success": ""})
    assert Task.objects.get().name == "task-1"
    Task.objects.update(result=Basket(1))
    with override_settings(PGQUEUE={"PICKLE": False}):
        assert "is False and the job has a pickled" in queries(client, f"{path}change/")[1]
        assert client.post(f"{path}change/", {}).status_code == 302
    assert Task.objects.get().result == Basket(1)
    assert client.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    assert not Task.objects.exists()


def act(client: Client, page: str, *rows: Any) -> list[str]:
    from django.contrib.messages import get_messages

    words = {"action": "resubmit_task", "_selected_action": [row.pk for row in rows]}
    answer = client.post(f"/admin/django_q/{page}/", words)
    assert answer.status_code in (200, 302)
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_success_is_resubmitted_and_stays(client: Client, work: Any) -> None:
    from pgqueue.compat.django_q.models import OrmQ, Task

    row = task(
        1,
        group="mail",
        cluster="long",
        hook=f"{TASKS}.nothing",
        kwargs={"group": "its own", "timeout": 3, "n": 1},
    )
    assert act(client, "success", row, task(2)) == ["2 tasks were resubmitted."]
    assert Task.objects.count() == 2
    queued = OrmQ.objects.get(key="long")
    assert (queued.group(), queued.task["hook"]) == ("mail", f"{TASKS}.nothing")
    work("long")
    new = Task.objects.get(cluster="long", attempt_count=1)
    assert new.pk != row.pk
    assert new.result == [[1, "x"], {"group": "its own", "timeout": 3, "n": 1}]


def test_a_failure_is_resubmitted_and_goes(client: Client) -> None:
    from pgqueue.compat.django_q.models import Failure, OrmQ

    good = task(1, success=False, group="mail")
    bad = task(2, success=False, func="os.system", name="bad-one")
    first, second = act(client, "failure", good, bad)
    assert first.startswith("bad-one: 'os.system' may not be run by a job")
    assert "ALLOW" in first
    assert second == "1 task was resubmitted."
    assert [row.pk for row in Failure.objects.all()] == [bad.pk]
    assert [(row.func(), row.group()) for row in OrmQ.objects.all()] == [(f"{TASKS}.echo", "mail")]


def test_a_task_that_cannot_be_read_keeps_no_other_from_being_resubmitted(
    client: Client, market: Database
) -> None:
    from pgqueue.compat.django_q.models import Failure, OrmQ

    rows = [task(at, success=False) for at in (1, 2, 3)]
    # As a pickle that another key has signed.
    broken = '{"$t": "no such tag", "v": 1}'
    market.execute("UPDATE pgqueue.django_q_tasks SET args = %s WHERE name = 'task-2'", [broken])
    first, second = act(client, "failure", *rows)
    assert first.startswith("task-2: ")
    assert second == "2 tasks were resubmitted."
    assert list(Failure.objects.values_list("name", flat=True)) == ["task-2"]
    assert OrmQ.objects.count() == 2


def test_who_may_only_look_cannot_resubmit(client: Client) -> None:
    from django.contrib.auth.models import Permission, User

    from pgqueue.compat.django_q.models import OrmQ

    ann = User.objects.create_user("ann", is_staff=True)
    ann.user_permissions.add(Permission.objects.get(codename="view_success"))
    client.force_login(ann)
    row = task(1)
    assert "resubmit" not in queries(client, "/admin/django_q/success/")[1]
    assert act(client, "success", row) == []
    assert not OrmQ.objects.exists()
    assert client.get("/admin/django_q/failure/").status_code == 403


def test_schedules_are_made_and_changed(client: Client) -> None:
    from pgqueue.compat.django_q.models import Schedule

    words = {
        "name": "nightly", "func": "math.floor", "args": "1.5", "schedule_type": "C",
        "repeats": "-1", "next_run_0": "2030-01-01", "next_run_1": "10:00:00", "cron": "0 22 * *",
    }  # fmt: skip
    answer = client.post("/admin/django_q/schedule/add/", words)
    assert "is no cron expression" in answer.content.decode()
    words |= {"cron": "0 22 * * 1-5", "intended_date_kwarg": "for"}
    answer = client.post("/admin/django_q/schedule/add/", words)
    assert "cannot be the name of an argument" in answer.content.decode()
    words["intended_date_kwarg"] = ""
    assert client.post("/admin/django_q/schedule/add/", words).status_code == 302
    made = Schedule.objects.get()
    assert made.next_run.astimezone(dt.UTC).year < 2030
    path = f"/admin/django_q/schedule/{made.pk}/change/"
    assert client.post(path, words | {"repeats": "0"}).status_code == 302
    made.refresh_from_db()
    assert (made.repeats, made.next_run.year) == (0, 2030)
    text = queries(client, "/admin/django_q/schedule/?q=nightly&schedule_type__exact=C")[1]
    assert ">nightly<" in text
    assert "1 scheduled task" in text.lower()
    for path in ("?schedule_type__exact=D", "?q=other", "?cluster=long"):
        assert ">nightly<" not in queries(client, f"/admin/django_q/schedule/{path}")[1]


def test_queued_tasks_are_moved_and_deleted(client: Client, market: Database) -> None:
    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task

    async_task(f"{TASKS}.echo", 1, password="open sesame", group="mail", task_name="one")
    row = OrmQ.objects.get()
    path = f"/admin/django_q/ormq/{row.pk}/"
    text = queries(client, f"{path}change/")[1]
    assert text.partition("<fieldset")[2].count('type="text"') == 3
    for word in ("mail", "one", f"{TASKS}.echo"):
        assert word in text
    words = {"key": "long", "lock_0": "2030-01-01", "lock_1": "10:00:00"}
    assert client.post(f"{path}change/", words).status_code == 302
    query = "SELECT queue, extract(year FROM run_at)::int FROM pgqueue.scheduled_jobs"
    assert market.execute(query) == [("long", 2030)]
    assert ">one<" in queries(client, "/admin/django_q/ormq/?key=long")[1]
    assert ">one<" not in queries(client, "/admin/django_q/ormq/?key=other")[1]
    assert client.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    assert market.execute("SELECT id FROM pgqueue.jobs") == []
    with market.connect() as c:
        running = factories.running(c, factories.worker(c), task="django_q:math.floor")
    assert client.get(f"/admin/django_q/ormq/{running}/change/").status_code == 200


def test_a_project_has_pages_of_its_own(client: Client, manual: Any) -> None:
    """The example of the manual."""
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.test import RequestFactory
    from django_q import admin as q_admin
    from django_q import models as q_models

    admin.site.unregister([q_models.Failure])

    @admin.register(q_models.Failure)
    class ChildClassAdmin(q_admin.FailAdmin):
        list_display = (
            "name",
            "func",
            "result",
            "started",
            # add attempt_count to list_display
            "attempt_count",
        )

    task(1, success=False, attempt_count=7)
    request = RequestFactory().get("/admin/django_q/failure/")
    request.user = User.objects.get()
    page = admin.site._registry[q_models.Failure].changelist_view(request)
    assert '<td class="field-attempt_count">7</td>' in page.render().content.decode()
    admin.site.unregister([q_models.Failure])
    admin.site.register(q_models.Failure, q_admin.FailAdmin)


def test_a_schedule_that_could_not_run_is_not_saved(market: Database, client: Any) -> None:
    """But the form says why, field by field."""
    from django.urls import reverse

    from pgqueue.compat.django_q.models import Schedule

    fields = {
        "name": "tried", "func": f"{TASKS}.echo", "hook": "", "args": "1", "kwargs": "b=2",
        "repeats": "-1", "next_run_0": "2100-01-01", "next_run_1": "10:00:00", "cron": "",
        "minutes": "", "cluster": "", "intended_date_kwarg": "", "schedule_type": "H",
    }  # fmt: skip
    for words, said in (
        ({"schedule_type": "C"}, "A schedule of the type Cron needs an expression."),
        ({"args": "foo("}, "args must be literals"),
        ({"args": "datetime.now()"}, "args must be literals"),
        ({"kwargs": "b="}, "kwargs must be a dictionary"),
        ({"kwargs": "[1]"}, "kwargs must be a dictionary"),
        ({"func": "os.system"}, "PGQUEUE[&quot;ALLOW&quot;]"),
        ({"hook": "os.system"}, "PGQUEUE[&quot;ALLOW&quot;]"),
    ):
        page = client.post(reverse("admin:django_q_schedule_add"), {**fields, **words})
        assert page.status_code == 200
        assert said in page.content.decode(), words
    assert not Schedule.objects.exists()
    assert client.post(reverse("admin:django_q_schedule_add"), fields).status_code == 302
    assert Schedule.objects.get().kwargs == "b=2"
