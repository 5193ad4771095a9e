"""Groups in the admin, and what ties a job to others: what they show, who may, at what cost."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of
from tests.django_app.admin.test_jobs import JOBS, statements
from tests.django_app.admin.test_pages import EVIL

GROUPS = "/admin/pgqueue/group/"


def make(c: Connection, name: str | None = "orders", jobs: int = 3, **words: Any) -> list[int]:
    """A closed group; gives its id, and those of its jobs."""
    (group,) = c.execute("SELECT pgqueue.create_group(%s)", (name,)).fetchone() or (0,)
    made = [factories.job(c, group_id=group, **words) for _ in range(jobs)]
    c.execute("SELECT pgqueue.close_group(%s)", (group,))
    return [group, *made]


def test_a_group(root: Any, c: Connection) -> None:
    group, *jobs = make(c)
    c.execute("SELECT pgqueue.cancel(%s)", (jobs[0],))
    page = text_of(root.get(GROUPS))
    assert f"{GROUPS}{group}/change/" in page
    assert "orders" in page
    assert "33 %" in page
    page = text_of(root.get(f"{GROUPS}{group}/change/"))
    assert all(f"{JOBS}{job}/change/" in page for job in jobs)
    assert f"{GROUPS}{group}/change/" in text_of(root.get(f"{JOBS}{jobs[1]}/change/"))
    act = f"{GROUPS}{group}/act/"
    assert messages_of(root.post(f"{act}cancel/", follow=True)) == [
        f"Group {group}: cancelled; jobs that were cancelled or asked to stop: 2"
    ]
    assert {factories.state(c, job) for job in jobs} == {"cancelled"}
    assert messages_of(root.post(f"{act}retry/", follow=True)) == [
        f"Group {group}: goes on; jobs that run again: 3"
    ]
    assert {factories.state(c, job) for job in jobs} == {"ready"}
    assert root.get(f"{act}cancel/").status_code == 405
    assert root.post(f"{act}burn/").status_code == 404
    for none in ("0", "4711", "x", "9" * 30):
        assert "There is no group" in "".join(
            messages_of(root.get(f"{GROUPS}{none}/change/", follow=True))
        )
    assert "no group" in "".join(messages_of(root.post(f"{GROUPS}4711/act/retry/", follow=True)))


def test_pages_of_groups_cost_the_same_however_many_there_are(root: Any, c: Connection) -> None:
    make(c)
    few, _page = statements(root, GROUPS)
    for _ in range(60):
        make(c, None, 2)
    many, response = statements(root, GROUPS)
    assert many == few
    shown = text_of(response)
    assert "Older" in shown
    # The newest come first.
    assert f"{GROUPS}61/change/" in shown
    assert f"{GROUPS}12/change/" in shown
    assert f"{GROUPS}11/change/" not in shown
    older = text_of(root.get(GROUPS, {"before": "12"}))
    assert f"{GROUPS}11/change/" in older
    assert f"{GROUPS}12/change/" not in older
    assert root.get(GROUPS, {"before": "x"}).status_code == 200


def test_the_jobs_of_a_group_are_listed(root: Any, c: Connection) -> None:
    group, *jobs = make(c)
    other, *_others = make(c, "orders again")
    factories.jobs(c, 3)
    c.execute("SELECT pgqueue.cancel(%s)", (jobs[0],))
    page = text_of(root.get(f"{GROUPS}{group}/change/"))
    for query in (f"?group={group}", f"?state=cancelled&amp;group={group}"):
        assert f'"{JOBS}{query}"' in page

    def listed(**words: str) -> list[int]:
        return [job.pk for job in root.get(JOBS, words).context["cl"].result_list]

    assert listed(group=str(group)) == listed(group="orders") == jobs[::-1]
    assert listed(group="orders", state="cancelled") == [jobs[0]]
    assert listed(group="orders", task="none") == listed(group="nobody") == []
    few, response = statements(root, f"{JOBS}?group={other}&state=ready")
    assert few == 6
    assert f'<option value="{group}">orders</option>' in text_of(response)


def test_who_may_do_what_with_groups(login: Callable[..., Any], c: Connection) -> None:
    group, job, *_others = make(c)
    c.execute('UPDATE pgqueue.groups SET meta = \'{"word": "between us"}\'')
    for permissions, may in (
        (("view_group",), set()),
        (("view_group", "cancel_group"), {"cancel"}),
        (("view_group", "retry_group"), {"retry"}),
        (("cancel_group",), set()),
    ):
        client = login(*permissions)
        for name in ("retry", "cancel"):
            status = client.post(f"{GROUPS}{group}/act/{name}/").status_code
            assert status == (302 if name in may else 403), (permissions, name)
    shown = text_of(login("view_group").get(f"{GROUPS}{group}/change/"))
    assert f"{JOBS}{job}/change/" not in shown
    assert "between us" not in shown
    seen = login("view_group", "view_job_payload").get(f"{GROUPS}{group}/change/")
    assert "between us" in text_of(seen)
    assert f"{GROUPS}{group}" not in text_of(login("view_job").get(f"{JOBS}{job}/change/"))


@pytest.mark.parametrize("evil", EVIL[:6])
def test_every_value_is_escaped(evil: str, root: Any, c: Connection) -> None:
    import json

    group, job = make(c, evil, 1, concurrency_key=evil, unique_key=evil, task=evil, queue=evil)
    c.execute("UPDATE pgqueue.groups SET meta = %s", (json.dumps({evil: evil}),))
    c.execute("INSERT INTO pgqueue.job_logs VALUES (%s, 1, 1, now(), %s, %s)", (job, evil, evil))
    addresses = (GROUPS, f"{GROUPS}{group}/change/", f"{JOBS}{job}/change/")
    for page in [text_of(root.get(address)) for address in addresses]:
        for bad in ("<script>alert", "<img src=x", 'onerror=alert(1)>"'):
            assert bad not in page
        assert "1522756" not in page


def test_a_flow_and_its_schedule(login: Callable[..., Any], root: Any, c: Connection) -> None:
    c.execute("SELECT pgqueue.schedule('nightly', 'shop.report', every => '1 day')")
    (first,) = c.execute("SELECT pgqueue.run_schedule_now('nightly')").fetchone() or (0,)
    flow = c.execute(
        """SELECT f.job_ids FROM pgqueue.enqueue_flow('[{"task": "a", "callbacks": {"on_failure":
        "alarm", "on_success": {"task": "thank"}}}, {"task": "b", "after": [0]}]') AS f"""
    ).fetchone()
    assert flow is not None
    page = text_of(root.get(f"{JOBS}{first}/change/"))
    assert "/admin/pgqueue/schedule/nightly/change/" in page
    assert "Planned for" in page
    assert "schedule/nightly" not in text_of(login("view_job").get(f"{JOBS}{first}/change/"))
    page = text_of(root.get(f"{JOBS}{flow[0][0]}/change/"))
    assert f"{JOBS}{flow[0][1]}/change/" in page
    assert "alarm" in page
    assert "thank" in page


def test_what_ties_a_job_to_others(login: Callable[..., Any], root: Any, c: Connection) -> None:
    first = factories.job(c)
    job = factories.job(c, after=[first], unique_key="only one", fair_key="of me")
    c.execute(
        "INSERT INTO pgqueue.job_logs VALUES (%s, 1, 2, now(), 'warning', 'second'),"
        " (%s, 1, 1, now(), 'info', 'a first line')",
        (job, job),
    )
    page = text_of(root.get(f"{JOBS}{job}/change/"))
    for text in (f"{JOBS}{first}/change/", "only one", "of me", "runs after other jobs"):
        assert text in page
    assert page.index("a first line") < page.index(">second<")
    assert "a first line" not in text_of(login("view_job").get(f"{JOBS}{job}/change/"))
