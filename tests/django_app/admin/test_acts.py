"""What is done with jobs: who may, by which way, and what comes of it."""

from typing import Any

import pytest

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of

JOBS = "/admin/pgqueue/job/"
#: An act: its permission, a job it is for, what else is given, and the state after it.
ACTS: dict[str, tuple[str, Any, dict[str, str], str | None]] = {
    "retry": ("retry_job", lambda c: factories.finished(c, "failed"), {}, "ready"),
    "run": ("run_job", factories.scheduled, {}, "ready"),
    "cancel": ("cancel_job", factories.ready, {"reason": "by mistake"}, "cancelled"),
    "prioritize": ("prioritize_job", factories.ready, {"priority": "7"}, "ready"),
    "move": ("move_job", factories.ready, {"queue": "other"}, "ready"),
    "delete_selected": ("delete_job", factories.finished, {}, None),
}


def one(client: Any, job: int, name: str, **words: str) -> Any:
    """Do it on the page of the job."""
    return client.post(f"{JOBS}{job}/act/{name}/", {"sure": "yes", **words}, follow=True)


def several(client: Any, jobs: list[int], name: str, query: str = "", **words: str) -> Any:
    """Do it from the list."""
    data = {"action": name, "_selected_action": jobs, **words}
    return client.post(f"{JOBS}{query}", data, follow=True)


@pytest.mark.parametrize("name", ACTS)
def test_one_job(name: str, root: Any, c: Connection) -> None:
    _permission, make, words, state = ACTS[name]
    job = make(c)
    response = one(root, job, name, **words)
    assert response.status_code == 200
    assert len(messages_of(response)) == 1, messages_of(response)
    assert factories.state(c, job) == state


@pytest.mark.parametrize("name", ACTS)
def test_several_jobs(name: str, root: Any, c: Connection) -> None:
    _permission, make, words, state = ACTS[name]
    jobs = [make(c) for _ in range(3)]
    other = make(c)
    before = factories.state(c, other)
    asked = several(root, jobs, name, index="0", select_across="0")
    if name in ("retry", "run"):
        response = asked
    else:
        assert "This concerns 3 jobs." in text_of(asked)
        assert [factories.state(c, job) for job in jobs] == [before] * 3
        response = several(root, jobs, name, sure="yes", **words)
    assert messages_of(response)[0].startswith("3 jobs ")
    assert [factories.state(c, job) for job in jobs] == [state] * 3
    assert factories.state(c, other) == before


@pytest.mark.parametrize("name", ACTS)
def test_who_may_not(name: str, login: Any, c: Connection) -> None:
    permission, make, words, _state = ACTS[name]
    job = make(c)
    before = factories.state(c, job)
    others = [found for found, *_ in ACTS.values() if found != permission]
    client = login("view_job", "view_job_payload", *others)
    assert one(client, job, name, **words).status_code == 403
    assert f"/act/{name}/" not in text_of(client.get(f"{JOBS}{job}/change/"))
    response = several(client, [job], name, sure="yes", **words)
    assert messages_of(response) == ["No action selected."]
    assert f'value="{name}"' not in text_of(client.get(JOBS))
    assert factories.state(c, job) == before


@pytest.mark.parametrize("name", ACTS)
def test_who_may(name: str, login: Any, c: Connection) -> None:
    permission, make, words, state = ACTS[name]
    job = make(c)
    assert one(login("view_job", permission), job, name, **words).status_code == 200
    assert factories.state(c, job) == state
    assert one(login(permission), make(c), name, **words).status_code == 403


@pytest.mark.parametrize("name", ACTS)
def test_nothing_is_done_by_looking(name: str, root: Any, c: Connection) -> None:
    from django.test import Client

    _permission, make, words, _state = ACTS[name]
    job = make(c)
    before = factories.state(c, job)
    assert root.get(f"{JOBS}{job}/act/{name}/", words).status_code == 405
    root.get(JOBS, {"action": name, "_selected_action": job, "sure": "yes", **words})
    stranger = Client(enforce_csrf_checks=True)
    stranger.cookies = root.cookies
    for address in (f"{JOBS}{job}/act/{name}/", JOBS):
        data = {"action": name, "_selected_action": job, "sure": "yes", **words}
        assert stranger.post(address, data).status_code == 403
    assert Client().post(f"{JOBS}{job}/act/{name}/", {"sure": "yes"}).status_code == 302
    assert factories.state(c, job) == before


