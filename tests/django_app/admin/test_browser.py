"""The admin in a real browser, before a real server and a real worker.

The browser is Debian's `chromium`, looked for in the PATH and driven by playwright, which brings
none of its own along. `.ci/run` installs it; elsewhere root must, and an ordinary user's tests are
skipped without it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests import factories
from tests.acceptance.support import stop
from tests.django_app.admin.conftest import Connection
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

# Each draws some forty pages, for which other processes may leave it little of the processor.
pytestmark = pytest.mark.timeout(400)

JOBS = "/admin/pgqueue/job/"
#: Milliseconds that a browser takes to start, and anything in it to happen, on a slow machine.
_LAUNCH, _WAIT = 120_000, 60_000


@pytest.fixture
def ticket(desk: Database) -> str:
    """The session of somebody who has logged in: a form and a slow hash less for each window."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get(username="root"))
    return str(client.cookies["sessionid"].value)


@pytest.fixture
def chromium(site: str, ticket: str) -> Iterator[Any]:
    """A browser without a window; of one test, since playwright runs an event loop meanwhile."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing = "chromium is not on this machine: apt-get install chromium"
        if os.geteuid() == 0:
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox does not work for root, and it opens nothing here but our own pages.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=_LAUNCH
        )
        yield browser
        browser.close()


@pytest.fixture
def site(desk: Database) -> Iterator[str]:
    """The address of a server of the project, in threads of this process."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.test.testcases import LiveServerThread

    server = LiveServerThread("127.0.0.1", StaticFilesHandler, port=0)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    if server.error:
        raise server.error
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()


def logged_in(chromium: Any, site: str, ticket: str, **options: Any) -> Any:
    """Windows of somebody who has logged in; small, since each page is drawn by the processor."""
    context = chromium.new_context(
        base_url=site, locale="en-GB", timezone_id="UTC",
        viewport={"width": 1000, "height": 500}, **options,
    )  # fmt: skip
    context.set_default_timeout(_WAIT)
    context.add_cookies([{"name": "sessionid", "value": ticket, "url": site}])
    return context


@pytest.fixture
def page(chromium: Any, site: str, ticket: str) -> Iterator[Any]:
    """A page of somebody who has logged in; whatever goes wrong in it fails the test."""
    context = logged_in(chromium, site, ticket)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    opened.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 500 else None)
    yield opened
    context.close()
    assert wrong == []


def press(page: Any, selector: str) -> None:
    """Click on what leads to another page, and wait for that."""
    with page.expect_navigation():
        page.click(selector)


def choose(page: Any, jobs: list[int], label: str) -> None:
    """Tick jobs in the list, choose what is done with them, and press the button."""
    for job in jobs:
        page.check(f'input[name="_selected_action"][value="{job}"]')
    page.select_option('select[name="action"]', label=label)
    press(page, ".actions button")


def said(page: Any) -> str:
    """What the page says has been done."""
    return str(page.inner_text(".messagelist"))


def act_from_the_list(page: Any, c: Connection) -> None:
    failed = [factories.finished(c, "failed") for _ in range(2)]
    page.goto(f"{JOBS}?state=failed")
    choose(page, failed, "Retry selected jobs that are over")
    assert said(page) == "2 jobs are ready."

    later = factories.scheduled(c)
    page.goto(JOBS)
    choose(page, [later], "Run selected scheduled jobs now")
    assert said(page) == "1 job is ready."

    choose(page, failed, "Change the priority of selected jobs")
    page.fill("#id_priority", "12")
    press(page, "input[value='Change priority']")
    assert said(page) == "2 jobs have another priority."

    choose(page, failed, "Move selected jobs to another queue")
    page.fill("#id_queue", "slow")
    press(page, "input[value='Change queue']")
    assert said(page) == "2 jobs have another queue."
    assert {factories.position(c, job)["queue"] for job in failed} == {"slow"}
    assert {factories.position(c, job)["priority"] for job in failed} == {12}

    choose(page, [failed[0]], "Cancel selected jobs")
    page.fill("#id_reason", "by mistake")
    press(page, "input[value='Cancel']")
    assert said(page) == "1 job is cancelled."

    choose(page, failed, "Delete selected jobs")
    press(page, "text=No, take me back")
    assert factories.state(c, failed[1]) == "ready"
    choose(page, failed, "Delete selected jobs")
    press(page, "input[value='Delete']")
    assert said(page) == "2 jobs were deleted."
    assert c.execute("SELECT id FROM pgqueue.jobs").fetchall() == [(later,)]


