"""Queues, workers, errors, the dashboard: what they show, who may, at what cost; and escaping."""

import datetime as dt
from typing import Any

import pytest

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of
from tests.django_app.admin.test_jobs import JOBS, statements

QUEUES = "/admin/pgqueue/queue/"
WORKERS = "/admin/pgqueue/worker/"
ERRORS = "/admin/pgqueue/failure/"
DASHBOARD = "/admin/pgqueue/dashboard/"
EVIL = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "{{1234*1234}}",
    "{% debug %}", "</script><script>alert(1)</script>", "javascript:alert(1)", "<b>é\u202ex",
    "a/b?c#d&e=f", "%3Cscript%3E", "]]>", "<!--", "&lt;script&gt;",
]  # fmt: skip


def queue_page(name: str) -> str:
    from django.contrib.admin.utils import quote
    from django.urls import reverse

    return reverse("admin:pgqueue_queue_change", args=[quote(name)])


@pytest.mark.parametrize("evil", EVIL)
def test_every_value_is_escaped(evil: str, root: Any, c: Connection) -> None:
    import json

    text = json.dumps([evil, {evil: evil}])
    factories.worker(c, evil, hostname=evil, version=evil, queues=[evil])
    job = factories.running(
        c, factories.worker(c, evil, hostname=evil, version=evil), task=evil, queue=evil, args=text,
        kwargs=json.dumps({evil: evil}), meta=json.dumps({evil: evil}),
    )  # fmt: skip
    c.execute("SELECT pgqueue.set_progress(%s, 0.5, %s)", (job, evil))
    over = factories.finished(c, "failed", task=evil, queue=evil, error=f"{evil}: {evil}")
    c.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), %s, %s, %s)", (over, evil, evil, evil)
    )
    done = factories.finished(c, task=evil, result=text)
    blocked = factories.blocked(c, reason=evil, task=evil, queue=evil)
    factories.ready(c, task=evil, queue=evil)
    c.execute("SELECT pgqueue.pause(%s)", (evil,))
    worker = factories.position(c, job)["worker_id"]
    addresses = [
        "/admin/", JOBS, *(f"{JOBS}{one}/change/" for one in (job, over, done, blocked)), QUEUES,
        queue_page(evil), WORKERS, f"{WORKERS}{worker}/change/", ERRORS, DASHBOARD,
    ]  # fmt: skip
    pages = {address: text_of(root.get(address)) for address in addresses}
    for name in ("queue", "task", "q", "state", "worker", "since", "until", "after", "q"):
        pages[name] = text_of(root.get(JOBS, {name: evil}))
    for name in ("cancel", "move", "prioritize"):
        pages[name] = text_of(root.post(f"{JOBS}{job}/act/{name}/", {"reason": evil}))
    for address, page in pages.items():
        for bad in (
            "<script>alert",
            "<img src=x",
            "<b>é",
            'onerror=alert(1)>"',
            'href="javascript',
        ):
            assert bad not in page, (address, bad)
        if "<" in evil and evil != "<!--" and "/" not in evil:
            assert evil not in page, address
        assert "1522756" not in page, address
    assert root.get(queue_page(evil)).status_code == 200


def test_queues(root: Any, c: Connection) -> None:
    factories.jobs(c, 3, queue="mail/häß lich")
    page = queue_page("mail/häß lich")
    assert "mail/häß lich" in text_of(root.get(QUEUES))
    assert root.get(page).status_code == 200
    # The address of what is done stands beside that of the page.
    act = page.removesuffix("change/") + "act/"
    response = root.post(f"{act}pause/", {"resume_in": "2h"}, follow=True)
    assert messages_of(response) == ["Queue mail/häß lich: paused; running jobs go on."]
    paused, resume_at = c.execute("SELECT paused, resume_at FROM pgqueue.queues").fetchone() or ()
    assert paused
    assert dt.timedelta(hours=1.9) < resume_at - dt.datetime.now(dt.UTC) <= dt.timedelta(hours=2)
    root.post(f"{act}resume/", {"back": "list"}, follow=True)
    assert c.execute("SELECT paused FROM pgqueue.queues").fetchone() == (False,)
    words = {"retention_succeeded": "1d12h", "retention_other": "0"}
    root.post(f"{act}configure/", words, follow=True)
    assert c.execute(
        "SELECT retention_succeeded, retention_other FROM pgqueue.queues"
    ).fetchone() == (dt.timedelta(hours=36), dt.timedelta(0))
    assert 'value="1d12h"' in text_of(root.get(page))
    assert "paused" in text_of(root.get(page.replace("change/", "history/")))
    for name, given in (("pause", {"resume_in": "x"}), ("configure", {"retention_other": "-1d"})):
        assert "must be an offset" in text_of(root.post(f"{act}{name}/", given))
    assert "resume_in must be longer" in "".join(
        messages_of(root.post(f"{act}pause/", {"resume_in": "0"}, follow=True))
    )
    assert root.get(f"{act}pause/").status_code == 405
    assert root.post(f"{act}burn/").status_code == 404
    assert root.get(queue_page("*")).status_code == 404


