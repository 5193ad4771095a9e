"""Schedule, health and progress over HTTP, as Slumber had them."""

import datetime as dt
import json
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS
from tests.fixtures.databases import Database

SCHEDULE = "/slumber/async/Job/schedule/"
HEALTH = "/slumber/async/Job/health/"
PROGRESS = "/slumber/async/Group/progress/"
OK = {"message": "OK", "status": 200, "username": "test"}


@pytest.fixture
def user(market: Database) -> Any:
    from django.contrib.auth.models import Permission, User

    found = User.objects.create_user("test", password="password")
    found.user_permissions.add(Permission.objects.get(codename="add_job"))
    return found


@pytest.fixture
def client(user: Any) -> Any:
    from django.test import Client

    made = Client()
    made.force_login(user)
    return made


def job(answer: Any) -> Any:
    from pgqueue.compat.django_async.models import Job

    assert answer.status_code == 200, answer.content
    assert answer.json()["_meta"] == OK
    return Job.objects.get(pk=answer.json()["job"]["id"])


def test_schedule_answers_a_get(client: Any) -> None:
    answer = client.get(SCHEDULE)
    assert (answer.status_code, answer.json()) == (200, {"_meta": OK})


def test_a_form(client: Any) -> None:
    made = job(client.post(SCHEDULE, {"name": "test-job-1"}))
    assert (made.name, made.args, made.scheduled, made.priority) == ("test-job-1", "[]", None, 5)
    at = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    made = job(
        client.post(
            SCHEDULE,
            {"name": f"{TASKS}.echo", "args": [1, True, "Hello"], "kwargs": '{"a": [1]}',
             "meta": '{"b": 2}', "run_after": at, "priority": "-3", "group": "non-exist-group"},
        )
    )  # fmt: skip
    assert (made.args, made.kwargs, made.meta) == (
        '["1", "True", "Hello"]', '{"a": [1]}', '{"b": 2}',
    )  # fmt: skip
    assert (made.scheduled, made.priority) == (at, -3)
    assert made.group.reference == "non-exist-group"


