"""How values look: times with their zone, tagged values as words, rows that a job was given."""

import datetime as dt
import importlib
import json
import re
from typing import Any

import pytest

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of
from tests.django_app.admin.test_jobs import JOBS, statements
from tests.django_app.admin.test_pages import EVIL, queue_page
from tests.django_app.admin.test_schedules import SCHEDULES, address, make

LISTS = ("job", "schedule", "worker", "failure", "group", "dashboard")


def facts_of(page: str) -> dict[str, str]:
    """What stands among the facts of a job's page, without tags."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.S)
    return {label: re.sub("<.*?>", "", value).strip() for label, value in found}


def test_tagged_values_are_read_as_words(root: Any, c: Connection) -> None:
    import pgqueue

    @pgqueue.task(name="sums")
    def sums(*args: object) -> None: ...

    given = [
        dt.datetime(2027, 1, 2, 3, 4, tzinfo=dt.UTC), dt.timedelta(minutes=3), b"x", (1, 2),
        {"$t": "odd", "v": "own"}, "00",
    ]  # fmt: skip
    job = sums.enqueue(*given)
    page = text_of(root.get(f"{JOBS}{job.id}/change/"))
    for words in ("  datetime 2027-01-02T03:04:00+00:00,", "  timedelta 180,", "  bytes eA==,"):
        assert words in page
    # One that holds others is shown with what it holds, a text as a text.
    assert "&quot;tuple&quot;" in page
    assert "  &quot;00&quot;\n" in page


@pytest.mark.parametrize("evil", EVIL)
def test_tagged_values_are_escaped(evil: str, root: Any, c: Connection) -> None:
    values = [{"$t": "datetime", "v": evil}, {"$t": evil, "v": "x"}, {"$t": "model", "v": [evil]}]
    names = [f"auth.user:{evil}", f"{evil}:1", evil, {evil: evil}]
    meta = {"pgqueue_objects": names, "own": 1}
    job = factories.job(c, args=json.dumps(values), meta=json.dumps(meta))
    page = text_of(root.get(f"{JOBS}{job}/change/"))
    shown = page[page.index("pgq-facts") : page.index("<!-- END Content -->")]
    assert "<" not in evil or evil not in shown
    assert "<img" not in shown


def test_rows_that_a_job_was_given(root: Any, login: Any, c: Connection) -> None:
    from django.contrib.auth.models import User

    import pgqueue

    @pgqueue.task(name="greet")
    def greet(*args: object) -> None: ...

    user = User.objects.get()
    job = greet.enqueue(user)
    page = text_of(root.get(f"{JOBS}{job.id}/change/"))
    link = f'<a href="/admin/auth/user/{user.pk}/change/">auth.user {user.pk}</a>'
    assert f"<dt>Given</dt><dd>{link}</dd>" in page
    assert f"  auth.user {user.pk}\n" in page
    # What says it for the index is no meta of the application's.
    assert "Meta" not in page
    assert "pgqueue_objects" not in page
    seen = login("view_job", "view_job_payload").get(f"{JOBS}{job.id}/change/")
    assert facts_of(text_of(seen))["Given"] == f"auth.user {user.pk}"
    assert "/admin/auth/user/" not in text_of(seen)
    assert "auth.user" not in text_of(login("view_job").get(f"{JOBS}{job.id}/change/"))
    many = factories.job(
        c, meta=json.dumps({"pgqueue_objects": [f"gone.x:{n}" for n in range(12)]})
    )
    page = text_of(root.get(f"{JOBS}{many}/change/"))
    assert facts_of(page)["Given"].endswith("gone.x 9 and 2 more")
    # No row is read for it.
    plain = factories.job(c)
    costs = [statements(root, f"{JOBS}{one}/change/")[0] for one in (many, plain)]
    assert costs[0] == costs[1]


def test_times_say_their_zone(root: Any, c: Connection) -> None:
    from django.utils import timezone

    at = dt.datetime(2020, 1, 2, 12, 0, 5, tzinfo=dt.UTC)
    later = dt.datetime(2090, 7, 1, 12, 0, 5, tzinfo=dt.UTC)
    job = factories.finished(c, "failed", created_at=at)
    c.execute("INSERT INTO pgqueue.job_errors VALUES (%s, 1, %s, 'E', 'e', 't')", (job, at))
    c.execute("SELECT pgqueue.pause('mail', resume_in => interval '1000 days')")
    due = factories.scheduled(c, run_at=later)
    worker = factories.worker(c, started_at=at)
    make(c, "report")
    c.execute("SELECT pgqueue.create_group('g')")
    with timezone.override("Europe/Berlin"):
        page = text_of(root.get(f"{JOBS}{job}/change/"))
        assert facts_of(page)["Enqueued"] == "2 Jan 2020 13:00:05 CET"
        assert page.count(">2 Jan 2020 13:00:05 CET<") == 2
        page = text_of(root.get(f"{JOBS}{due}/change/"))
        assert facts_of(page)["Due"].startswith("1 Jul 2090 14:00:05 CE")
        page = text_of(root.get(f"/admin/pgqueue/worker/{worker}/change/"))
        assert facts_of(page)["started"] == "2 Jan 2020 13:00:05 CET"
        for one in (queue_page("mail"), "/admin/pgqueue/queue/"):
            assert re.search(r"until <time[^>]*>[^<]* CES?T</time>", text_of(root.get(one)))
        # Lists have no room for it in every row; what is not of this year has its year.
        for model in LISTS:
            assert "Times in Europe/Berlin" in text_of(root.get(f"/admin/pgqueue/{model}/")), model
        page = text_of(root.get(JOBS))
        assert ">2 Jan 2020 13:00:05</time>" in page
        assert ">1 Jul 2090 14:00:05</time>" in page
        page = text_of(root.get(JOBS, headers={"Accept-Language": "de"}))
        assert ">2. Jan 2020 13:00:05</time>" in page


def test_a_schedule_that_nobody_has_planned_yet(root: Any, c: Connection) -> None:
    make(c, "report")
    assert "as soon as a worker has planned it" in text_of(root.get(SCHEDULES))
    assert "active" in text_of(root.get(address("report")))


def test_a_job_that_ran_before_its_time(root: Any, c: Connection) -> None:
    parked = factories.job(c, run_at="infinity")
    assert ">never</span>" in text_of(root.get(f"{JOBS}{parked}/change/"))
    assert root.post(f"{JOBS}{parked}/act/run/").status_code == 302
    c.execute("SELECT * FROM pgqueue.dequeue(%s::bigint)", (factories.worker(c),))
    assert factories.state(c, parked) == "running"
    facts = facts_of(text_of(root.get(f"{JOBS}{parked}/change/")))
    assert "Due" not in facts
    assert "Waited" not in facts


def test_counts_and_ends_of_the_list(root: Any, c: Connection) -> None:
    # Or autovacuum may count them meanwhile.
    c.execute("ALTER TABLE pgqueue.jobs SET (autovacuum_enabled = false)")
    factories.jobs(c, 60)
    c.execute("UPDATE pg_class SET reltuples = 1234567 WHERE oid = 'pgqueue.jobs'::regclass")
    page = text_of(root.get(JOBS))
    assert "about 1,234,567 in all" in " ".join(page.split())
    words = re.sub("<.*?>", "", page[page.index("jobs shown") :]).split("Times in")[0].strip()
    assert not words.endswith("."), words
    # A column with nothing in it has one sign for that.
    assert ">-<" not in page


def test_a_retention_of_nothing_is_shown_as_such(login: Any, c: Connection) -> None:
    c.execute(
        "SELECT pgqueue.configure_queue('mail', retention_succeeded => interval '0',"
        " retention_other => interval '3 days')"
    )
    facts = facts_of(text_of(login("view_queue").get(queue_page("mail"))))
    assert facts["succeeded jobs"] == "0s"
    assert facts["other jobs"] == "3d"


def test_json_that_is_none_is_named(root: Any, c: Connection) -> None:
    factories.job(c, args="[42]")
    words = ["What begins as JSON is looked for in arguments, and this is no JSON."]
    for broken in ("[42", '{"a": }', "[" * 5000):
        response = root.get(JOBS, {"q": broken})
        assert messages_of(response) == words
        assert response.context["cl"].result_list == []
    assert messages_of(root.get(JOBS, {"q": "[42]"})) == []


def test_no_worker_is_in_red(root: Any, c: Connection) -> None:
    tile = '<dd id="pgq-workers"{}>{}</dd>'
    page = "/admin/pgqueue/dashboard/"
    assert tile.format(' class="pgq-error"', 0) in text_of(root.get(page))
    factories.worker(c)
    dashboard = importlib.import_module("pgqueue.django.admin.dashboard")
    dashboard.forget()
    assert tile.format("", 1) in text_of(root.get(page))


def test_there_are_no_links_to_what_one_may_not_see(login: Any, c: Connection) -> None:
    job = factories.running(c)
    page = f"{JOBS}{job}/change/"
    assert "/worker/" in text_of(login("view_job", "view_worker").get(page))
    assert "/worker/" not in text_of(login("view_job").get(page))