def test_limits_of_a_queue(root: Any, login: Any, c: Connection) -> None:
    page = queue_page("mail")
    act = page.removesuffix("change/") + "act/limit/"
    words = {"max_running": "3", "rate": "100/2m", "max_pending": ""}
    assert messages_of(root.post(act, words, follow=True)) == [
        "Queue mail: limits set; running jobs go on."
    ]
    select = "SELECT max_running, rate_jobs, rate_seconds, max_pending FROM pgqueue.queues"
    assert c.execute(select).fetchone() == (3, 100, 120, None)
    shown = text_of(root.get(page))
    assert 'value="3"' in shown
    assert 'value="100/2m"' in shown
    assert "100/2m" in text_of(login("view_queue").get(page))
    assert "rate must be text such as" in text_of(root.post(act, {"rate": "often"}))
    root.post(act, {}, follow=True)
    assert c.execute(select).fetchone() == (None, None, None, None)
    assert login("view_queue", "pause_queue").post(act).status_code == 403


def test_who_may_do_what_with_queues(login: Any, c: Connection) -> None:
    act = queue_page("mail").removesuffix("change/") + "act/"
    allowed = {
        ("view_queue",): set(),
        ("view_queue", "pause_queue"): {"pause", "resume"},
        ("view_queue", "change_queue"): {"configure"},
        ("pause_queue",): set(),
        # Who may change may look, as everywhere in the admin.
        ("pause_queue", "change_queue"): {"pause", "resume", "configure"},
    }
    for permissions, may in allowed.items():
        client = login(*permissions)
        for name in ("pause", "resume", "configure"):
            status = client.post(f"{act}{name}/").status_code
            assert status == (302 if name in may else 403), (permissions, name)
        shown = text_of(client.get(queue_page("mail")))
        assert ("/act/configure/" in shown) == ("configure" in may)
    assert c.execute("SELECT name FROM pgqueue.queues").fetchall() == [("mail",)]


def test_workers(root: Any, c: Connection) -> None:
    worker = factories.worker(c, "web-1", processes=4, threads=2, queues=["mail", "*"])
    factories.worker(c, "web-2", heartbeat_at="2020-01-01")
    job = factories.running(c, worker)
    page = text_of(root.get(WORKERS))
    assert (page.count(">alive<"), page.count(">lost<")) == (1, 1)
    assert "1</a> / 8" in page
    shown = text_of(root.get(f"{WORKERS}{worker}/change/"))
    assert f"{JOBS}{job}/change/" in shown
    for name in ("4711", "x"):
        response = root.get(f"{WORKERS}{name}/change/", follow=True)
        assert messages_of(response) == [f"There is no worker “{name}” any more."]


def test_errors_come_in_groups(root: Any, c: Connection) -> None:
    for number in range(3):
        job = factories.finished(c, "failed", task="mail.send", error="ValueError: no")
        c.execute(
            "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), 'ValueError', %s, '')",
            (job, f"no {number}"),
        )
    waits = factories.scheduled(c, "infinity", task="mail.send", reason="retry", attempt=1)
    c.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), 'ValueError', 'x', '')", (waits,)
    )
    factories.finished(c, "failed", task="old", finished_at="2020-01-01", error="KeyError: x")
    factories.finished(c, "failed", task="odd", error="crash_loop")
    count, response = statements(root, ERRORS)
    assert count == 3
    found = [
        (one["task"], one["kind"], one["failed"], one["retrying"])
        for one in response.context["groups"]
    ]
    assert sorted(found) == [("mail.send", "ValueError", 3, 1), ("odd", "crash_loop", 1, 0)]
    groups = root.get(ERRORS, {"since": ""}).context["groups"]
    assert ("old", "KeyError") in [(one["task"], one["kind"]) for one in groups]