def act_on_the_page_of_a_job(page: Any, c: Connection) -> None:
    job = factories.scheduled(c, task="mail.send")
    page.goto(JOBS)
    press(page, f".field-number a:has-text('{job}')")
    # The other forms are those of the list.
    press(page, "button:has-text('Change queue…')")
    page.fill("#id_queue", "slow")
    press(page, ".submit-row input[type=submit]")
    assert said(page) == "1 job has another queue."
    press(page, "button:has-text('Run now')")
    assert said(page) == "1 job is ready."
    press(page, "button:has-text('Cancel…')")
    press(page, ".submit-row input[type=submit]")
    assert said(page) == "1 job is cancelled."
    press(page, "button:has-text('Retry')")
    assert said(page) == "1 job is ready."
    assert factories.position(c, job)["queue"] == "slow"
    press(page, "button:has-text('Delete…')")
    press(page, ".submit-row input[type=submit]")
    assert said(page) == "1 job was deleted."
    assert page.url.endswith(JOBS)


def filter_and_search(page: Any, c: Connection) -> None:
    wanted = factories.finished(c, "failed", task="mail.send", queue="mail", args="[42]")
    factories.finished(c, "failed", task="mail.receive", queue="mail")
    factories.jobs(c, 60)
    page.goto(JOBS)
    press(page, "text=Next page")
    press(page, "text=First page")
    press(page, "text=failed (2)")
    page.fill("input[name=queue]", "mail")
    press(page, "form:has(input[name=queue]:not([type=hidden])) button")
    page.fill("input[name=task]", "mail.send")
    press(page, "form:has(input[name=task]:not([type=hidden])) button")
    assert "1 job shown" in page.inner_text(".pgq-pages")
    press(page, "text=Clear all filters")
    page.fill("#searchbar", "[42]")
    press(page, "input[value=Search]")
    assert page.locator(".field-number").all_inner_texts() == [str(wanted)]


def pause_and_configure(page: Any, c: Connection) -> None:
    factories.jobs(c, 3, queue="mail")
    page.goto("/admin/pgqueue/queue/")
    press(page, "tr:has-text('mail') button:has-text('Pause')")
    press(page, "tr:has-text('mail') button:has-text('Resume')")
    press(page, "#content-main th a:has-text('mail')")
    page.fill("#id_resume_in", "2h")
    press(page, "button:has-text('Pause')")
    assert said(page) == "Queue mail: paused; running jobs go on."
    page.fill("#id_retention_succeeded", "3d")
    press(page, "form:has(#id_retention_succeeded) button")
    assert said(page) == "Queue mail: retention set for jobs that end from now on."
    page.fill("#id_max_running", "7")
    page.fill("#id_rate", "often")
    press(page, "form:has(#id_rate) button")
    assert "rate must be" in page.inner_text("form:has(#id_rate) .errorlist")
    page.fill("#id_rate", "100/m")
    page.fill("#id_max_pending", "1000")
    press(page, "form:has(#id_rate) button")
    assert said(page) == "Queue mail: limits set; running jobs go on."
    assert page.input_value("#id_rate") == "100/m"
    press(page, "button:has-text('Resume')")
    query = (
        "SELECT paused, retention_succeeded::text, max_running, rate_jobs, rate_seconds::int,"
        " max_pending FROM pgqueue.queues WHERE name = 'mail'"
    )
    assert c.execute(query).fetchone() == (False, "72:00:00", 7, 100, 60, 1000)


def cancel_and_retry_a_group(page: Any, c: Connection) -> None:
    (group,) = c.execute("SELECT pgqueue.create_group('import 7')").fetchone() or (0,)
    jobs = [factories.job(c, group_id=group) for _ in range(2)]
    c.execute("SELECT pgqueue.close_group(%s)", (group,))
    page.goto("/admin/pgqueue/group/")
    press(page, f"#content-main th a:has-text('{group}')")
    press(page, "button:has-text('Cancel')")
    assert "were cancelled or asked to stop: 2" in said(page)
    press(page, "button:has-text('Retry what did not succeed')")
    assert "jobs that run again: 2" in said(page)
    press(page, "text=All its jobs")
    assert page.locator(".field-number").all_inner_texts() == [str(job) for job in jobs[::-1]]
    press(page, f".field-number a:has-text('{jobs[0]}')")
    press(page, "dd a:has-text('import 7')")
    assert page.url.endswith(f"/group/{group}/change/")


