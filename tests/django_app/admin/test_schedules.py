"""Schedules: what is shown, made, changed and done; who may."""

import datetime as dt
import json
import sys
from typing import Any

import pytest
from django.test import override_settings

from tests import factories
from tests.django_app.admin.conftest import Connection, messages_of, text_of
from tests.django_app.admin.test_jobs import JOBS, statements
from tests.django_app.admin.test_pages import EVIL

SCHEDULES = "/admin/pgqueue/schedule/"
#: What the form sends when only these are filled in.
GIVEN = {
    "name": "report", "task": "shop.report", "kind": "cron", "rule": "0 9 * * 1-5",
    "timezone": "Europe/Berlin", "catch_up": "once", "overlap": "allow",
}  # fmt: skip


def address(name: str) -> str:
    from django.contrib.admin.utils import quote
    from django.urls import reverse

    return reverse("admin:pgqueue_schedule_change", args=[quote(name)])


def act(name: str, what: str) -> str:
    return f"{address(name).removesuffix('change/')}act/{what}/"


def make(c: Connection, name: str = "report", **words: Any) -> None:
    given = {"name": name, "task": "shop.report", "cron": "0 9 * * *", **words}
    columns = ", ".join(f"{column} => %({column})s" for column in given)
    c.execute(f"SELECT pgqueue.schedule({columns})", given)


def test_a_schedule_is_made_and_changed(root: Any, c: Connection) -> None:
    words = {
        **GIVEN, "args": "[42]", "kwargs": '{"order": 7}', "queue": "slow", "priority": "3",
        "expires": "1h", "timeout": "30s", "max_attempts": "4", "jitter": "10s", "repeats": "9",
    }  # fmt: skip
    response = root.post(f"{SCHEDULES}add/", words, follow=True)
    assert messages_of(response) == ["Schedule report: added."]
    query = (
        "SELECT task, args, kwargs, kind, rule, timezone, queue, priority, expires::text,"
        " timeout::text, max_attempts, jitter::text, repeats, source FROM pgqueue.schedules"
    )
    assert c.execute(query).fetchone() == (
        "shop.report", [42], {"order": 7}, "cron", "0 9 * * 1-5", "Europe/Berlin", "slow", 3,
        "01:00:00", "00:00:30", 4, "00:00:10", 9, "api",
    )  # fmt: skip
    page = text_of(root.get(address("report")))
    assert "from Monday to Friday at 09:00 (Europe/Berlin)" in page
    assert page.count("09:00:00 CE") == 5
    assert 'value="1h"' in page
    response = root.post(
        address("report"), {**words, "name": "x", "rule": "5 5 * * *"}, follow=True
    )
    assert messages_of(response) == ["Schedule report: changed."]
    assert c.execute("SELECT name, rule FROM pgqueue.schedules").fetchall() == [
        ("report", "5 5 * * *")
    ]
    assert "changed" in text_of(root.get(address("report").replace("/change/", "/history/")))


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("every", {"rule": "5m"}, "every 5 minutes<"),
        ("rrule", {"rule": "FREQ=DAILY;BYHOUR=5"}, "every day at 05:00 (UTC)"),
        ("at", {"rule": "", "starts_at": "2090-05-05T12:00:00"}, "once"),
    ],
)
def test_other_kinds(kind: str, words: dict[str, str], said: str, root: Any, c: Connection) -> None:
    given = {**GIVEN, "timezone": "UTC", "kind": kind, **words}
    assert root.post(f"{SCHEDULES}add/", given).status_code == 302
    assert said in text_of(root.get(SCHEDULES))
    # What is shown can be saved again as it is.
    form = root.get(address("report")).context["form"]
    again = {name: value for name, value in form.initial.items() if value is not None}
    if kind == "at":
        again["starts_at"] = again["starts_at"].isoformat()
    before = c.execute("SELECT kind, rule, starts_at FROM pgqueue.schedules").fetchone()
    assert root.post(address("report"), again).status_code == 302
    assert c.execute("SELECT kind, rule, starts_at FROM pgqueue.schedules").fetchone() == before