def test_the_dashboard(root: Any, c: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgqueue.django.admin import dashboard

    factories.jobs(c, 7, queue="mail")
    made = [
        factories.finished(c, state, started_at="now") for state in ("succeeded",) * 3 + ("failed",)
    ]
    c.execute(
        "UPDATE pgqueue.finished_jobs SET finished_at = now() - interval '9 s', started_at = now() "
        "- interval '10 s', keep_until = now() - interval '9 s' + CASE WHEN state = 'succeeded' "
        "THEN interval '168 h' ELSE interval '720 h' END"
    )
    factories.running(c, factories.worker(c, "web-1", processes=4, threads=2))
    count, response = statements(root, DASHBOARD)
    assert count == 3
    figures = response.context["figures"]
    assert len(figures["bins"]) == 60
    ended = {
        state: round(sum(one[state] * one["seconds"] for one in figures["bins"]))
        for state in ("succeeded", "failed", "cancelled", "expired")
    }
    assert ended == {"succeeded": 3, "failed": 1, "cancelled": 0, "expired": 0}
    assert {round(one["run_p50"]) for one in figures["bins"] if one["run_p50"]} == {1}
    assert figures["queues"][0] | {"waits": 0} == {
        "queue": "mail", "ready": 7, "scheduled": 0, "blocked": 0, "running": 0, "unknown_task": 0,
        "paused": False, "waits": 0,
    }  # fmt: skip
    assert figures["workers"] == {
        "alive": 1, "lost": 0, "slots": 8, "running": 1, "led": False
    }  # fmt: skip
    assert len(made) == 4
    # Asked again at once, the database is not: session and user only.
    monkeypatch.setattr(dashboard, "_FRESH", 600.0)
    count, response = statements(root, f"{DASHBOARD}data/")
    assert count == 2
    assert response.json()["at"] == figures["at"]
    assert "no-store" in response["Cache-Control"]
    for span in ("1h", "24h", "7d", "x"):
        assert statements(root, f"{DASHBOARD}data/?span={span}")[0] <= 3


@pytest.mark.parametrize(
    ("permission", "address"),
    [
        ("view_job", JOBS), ("view_queue", QUEUES), ("view_worker", WORKERS),
        ("view_failure", ERRORS), ("view_dashboard", DASHBOARD),
        ("view_dashboard", f"{DASHBOARD}data/"), ("view_job", f"{JOBS}1/change/"),
        ("view_worker", f"{WORKERS}1/change/"), ("view_queue", f"{QUEUES}mail/change/"),
    ],
)  # fmt: skip
def test_each_page_has_its_permission(
    permission: str, address: str, login: Any, c: Connection
) -> None:
    from django.test import Client

    factories.running(c)
    every = {"view_job", "view_queue", "view_worker", "view_failure", "view_dashboard"}
    assert login(permission).get(address).status_code == 200
    assert login(*(every - {permission})).get(address).status_code == 403
    assert Client().get(address).status_code == 302


def test_who_may_not_see_payloads(login: Any, c: Connection) -> None:
    job = factories.finished(
        c, "failed", args='["hush"]', kwargs='{"a": "hush"}', meta='{"a": "hush"}',
        error="ValueError: hush",
    )  # fmt: skip
    c.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), 'ValueError', 'hush', 'hush')", (job,)
    )
    done = factories.finished(c, result='"hush"')
    client = login("view_job", "view_failure")
    for address in (JOBS, f"{JOBS}{job}/change/", f"{JOBS}{done}/change/", ERRORS):
        assert "hush" not in text_of(client.get(address)), address
    assert "ValueError" in text_of(client.get(JOBS))
    response = client.get(JOBS, {"q": '["hush"]'})
    assert messages_of(response) == ["To search in arguments you must be allowed to see them."]
    assert response.context["cl"].result_list == []
    response = client.get(JOBS, {"q": "hush", "state": "failed"})
    assert response.context["cl"].result_list == []