def test_what_is_done_is_written_down(root: Any, c: Connection) -> None:
    from django.contrib.admin.models import LogEntry

    job, running = factories.ready(c), factories.running(c)
    several(root, [job, running], "prioritize", sure="yes", priority="9")
    assert [(one.object_id, one.user.username) for one in LogEntry.objects.all()] == [
        (str(job), "root")
    ]
    assert "Change priority" in text_of(root.get(f"{JOBS}{job}/history/"))


def test_the_reason_and_a_running_job(root: Any, c: Connection) -> None:
    job, running = factories.ready(c), factories.running(c)
    response = several(root, [job, running], "cancel", sure="yes", reason="by mistake")
    assert messages_of(response) == [
        "1 job is cancelled.",
        "The worker of 1 running job was asked to stop it.",
    ]
    assert "cancelled: by mistake" in text_of(root.get(f"{JOBS}{job}/change/"))
    assert "Asked to stop" in text_of(root.get(f"{JOBS}{running}/change/"))


def test_jobs_that_have_moved_on_do_not_stop_the_others(root: Any, c: Connection) -> None:
    over, running, ready = factories.finished(c), factories.running(c), factories.ready(c)
    response = several(root, [over, running, ready, 4711], "retry", index="0")
    left = "3 jobs were left as they are: their states do not allow it, or they are gone."
    assert messages_of(response) == ["1 job is ready.", left]
    # Deleting refuses a running job, and the whole statement with it.
    response = several(root, [over, running, ready, 4711], "delete_selected", sure="yes")
    assert messages_of(response) == ["2 jobs were deleted.", left.replace("3 jobs", "2 jobs")]
    assert factories.state(c, running) == "running"


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("prioritize", {"priority": "99999"}, "less than or equal to 32767"),
        ("prioritize", {"priority": "much"}, "Enter a whole number"),
        ("prioritize", {}, "This field is required"),
        ("move", {"queue": "*"}, "queue must"),
        ("move", {"queue": "x" * 201}, "queue must"),
        ("move", {"queue": ""}, "This field is required"),
        ("cancel", {"reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_what_is_wrong_is_said_in_the_form(
    name: str, words: dict[str, str], said: str, root: Any, c: Connection
) -> None:
    job = factories.ready(c)
    before = factories.position(c, job)
    assert said in text_of(one(root, job, name, **words))
    assert said in text_of(several(root, [job], name, sure="yes", **words))
    assert factories.position(c, job) == before


def test_all_that_match(root: Any, c: Connection) -> None:
    failed = [factories.finished(c, "failed") for _ in range(70)]
    other = factories.finished(c, "cancelled")
    query = "?state=failed"
    page = text_of(root.get(f"{JOBS}{query}"))
    assert "Select all that match, at most 10000" in page
    response = several(root, failed[:1], "retry", query, index="0", select_across="1")
    assert messages_of(response) == ["70 jobs are ready."]
    assert factories.state(c, other) == "cancelled"
    # All there are: nobody means that.
    assert "Select all that match" not in text_of(root.get(JOBS))
    response = several(root, failed[:1], "delete_selected", sure="yes", select_across="1")
    assert "Filter the list first" in messages_of(response)[0]
    assert c.execute("SELECT count(*) FROM pgqueue.jobs").fetchone() == (71,)


def test_django_s_own_way_to_delete_leads_to_ours(root: Any, c: Connection) -> None:
    job = factories.finished(c)
    response = root.post(f"{JOBS}{job}/delete/", {"post": "yes"})
    assert response.url == f"{JOBS}{job}/change/"
    assert factories.state(c, job) == "succeeded"
    assert root.get(f"{JOBS}add/").status_code == 403
