"""The list of jobs and the page of one: what they show, at what cost."""

from typing import Any

import pytest

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of

JOBS = "/admin/pgqueue/job/"


def ids(response: Any) -> list[int]:
    return [job.pk for job in response.context["cl"].result_list]


def statements(client: Any, address: str) -> Any:
    """Count the statements of a page, and give the page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code == 200
    return len(captured), response


def test_each_state_has_its_list(root: Any, c: Connection) -> None:
    made = {
        "blocked": factories.blocked(c),
        "scheduled": factories.scheduled(c),
        "ready": factories.ready(c),
        "running": factories.running(c),
        **{
            state: factories.finished(c, state, error="why")
            for state in ("succeeded", "failed", "cancelled", "expired")
        },
    }
    assert ids(root.get(JOBS)) == sorted(made.values(), reverse=True)
    for state, job in made.items():
        response = root.get(JOBS, {"state": state})
        assert ids(response) == [job], state
        shown = "" if state == "succeeded" else " (1)"
        assert f">{state}{shown}</a>" in text_of(response)
        assert text_of(root.get(f"{JOBS}{job}/change/")).count(f">{state}</span>") == 1


def test_filters_can_be_combined(root: Any, c: Connection) -> None:
    wanted = factories.finished(c, "failed", task="mail.send", queue="mail")
    factories.finished(c, "failed", task="mail.send", queue="bulk")
    factories.finished(c, "failed", task="mail.receive", queue="mail")
    factories.finished(c, "succeeded", task="mail.send", queue="mail")
    old = factories.finished(
        c, "failed", task="mail.send", queue="mail", finished_at="2020-05-05 12:00:00+00"
    )
    words = {"state": "failed", "task": "mail.send", "queue": "mail"}
    assert ids(root.get(JOBS, words)) == [wanted, old]
    assert ids(root.get(JOBS, {**words, "since": "1h"})) == [wanted]
    between = {"since": "2020-05-05T11:59Z", "until": "2020-05-05T12:01:00Z"}
    assert ids(root.get(JOBS, {**words, **between})) == [old]
    assert ids(root.get(JOBS, {**words, "q": "RECEIVE"})) == []


def test_a_worker_has_a_list(root: Any, c: Connection) -> None:
    job = factories.running(c)
    factories.running(c)
    worker = factories.position(c, job)["worker_id"]
    response = root.get(JOBS, {"state": "running", "worker": worker})
    assert ids(response) == [job]
    assert "By worker" in text_of(response)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("SEND", ["send"]),
        ("[42]", ["send"]),
        ('{"order": 7}', ["order"]),
        ("[43]", []),
        ('{"order": 8}', []),
        ("{broken", []),
        ("[NaN]", []),
        ('["\\u0000"]', []),
        ("nobody", []),
        ("99999999999999999999999", []),
        ("\0", ["order", "send"]),
    ],
)
def test_search(word: str, found: list[str], root: Any, c: Connection) -> None:
    made = {
        "send": factories.job(c, "mail.send", args="[42, 1]"),
        "order": factories.finished(c, task="order", kwargs='{"order": 7, "x": 1}'),
    }
    assert ids(root.get(JOBS, {"q": word})) == [made[name] for name in found]


def test_search_by_id(root: Any, c: Connection) -> None:
    job, _other = factories.job(c), factories.job(c)
    assert ids(root.get(JOBS, {"q": str(job), "state": "failed"})) == [job]


def test_pages_follow_each_other(root: Any, c: Connection) -> None:
    made = factories.jobs(c, 120)
    seen: list[int] = []
    address = JOBS
    for _ in range(3):
        response = root.get(address)
        seen += ids(response)
        address = f"{JOBS}{response.context['cl'].next_page}"
    assert seen == sorted(made, reverse=True)
    assert response.context["cl"].next_page is None
    assert response.context["cl"].first_page == "?"


def test_failed_jobs_of_one_moment_follow_each_other(root: Any, c: Connection) -> None:
    made = [factories.finished(c, "failed", finished_at="2024-01-01") for _ in range(70)]
    response = root.get(JOBS, {"state": "failed"})
    rest = root.get(f"{JOBS}{response.context['cl'].next_page}")
    assert ids(response) + ids(rest) == sorted(made, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        "after=x", "after=%00", "state=nothing", "since=never", "until=-1", "worker=x", "p=7",
        "queue=%00", "task=%00", "since=%00", "q=%00%00", "after=1~1&state=failed", "e=1",
        "since=99999d", "until=9999-12-31T23:59", "all=", "o=1.2", "worker=99999999999999999999",
    ],
)  # fmt: skip
def test_what_is_typed_into_the_address_breaks_nothing(
    query: str, root: Any, c: Connection
) -> None:
    factories.job(c)
    assert root.get(f"{JOBS}?{query}").status_code == 200


def test_a_filter_that_there_is_not_is_refused(root: Any, c: Connection) -> None:
    response = root.get(f"{JOBS}?task__startswith=a", follow=True)
    assert response.redirect_chain[0][0].endswith("?e=1")


def test_lists_cost_the_same_however_many_jobs_there_are(root: Any, c: Connection) -> None:
    # Those of the session and the user, the two of the filters, the search, the rows.
    addresses = [JOBS, f"{JOBS}?state=ready", f"{JOBS}?state=failed&task=task&queue=default"]
    factories.job(c)
    factories.finished(c, "failed")
    few = [statements(root, address)[0] for address in addresses]
    for _ in range(60):
        factories.running(c, queue="other")
        factories.finished(c, "failed", error="why")
        factories.scheduled(c)
    factories.jobs(c, 60)
    many = [statements(root, address) for address in addresses]
    assert [count for count, _ in many] == few == [6, 6, 6]
    assert [len(ids(page)) for _, page in many] == [50, 50, 50]


def test_the_page_of_a_job(root: Any, c: Connection) -> None:
    job = factories.finished(
        c, "failed", task="mail.send", args='[42, {"api_token": "hush"}]', attempt=3, lost=1,
        kwargs='{"password": "hush", "order": 7}', meta='{"deep": [{"Secret": "hush"}]}',
        max_attempts=5, error="ValueError: no such order", started_at="now",
    )  # fmt: skip
    for attempt in (1, 2):
        c.execute(
            "INSERT INTO pgqueue.job_errors VALUES (%s, %s, now(), 'ValueError', 'no', %s)",
            (job, attempt, f"Traceback of attempt {attempt}"),
        )
    count, response = statements(root, f"{JOBS}{job}/change/")
    page = text_of(response)
    assert count == 5
    parts = (
        "mail.send", "Traceback of attempt 1", "Traceback of attempt 2", "no such order",
        "3 begun, 5 may fail, 1 lost through no fault of the job", "&quot;order&quot;: 7",
    )  # fmt: skip
    for part in parts:
        assert part in page, part
    assert page.count(f"{JOBS}{job}/history/") == 1
    assert "hush" not in page
    assert page.count("••••••") == 3
    assert [act.name for act in response.context["acts"]] == ["retry", "move", "delete_selected"]


def test_arguments_are_hidden_by_the_names_of_their_parameters(root: Any, c: Connection) -> None:
    from pgqueue import task

    @task(name="log_in", context=True)
    def log_in(context: Any, user: str, password: str) -> None: ...

    job = factories.job(c, "log_in", args='["anna", "hush"]')
    page = text_of(root.get(f"{JOBS}{job}/change/"))
    assert "anna" in page
    assert "hush" not in page


def test_the_setting_says_what_is_hidden(root: Any, c: Connection) -> None:
    from django.test import override_settings

    job = factories.job(c, kwargs='{"password": "shown", "IBAN": "hush"}')
    with override_settings(PGQUEUE={"REDACT": ["iban"]}):
        page = text_of(root.get(f"{JOBS}{job}/change/"))
    assert "shown" in page
    assert "hush" not in page


@pytest.mark.parametrize(
    "args",
    ["[" * 3000 + "]" * 3000, f"[{'9' * 5000}]", f'["{"x" * 100_000}"]', "[1e400, -0, 0.1]"],
)
def test_arguments_of_any_kind_are_shown_somehow(args: str, root: Any, c: Connection) -> None:
    c.execute("SELECT set_config('session_replication_role', 'replica', false)")
    c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER USER")
    job = factories.job(c, args=args)
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file")
    c.execute("SELECT pgqueue.file_strays()")
    assert root.get(f"{JOBS}{job}/change/").status_code == 200
    assert root.get(JOBS).status_code == 200


def test_progress_and_times_that_are_not_in_the_calendar(root: Any, c: Connection) -> None:
    job = factories.running(c)
    c.execute("SELECT pgqueue.set_progress(%s, 0.4, 'page 4 of 10')", (job,))
    parked = factories.scheduled(c)
    page = text_of(root.get(JOBS))
    assert '<progress max="100" value="40">' in page
    assert "page 4 of 10" in page
    assert ">never</span>" in page
    assert ">never</span>" in text_of(root.get(f"{JOBS}{parked}/change/"))
    assert "page 4 of 10" in text_of(root.get(f"{JOBS}{job}/change/"))


@pytest.mark.parametrize("name", ["4711", "x", "99999999999999999999"])
def test_a_job_that_is_not_there(name: str, root: Any) -> None:
    response = root.get(f"{JOBS}{name}/change/", follow=True)
    assert messages_of(response) == [f"There is no job “{name}”. It may have been pruned."]


def test_the_admin_speaks_german(root: Any, c: Connection) -> None:
    job = factories.job(c)
    words = {
        JOBS: "1 Auftrag gezeigt",
        f"{JOBS}{job}/change/": "Warteschlange ändern",
        "/admin/pgqueue/schedule/add/": "Deren Uhren die Regel meint.",
        "/admin/pgqueue/dashboard/": "Durchsatz",
    }
    for address, said in words.items():
        assert said in text_of(root.get(address, headers={"Accept-Language": "de"})), address