RULES_IN_WORDS = [
    ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0;BYSECOND=0",
     "every month on the last Friday at 17:00"),
    ("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;BYHOUR=9,17;BYMINUTE=30",
     "every 2 weeks on Monday, Wednesday and Friday at 09:30 and 17:30"),
    ("FREQ=YEARLY;BYMONTH=3,10;BYMONTHDAY=15,-1",
     "every year in March and October on day 15 and the last day"),
    ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "every month on the last weekday"),
    ("FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=1,2",
     "every month on the first Saturday or Sunday and the second Saturday or Sunday"),
    ("FREQ=HOURLY;BYMINUTE=5,35;BYSECOND=0", "every hour at minute 5 and 35"),
    ("FREQ=DAILY;COUNT=1", "every day 1 time"),
    ("freq=daily;count=9;until=20270102T000000Z", "every day 9 times until Jan. 2, 2027"),
    ("FREQ=DAILY\nEXDATE:20270102T000000Z,20270103T000000Z", "every day but not on 2 days"),
    ("FREQ=DAILY;BYHOUR=5;BYMINUTE=0;BYSECOND=7", "every day at 05:00:07"),
    # There are no words for these.
    *((rule, rule) for rule in (
        "FREQ=YEARLY;BYWEEKNO=7", "FREQ=MONTHLY;BYMONTHDAY=-9", "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7;BYMINUTE=0", "FREQ=DAILY;BYHOUR=5", "FREQ=SOMETIMES",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "FREQ=DAILY;BYHOUR=99;BYMINUTE=0", "x", "",
        "FREQ=YEARLY;BYMONTH=13", "FREQ=YEARLY;BYDAY=9MO", "FREQ=DAILY;UNTIL=soon", "\n\n",
    )),
]  # fmt: skip


def test_rules_of_the_calendar_in_words(project: object) -> None:
    from django.utils.translation import override

    from pgqueue.django.admin.rule_words import in_words

    with override("en"):
        for rule, said in RULES_IN_WORDS:
            assert in_words("rrule", rule, "UTC") == f"{said} (UTC)"


def test_other_rules_in_words(project: object) -> None:
    from django.utils.translation import override

    from pgqueue.django.admin.rule_words import in_words

    start = dt.datetime(2027, 1, 2, 12, 5, 7, tzinfo=dt.UTC)
    rules = {
        "FREQ=DAILY": "every day at 13:05:07",
        "FREQ=WEEKLY;BYDAY=FR;BYHOUR=17": "every week on Friday at 17:05:07",
        "FREQ=HOURLY": "every hour",
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0": "every day at 09:00",
    }
    with override("en"):
        for rule, said in rules.items():
            assert in_words("rrule", rule, "Europe/Berlin", start) == f"{said} (Europe/Berlin)"
        assert in_words("rrule", "FREQ=DAILY", "Mars/Olympus", start) == "FREQ=DAILY (Mars/Olympus)"
        assert in_words("cron", "bad", "UTC") == "bad (UTC)"


CRON_IN_WORDS = [
    ("@daily", "every day at 00:00", "jeden Tag um 00:00"),
    ("* * * * *", "every minute", "jede Minute"),
    ("*/5 * * * *", "every 5 minutes", "alle 5 Minuten"),
    ("0 * * * *", "every hour", "jede Stunde"),
    ("30 */2 * * *", "every 2 hours at minute 30", "alle 2 Stunden zur Minute 30"),
    ("*/20 */12 * * *",
     "every day at 00:00, 00:20, 00:40, 12:00, 12:20 and 12:40",
     "jeden Tag um 00:00, 00:20, 00:40, 12:00, 12:20 und 12:40"),
    ("*/7 * * * *",
     "every hour at minute 0, 7, 14, 21, 28, 35, 42, 49 and 56",
     "jede Stunde zur Minute 0, 7, 14, 21, 28, 35, 42, 49 und 56"),
    ("*/5 9-17 * * mon-FRI",
     "from Monday to Friday every 5 minutes from 09:00 to 17:55",
     "von Montag bis Freitag alle 5 Minuten von 09:00 bis 17:55"),
    ("0 9-17 * * *", "every hour from 09:00 to 17:00", "jede Stunde von 09:00 bis 17:00"),
    ("0,30 9-17 * * *",
     "at minute 0 and 30 from 09:00 to 17:30", "zur Minute 0 und 30 von 09:00 bis 17:30"),
    ("*/5 1,3 * * *", "every 5 minutes in the hours 1 and 3",
     "alle 5 Minuten in den Stunden 1 und 3"),
    ("0 9 * * 0,6", "on Saturday and Sunday at 09:00", "am Samstag und Sonntag um 09:00"),
    ("0 9 * * 5-7", "from Friday to Sunday at 09:00", "von Freitag bis Sonntag um 09:00"),
    ("0 9 * * MON#1,5L", "every month on the first Monday and the last Friday at 09:00",
     "jeden Monat am ersten Montag und letzten Freitag um 09:00"),
    ("0 9 L,LW * *", "every month on the last day and the last weekday at 09:00",
     "jeden Monat am letzten Tag und letzten Werktag um 09:00"),
    ("0 9 1-7 * *", "every month from day 1 to day 7 at 09:00",
     "jeden Monat vom 1. bis 7. um 09:00"),
    ("0 9 */3 * *", "every month every 3 days from day 1 at 09:00",
     "jeden Monat alle 3 Tage ab dem 1. um 09:00"),
    ("0 9 1-10/3 * *", "every month on day 1, day 4, day 7 and day 10 at 09:00",
     "jeden Monat am 1., 4., 7. und 10. um 09:00"),
    ("0 9 1,15 * FRI", "every month on day 1, day 15 or Friday at 09:00",
     "jeden Monat am 1., 15. oder Freitag um 09:00"),
    ("0 9 31 12 *", "in December on day 31 at 09:00", "im Dezember am 31. um 09:00"),
    ("0 9 * 3-6 *", "from March to June every day at 09:00",
     "von März bis Juni jeden Tag um 09:00"),
    # What is left is said by the parser's own words, which are English, or as it is written.
    ("0 9 */2 * 1", "At 09:00 on every second day of month if it's on Monday", "0 9 */2 * 1"),
    ("0 9 1-7 * 1", "At 09:00 on every day of month from 1 through 7 and on Monday", "0 9 1-7 * 1"),
    ("0 9 * * 1,5L", "At 09:00 on Monday and the last Friday of the month", "0 9 * * 1,5L"),
]  # fmt: skip