def test_json(client: Any) -> None:
    def post(**body: Any) -> Any:
        return client.post(SCHEDULE, json.dumps(body), content_type="application/json")

    made = job(
        post(name="test-job-1", args=[1, True, "Hello"], kwargs={"a": None}, priority=7,
             run_after="2040-01-01T00:00:00Z")
    )  # fmt: skip
    assert (made.args, made.kwargs, made.priority) == ('[1, true, "Hello"]', '{"a": null}', 7)
    assert made.scheduled == dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    assert (
        job(post(name=f"{TASKS}.nothing", group="g")).group
        == job(post(name=f"{TASKS}.nothing", group="g")).group
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "name must be"),
        ({"name": ""}, "name must be"),
        ({"name": "my.function", "args": {}}, "args must be a JSON array"),
        ({"name": "my.function", "kwargs": []}, "kwargs must be a JSON object"),
        ({"name": "my.function", "meta": 1}, "meta must be a JSON object"),
        ({"name": "my.function", "priority": "high"}, "priority must be a whole number"),
        ({"name": "my.function", "priority": 99999999999}, "32 bits; got 99999999999"),
        ({"name": "my.function", "priority": -(2**31) - 1}, "priority must be a whole number"),
        ({"name": "my.function", "priority": float("inf")}, "priority must be a whole number"),
        ({"name": "my.function", "priority": float("nan")}, "priority must be a whole number"),
        ({"name": "my.function", "priority": [1]}, "priority must be a whole number"),
        ({"name": "my.function", "run_after": "soon"}, "soon"),
        ({"name": "os.system"}, "ALLOW"),
        ([1], "must be a JSON object"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(client: Any, body: Any, error: str) -> None:
    from pgqueue.compat.django_async.models import Job

    answer = client.post(SCHEDULE, json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert answer.json()["_meta"]["status"] == 400
    assert client.post(SCHEDULE, b"{", content_type="application/json").status_code == 400
    assert client.post(SCHEDULE, {"name": "my.function", "kwargs": "{"}).status_code == 400
    assert Job.objects.count() == 0


def test_a_group_in_which_jobs_are_over_is_a_bad_request(client: Any) -> None:
    from pgqueue.compat.django_async import schedule

    schedule(f"{TASKS}.nothing", group="half"), schedule(f"{TASKS}.nothing", group="half").execute()
    answer = client.post(SCHEDULE, {"name": "my.function", "group": "half"})
    assert answer.status_code == 400
    assert "has executed jobs" in answer.json()["error"]


def test_who_may_what(client: Any, user: Any) -> None:
    from django.test import Client

    from pgqueue.compat.django_async.models import Group, Job

    Group.objects.create(reference="g")
    stranger = Client()
    for answer in (
        stranger.post(SCHEDULE, {"name": "my.function"}),
        stranger.get(HEALTH),
        stranger.get(f"{PROGRESS}g/"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["_meta"]["status"]) == (401, 401)
    user.user_permissions.clear()
    assert client.post(SCHEDULE, {"name": "my.function"}).status_code == 403
    assert client.get(HEALTH).status_code == client.get(f"{PROGRESS}g/").status_code == 200
    user.is_active = False
    user.save()
    assert client.get(HEALTH).status_code == 401
    assert Job.objects.count() == 0


def test_a_post_needs_the_token(user: Any) -> None:
    from django.test import Client

    careful = Client(enforce_csrf_checks=True)
    careful.force_login(user)
    assert careful.post(SCHEDULE, {"name": "my.function"}).status_code == 403
    body = json.dumps({"name": "my.function"})
    assert careful.post(SCHEDULE, body, content_type="application/json").status_code == 403
    careful.cookies["csrftoken"] = token = "a" * 32
    assert (
        careful.post(SCHEDULE, {"name": "my.function"}, headers={"X-CSRFToken": token}).status_code
        == 200
    )


class Exempt:
    """Addresses of a project whose users do not log in by a cookie."""

    def __init__(self) -> None:
        from django.urls import path
        from django.views.decorators.csrf import csrf_exempt

        from pgqueue.compat.django_async.slumber_operations import Schedule

        self.urlpatterns = [
            path("exempt/", csrf_exempt(Schedule.as_view())),
            path("plain/", Schedule.as_view()),
        ]


@pytest.mark.parametrize("middleware", [True, False])
def test_a_project_may_do_without_the_token(user: Any, middleware: bool) -> None:
    from django.conf import settings
    from django.test import Client, override_settings

    careful = Client(enforce_csrf_checks=True)
    careful.force_login(user)
    some = [one for one in settings.MIDDLEWARE if middleware or "csrf" not in one]
    assert len(some) == len(settings.MIDDLEWARE) - (not middleware)
    with override_settings(ROOT_URLCONF=Exempt(), MIDDLEWARE=some):
        assert careful.post("/plain/", {"name": "my.function"}).status_code == 403
        job(careful.post("/exempt/", {"name": "my.function"}))


def test_health(client: Any) -> None:
    from pgqueue.compat.django_async import api

    answer = client.get(HEALTH)
    assert answer.json() == {"health": api.health(), "_meta": OK}
    assert "no-store" in answer["Cache-Control"]
    assert client.post(HEALTH).status_code == 405


def test_progress(client: Any) -> None:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Group
    from tests.compat.project.market.tasks import MarketError

    assert client.get(f"{PROGRESS}fake-group/").status_code == 404
    group = Group.objects.create(reference="a group/with ünusual%20 characters")
    link = client.get(f"/slumber/async/Group/data/{group.pk}/").json()["operations"]["progress"]
    assert link == f"{PROGRESS}a%20group%2Fwith%20%C3%BCnusual%2520%20characters/"
    assert client.get(link).json() == {"_meta": OK}
    good, bad, twice = (
        schedule(f"{TASKS}.{name}", group=group) for name in ("nothing", "fail", "fail")
    )
    assert client.get(link).json()["progress"] == {
        "id": group.pk,
        "reference": group.reference,
        "created": group.created.isoformat(),
        "latest_job_completed": None,
        "total_jobs": 3,
        "total_executed_jobs": 0,
        "total_unexecuted_jobs": 3,
        "total_error_jobs": 0,
        "current_errors": 0,
        "consumed_seconds": None,
        "remaining_seconds": 0,
    }
    good.execute()
    for job_ in (bad, twice, twice):
        with pytest.raises(MarketError):
            job_.execute()
    bad.cancelled = good.executed
    bad.save()
    found = client.get(link).json()["progress"]
    assert found["latest_job_completed"] == good.executed.isoformat()
    assert (found["total_executed_jobs"], found["total_unexecuted_jobs"]) == (1, 2)
    assert (found["total_error_jobs"], found["current_errors"]) == (2, 1)
    assert (type(found["consumed_seconds"]), type(found["remaining_seconds"])) == (int, int)


def test_data_behind_the_links_of_health(client: Any, user: Any) -> None:
    from django.contrib.auth.models import Permission

    from pgqueue.compat.django_async import schedule

    made = schedule(f"{TASKS}.nothing", group="g")
    link = f"/slumber/async/Job/data/{made.pk}/"
    assert client.get(link).status_code == 403
    user.user_permissions.add(
        Permission.objects.get(codename="view_job", content_type__app_label="async")
    )
    found = client.get(link).json()
    assert (found["identity"], found["display"]) == (link, str(made))
    assert found["fields"]["name"]["data"] == made.name
    assert found["fields"]["group"]["data"] == f"/slumber/async/Group/data/{made.group.pk}/"
    assert client.get("/slumber/async/Job/data/99/").status_code == 404
    assert client.get("/slumber/async/Group/data/99/").status_code == 404