def look_at_the_dashboard(page: Any, desk: Database, c: Connection, worker: StartWorker) -> None:
    for number in range(50):
        factories.jobs(c, number + 1, queue=f"queue-{number:02}", run_at="now")
    page.goto("/admin/pgqueue/dashboard/")
    page.wait_for_selector('[data-chart="depth"] canvas')
    assert page.locator("canvas").count() == 6
    legend = page.locator('[data-chart="depth"] .u-legend')
    assert "queue-49" in legend.inner_text()
    assert "all others" in legend.inner_text()
    # What is now is said while nobody points at a chart.
    page.mouse.move(1, 1)
    eventually(lambda: "queue-4950" in legend.inner_text(), 60)
    assert page.locator("#pgq-queues tbody tr").count() == 50
    page.fill("#pgq-find", "queue-0")
    assert page.locator("#pgq-queues tbody tr").count() == 10
    # The other theme is drawn in its colours.
    colors = []
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colors)) == 2
    # Times are those of the admin's time zone, America/Chicago, and not of the browser's.
    assert re.search(r" (GMT-[56]|C[SD]T)$", page.inner_text("#pgq-live"))
    c.execute("DELETE FROM pgqueue.jobs")
    job = factories.job(c, "tests.acceptance.tasks.echo", args="[1]")
    running = worker("--processes", "1", ready=False, dsn=desk.dsn)
    eventually(lambda: factories.state(c, job) == "succeeded", 60)
    page.wait_for_function("document.getElementById('pgq-workers').textContent === '1'")
    page.wait_for_function("document.getElementById('pgq-ready').textContent === '0'")
    page.goto("/admin/pgqueue/worker/")
    press(page, "#content-main th[scope=row] a")
    assert "alive" in page.inner_text(".pgq-head")
    stop(running)


def look_without_scripts(chromium: Any, site: str, ticket: str, c: Connection) -> None:
    factories.jobs(c, 7, queue="mail")
    context = logged_in(chromium, site, ticket, java_script_enabled=False)
    opened = context.new_page()

    def shows_the_queue() -> bool:
        opened.goto("/admin/pgqueue/dashboard/")
        return bool(re.search(r"mail\s+7\s", opened.inner_text("#pgq-queues")))

    # For a second it may show what another page has asked for.
    eventually(shows_the_queue, 60)
    assert opened.is_hidden(".pgq-charts")
    assert opened.is_visible("#pgq-lately table")
    context.close()


#: Each of these would run a script, or leave its place, somewhere where it is not escaped.
EVIL = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>'\"></script></textarea></title>"
    "<svg/onload=alert(3)>--><a href=javascript:alert(4)>{{ 7|add:4711000 }}"
)


def fill_with_scripts(c: Connection) -> list[str]:
    """Have them in every column of text; gives the addresses of pages that show them."""
    at = factories.worker(c, EVIL, hostname=EVIL, queues=[EVIL], version=EVIL)
    (group,) = c.execute("SELECT pgqueue.create_group(%s)", (EVIL,)).fetchone() or (0,)
    job = factories.running(
        c, at, task=EVIL, queue=EVIL, group_id=group,
        args=json.dumps([EVIL]), kwargs=json.dumps({EVIL: EVIL}),
        meta=json.dumps({EVIL: EVIL, "pgqueue": {"schedule": EVIL, "planned_at": EVIL}}),
        callbacks=json.dumps({"on_failure": EVIL}),
    )  # fmt: skip
    c.execute("SELECT pgqueue.set_progress(%s, 0.5, %s)", (job, EVIL))
    c.execute("SELECT pgqueue.add_log(%s, %s)", (job, EVIL))
    over = factories.finished(
        c, "failed", task=EVIL, queue=EVIL, error=EVIL, result=json.dumps(EVIL)
    )
    c.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), %s, %s, %s)", (over, EVIL, EVIL, EVIL)
    )
    factories.job(c, task=EVIL, queue=EVIL, fair_key=EVIL)
    keyed = factories.job(c, task=EVIL, queue=EVIL, concurrency_key=EVIL, unique_key=EVIL)
    c.execute(
        "SELECT pgqueue.schedule(%s, %s, %s, %s, cron => '0 9 * * *', queue => %s)",
        (EVIL, EVIL, json.dumps([EVIL]), json.dumps({EVIL: EVIL}), EVIL),
    )
    c.execute("UPDATE pgqueue.schedules SET error = %s, rule = %s", (EVIL, EVIL))
    part = quote(EVIL, safe="")
    return [
        JOBS, f"{JOBS}?q={part}", f"{JOBS}?task={part}&queue={part}&group={part}&since={part}",
        f"{JOBS}{job}/change/", f"{JOBS}{over}/change/", f"{JOBS}{keyed}/change/",
        f"{JOBS}{part}/change/",
        "/admin/pgqueue/queue/", "/admin/pgqueue/worker/", f"/admin/pgqueue/worker/{at}/change/",
        "/admin/pgqueue/group/", f"/admin/pgqueue/group/{group}/change/",
        "/admin/pgqueue/schedule/", f"/admin/pgqueue/schedule/?q={part}",
        "/admin/pgqueue/failure/", "/admin/pgqueue/dashboard/",
    ]  # fmt: skip