def test_cron_in_words(project: object) -> None:
    from django.utils.translation import override

    from pgqueue.django.admin.rule_words import in_words

    for rule, english, german in CRON_IN_WORDS:
        for language, said in (("en", english), ("de", german)):
            with override(language):
                assert in_words("cron", rule, "UTC") == f"{said} (UTC)"


def test_intervals_in_words(project: object) -> None:
    from django.utils.translation import override

    from pgqueue.django.admin.rule_words import in_words

    start = dt.datetime(2027, 1, 1, 8, 30, tzinfo=dt.UTC)
    rules = {
        # These are spans of time, whatever clocks say.
        "5m": "every 5 minutes", "90s": "every 90 seconds", "1d12h": "every 36 hours",
        "hourly": "every hour", "1.5s": "every 1.5s",
        "daily": "every day at 09:30 (Europe/Berlin)",
        "2 weeks": "every 2 weeks on Friday at 09:30 (Europe/Berlin)",
        "quarterly": "every 3 months at 09:30 (Europe/Berlin)",
        "1 year": "every year at 09:30 (Europe/Berlin)",
        "now and then": "now and then (Europe/Berlin)",
    }  # fmt: skip
    with override("en"):
        for rule, said in rules.items():
            assert in_words("every", rule, "Europe/Berlin", start) == said
        assert in_words("every", "daily", "UTC") == "every day (UTC)"
    with override("de"):
        assert in_words("every", "5m", "UTC") == "alle 5 Minuten"


@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        ({"rule": "every day"}, "rule", "cron"),
        ({"kind": "every", "rule": "5 parsecs"}, "rule", "every"),
        ({"kind": "rrule", "rule": "FREQ=SOMETIMES"}, "rule", "FREQ"),
        ({"kind": "at", "rule": ""}, "rule", "needs one of"),
        ({"timezone": "Mars/Olympus"}, "timezone", "timezone must be"),
        ({"args": "{}"}, "args", "JSON array"),
        ({"kwargs": "[1"}, "kwargs", "JSON"),
        ({"args": "[NaN]"}, "args", ""),
        ({"task": ""}, "task", "required"),
        ({"name": "x" * 201}, "name", "1 to 200 bytes"),
        ({"queue": "*"}, "queue", "queue must"),
        ({"task": "known", "args": "[1, 2, 3]"}, "args", "known"),
        ({"planned_kwarg": "no name"}, "rule", "planned_kwarg"),
        ({"overlap": "dance"}, "overlap", "valid choice"),
        ({"jitter": "2d"}, "rule", "jitter"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(
    words: dict[str, str], field: str, said: str, root: Any, c: Connection
) -> None:
    from pgqueue import task

    @task(name="known")
    def known(one: int) -> None: ...

    response = root.post(f"{SCHEDULES}add/", {**GIVEN, **words})
    assert response.status_code == 200
    assert said in " ".join(response.context["form"].errors[field])
    preview = root.post(f"{SCHEDULES}preview/", {**GIVEN, **words}).json()
    assert said in " ".join(preview["errors"][field])
    assert c.execute("SELECT count(*) FROM pgqueue.schedules").fetchone() == (0,)


def test_the_next_runs_as_one_types(root: Any) -> None:
    found = root.post(f"{SCHEDULES}preview/", {**GIVEN, "rule": "30 4 * * *"}).json()
    assert found["words"] == "every day at 04:30 (Europe/Berlin)"
    assert len(found["next"]) == 5
    assert all("04:30:00 CE" in slot for slot in found["next"])
    assert root.get(f"{SCHEDULES}preview/").status_code == 405


@pytest.mark.parametrize(("kind", "rule"), [("cron", "@daily"), ("cron", "x"), ("moon", "full")])
def test_rules_that_have_no_words_or_no_sense(
    kind: str, rule: str, root: Any, c: Connection
) -> None:
    make(c)
    c.execute("UPDATE pgqueue.schedules SET kind = %s, rule = %s", (kind, rule))
    for where in (SCHEDULES, address("report")):
        assert rule in text_of(root.get(where))


def test_run_pause_resume_delete(root: Any, c: Connection) -> None:
    make(c)
    assert root.get(act("report", "run")).status_code == 405
    for what, said in (
        ("run", "run now"), ("pause", "paused"), ("resume", "resumed"),
    ):  # fmt: skip
        response = root.post(act("report", what), follow=True)
        assert messages_of(response) == [f"Schedule report: {said}."]
    assert c.execute("SELECT task FROM pgqueue.jobs").fetchall() == [("shop.report",)]
    assert "by hand" in text_of(root.get(address("report")))
    assert "Delete the schedule report" in text_of(root.post(act("report", "delete")))
    assert c.execute("SELECT count(*) FROM pgqueue.schedules").fetchone() == (1,)
    root.post(act("report", "delete"), {"sure": "yes"})
    assert c.execute("SELECT count(*) FROM pgqueue.schedules").fetchone() == (0,)
    for where in (act("report", "run"), act("report", "pause")):
        assert "there is no schedule" in "".join(messages_of(root.post(where, follow=True)))


def test_a_change_keeps_what_the_form_does_not_show(root: Any, c: Connection) -> None:
    options: dict[str, Any] = {
        "unique_key": "k",
        "unique_for": "600s",
        "callbacks": {"on_failure": "sorry"},
    }
    options |= {"rate": "5/s", "concurrency_key": "line"}
    make(c, args="[42]", options=json.dumps(options))
    words = {**GIVEN, "args": "[42]", "rule": "5 5 * * *"}
    assert messages_of(root.post(address("report"), words, follow=True)) == [
        "Schedule report: changed."
    ]
    assert c.execute("SELECT rule, options FROM pgqueue.schedules").fetchall() == [
        ("5 5 * * *", options)
    ]
    holder = c.execute("SELECT pgqueue.enqueue('t', unique_key => 'k')").fetchone()
    root.post(act("report", "run"))
    assert holder is not None
    assert f"duplicate of {holder[0]}" in text_of(root.get(address("report")))


def test_who_may(login: Any, c: Connection) -> None:
    make(c)
    allowed = {
        ("view_schedule",): set(),
        ("view_schedule", "run_schedule"): {"run"},
        ("view_schedule", "pause_schedule"): {"pause", "resume"},
        ("view_schedule", "delete_schedule"): {"delete"},
        ("run_schedule", "pause_schedule", "delete_schedule"): set(),
    }
    for permissions, may in allowed.items():
        client = login(*permissions)
        for what in ("run", "pause", "resume", "delete"):
            status = client.post(act("report", what)).status_code
            assert (status != 403) == (what in may), (permissions, what)
        assert client.post(f"{SCHEDULES}add/", GIVEN).status_code == 403
        assert client.post(address("report"), GIVEN).status_code == 403
        assert client.post(f"{SCHEDULES}preview/", GIVEN).status_code == 403
    assert login("view_job").get(SCHEDULES).status_code == 403
    assert login("add_schedule", "view_schedule").get(f"{SCHEDULES}add/").status_code == 200
    make(c, "secret", args='["hush"]')
    for client in (login("view_schedule"), login("view_schedule", "change_schedule")):
        assert "hush" not in text_of(client.get(address("secret")))


def test_a_list_costs_the_same_however_many_there_are(root: Any, c: Connection) -> None:
    make(c)
    few, _page = statements(root, SCHEDULES)
    for number in range(600):
        make(c, f"other {number}")
    many, response = statements(root, SCHEDULES)
    assert few == many == 3
    assert "The first 500" in text_of(response)
    assert "other 599" in text_of(root.get(SCHEDULES, {"q": "OTHER 599"}))


@pytest.mark.parametrize("evil", EVIL)
def test_every_value_is_escaped(evil: str, root: Any, c: Connection) -> None:
    import json

    make(c, evil, task=evil, args=json.dumps([evil]), kwargs=json.dumps({evil: evil}), queue=evil)
    c.execute(
        "UPDATE pgqueue.schedules SET error = %s, source = 'code', declared_by = %s", (evil, evil)
    )
    pages = [
        text_of(root.get(SCHEDULES)), text_of(root.get(SCHEDULES, {"q": evil})),
        text_of(root.get(address(evil))), text_of(root.post(act(evil, "delete"))),
        text_of(root.post(f"{SCHEDULES}add/", {**GIVEN, "task": evil, "rule": evil, "args": evil})),
    ]  # fmt: skip
    for page in pages:
        for bad in ("<script>alert", "<img src=x", "<b>é"):
            assert bad not in page


@pytest.fixture
def nothing_found_yet(monkeypatch: pytest.MonkeyPatch, desk: object) -> None:
    """A process that serves pages and has imported no tasks."""
    from pgqueue.api.decorating import registry
    from pgqueue.django.admin import discovery

    monkeypatch.setattr(discovery, "_looked", set())
    for name in ("elsewhere", "tasks", "broken"):
        monkeypatch.delitem(sys.modules, f"tests.django_app.store.{name}", raising=False)
    registry._tasks.clear()


@pytest.mark.usefixtures("nothing_found_yet")
def test_the_tasks_of_the_project_are_found_when_they_are_needed(root: Any, c: Connection) -> None:
    double = "tests.django_app.store.elsewhere.double"
    with override_settings(PGQUEUE={"AUTODISCOVER": "elsewhere"}):
        assert f'<option value="{double}">' in text_of(root.get(f"{SCHEDULES}add/"))
        given = {**GIVEN, "task": double, "args": "[1, 2, 3]"}
        found = root.post(f"{SCHEDULES}preview/", given).json()
        assert double in " ".join(found["errors"]["args"])


@pytest.mark.usefixtures("nothing_found_yet")
def test_secrets_are_hidden_though_nobody_has_imported_the_task(root: Any, c: Connection) -> None:
    task = "tests.django_app.store.elsewhere.double"
    job = factories.job(c, task, args='["hush"]')
    words = {"AUTODISCOVER": "elsewhere", "REDACT": ["number"]}
    with override_settings(PGQUEUE=words):
        assert "hush" not in text_of(root.get(f"{JOBS}{job}/change/"))


@pytest.mark.usefixtures("nothing_found_yet")
def test_tasks_that_cannot_be_imported_break_no_page(
    root: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(PGQUEUE={"AUTODISCOVER": "broken"}):
        for _ in range(2):
            assert root.get(f"{SCHEDULES}add/").status_code == 200
    said = [record.getMessage() for record in caplog.records if record.name == "pgqueue.django"]
    assert said == ["the tasks of tests.django_app.store.broken cannot be imported: not today"]
    with override_settings(PGQUEUE={"AUTODISCOVER": ""}):
        assert root.get(f"{SCHEDULES}add/").status_code == 200


def test_a_time_zone_that_there_is_not_is_said_beside_it(root: Any, c: Connection) -> None:
    given = {**GIVEN, "timezone": "Europe/Berln"}
    errors = root.post(f"{SCHEDULES}preview/", given).json()["errors"]
    assert list(errors) == ["timezone"]
    assert "did you mean 'Europe/Berlin'?" in errors["timezone"][0]
    response = root.post(f"{SCHEDULES}add/", given)
    assert list(response.context["form"].errors) == ["timezone"]


def test_times_of_a_project_without_time_zones(root: Any, c: Connection) -> None:
    given = {**GIVEN, "kind": "every", "rule": "1 day", "starts_at": "2090-05-05T12:00:00"}
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        found = root.post(f"{SCHEDULES}preview/", given).json()
        assert found["errors"] == {}
        assert found["next"][0].endswith("12:00:00 CEST")
        assert root.post(f"{SCHEDULES}add/", given).status_code == 302
        query = "SELECT starts_at AT TIME ZONE 'UTC' FROM pgqueue.schedules"
        assert c.execute(query).fetchone() == (dt.datetime(2090, 5, 5, 10),)
        # What is shown is saved as it was.
        form = root.get(address("report")).context["form"]
        assert 'value="2090-05-05T12:00:00"' in str(form["starts_at"])