def meet_scripts_in_values(page: Any, c: Connection) -> None:
    from pgqueue.django.admin.dashboard import forget

    # As wide as a telephone: what is wider moves in its own place, and not the page.
    page.set_viewport_size({"width": 390, "height": 700})
    addresses = fill_with_scripts(c)
    forget()
    for address in addresses:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        shown = page.inner_text("body") + "".join(
            page.eval_on_selector_all("input, textarea", "all => all.map((one) => one.value)")
        )
        assert EVIL[:28] in shown, address
        assert "4711007" not in page.inner_text("#content"), address
    page.fill("#pgq-find", "onerror")
    assert page.locator("#pgq-queues tbody tr").count() == 1
    for kind in ("queue", "schedule"):
        page.goto(f"/admin/pgqueue/{kind}/")
        press(page, "#content-main th[scope=row] a")
        assert EVIL[:28] in page.inner_text("#content")


def make_a_schedule(page: Any, c: Connection) -> None:
    page.goto("/admin/pgqueue/schedule/")
    press(page, "text=Add schedule")
    page.fill("#id_task", "shop.report")
    page.select_option("#id_kind", "cron")
    page.fill("#id_timezone", "Europe/Berlin")
    page.type("#id_rule", "30 4 * * ")
    page.wait_for_selector(".pgq-wrong:has-text('cron')")
    page.type("#id_rule", "*")
    page.wait_for_selector("#pgq-words:has-text('every day at 04:30')")
    assert page.locator("#pgq-slots li").count() == 5
    press(page, "input[value=Save]")
    assert said(page) == "Schedule shop.report: added."
    page.select_option("#id_kind", "rrule")
    page.fill("#id_rule", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0;BYSECOND=0")
    page.wait_for_selector("#pgq-words:has-text('every month on the last Friday at 17:00')")
    assert "17:00:00 CE" in page.inner_text("#pgq-slots li:last-child")
    press(page, "input[value=Save]")
    assert said(page) == "Schedule shop.report: changed."
    for button, word in (("Run now", "run now"), ("Pause", "paused"), ("Resume", "resumed")):
        press(page, f"button:has-text('{button}')")
        assert said(page) == f"Schedule shop.report: {word}."
    press(page, "button:has-text('Delete…')")
    press(page, "input[value=Delete]")
    assert said(page) == "Schedule shop.report: deleted."


# A browser takes a while to start, so each test does a lot with one.


def test_what_is_done(page: Any, c: Connection) -> None:
    act_from_the_list(page, c)
    act_on_the_page_of_a_job(page, c)
    pause_and_configure(page, c)
    cancel_and_retry_a_group(page, c)
    make_a_schedule(page, c)


def test_what_is_looked_at(
    page: Any,
    chromium: Any,
    site: str,
    ticket: str,
    desk: Database,
    c: Connection,
    worker: StartWorker,
) -> None:
    filter_and_search(page, c)
    c.execute("DELETE FROM pgqueue.jobs")
    look_at_the_dashboard(page, desk, c, worker)
    look_without_scripts(chromium, site, ticket, c)
    c.execute("DELETE FROM pgqueue.jobs")
    meet_scripts_in_values(page, c)
