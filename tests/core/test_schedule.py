"""What a schedule says: every option, and what is wrong with it."""

import datetime as dt
from typing import Any

import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.options import TaskOptions
from pgqueue.core.schedule import Recurrence, cron, every, rrule

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("given", "text"),
    [("5m", "5m"), (90, "90s"), (1.5, "1.5s"), (dt.timedelta(hours=2), "7200s"), ("weekly",) * 2],
)
def test_intervals_in_any_form(given: Any, text: str) -> None:
    found = every(given)
    assert (found.kind, found.text) == ("every", text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90 minutes", 5400), ("1 minute", 60), ("5 min", 300), ("30 seconds", 30), ("45sec", 45),
        ("12 hours", 43_200), ("1 hour", 3600), ("2 hrs", 7200), ("1 H", 3600), ("7s", 7),
    ],
)  # fmt: skip
def test_units_that_are_spelled_out(text: str, seconds: int) -> None:
    step = dt.timedelta(seconds=seconds)
    assert every(text).preview(2, NOW) == [NOW + step, NOW + 2 * step]


@pytest.mark.parametrize("text", ["5 hutes", "minutes", "0 minutes", "1.5 hours", "2 m 3 s"])
def test_units_that_there_are_not(text: str) -> None:
    with pytest.raises(ConfigurationError, match="every must be an interval"):
        every(text)


def test_kinds() -> None:
    assert cron("@daily").kind == "cron"
    assert rrule("FREQ=DAILY").kind == "rrule"
    assert Recurrence(at=NOW).kind == "once"


def test_policies_may_be_a_yes_or_no() -> None:
    assert every("1h", catch_up=True).catch_up == "all"
    assert every("1h", catch_up=False).catch_up == "once"
    assert every("1h", catch_up="skip").catch_up == "skip"


def test_words_are_those_of_the_function() -> None:
    found = every("1h", jitter="5m", timezone="Europe/Berlin", starts_at=NOW, sticky=True)
    assert found.words() == {
        "every": "1h",
        "timezone": "Europe/Berlin",
        "starts_at": "2026-03-01T12:00:00+00:00",
        "jitter": 300.0,
        "catch_up": "once",
        "max_catch_up": 1000,
        "overlap": "allow",
        "sticky": True,
    }


def test_preview() -> None:
    hour = dt.timedelta(hours=1)
    assert every("1h").preview(2, NOW) == [NOW + hour, NOW + 2 * hour]
    assert every("1h", starts_at=NOW + hour, repeats=1).preview(9, NOW) == [NOW + hour]
    assert every("1h", ends_at=NOW + hour).preview(9, NOW) == [NOW + hour]
    berlin = cron("30 2 * * *", timezone="Europe/Berlin").preview(30, NOW)
    assert {slot.astimezone().date() for slot in berlin}
    # The night in which the clocks go from 2 to 3.
    assert dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC) in berlin


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "a schedule needs one of every, cron, rrule and at, and only one; got none"),
        (
            {"every": "1h", "cron": "* * * * *"},
            "a schedule needs one of every, cron, rrule and at, and only one; got every and cron",
        ),
        ({"every": 0}, "every must be an interval of a second or more"),
        ({"cron": ""}, "cron must be five fields"),
        ({"every": "0.5s"}, "every must be an interval of a second or more"),
        ({"cron": "61 * * * *"}, "cron must be five fields"),
        ({"rrule": "DAILY"}, "rrule must be a rule of RFC 5545"),
        ({"cron": 5}, "cron must be a string; got 5"),
        ({"every": "1h", "timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'?"),
        ({"at": dt.datetime(2026, 1, 1)}, "at must be an aware datetime; got a naive one"),
        ({"every": "1h", "ends_at": dt.datetime(1800, 1, 1, tzinfo=dt.UTC)}, "1900 and 9990"),
        ({"at": NOW, "starts_at": NOW}, "at says when it runs, once; leave starts_at out"),
        ({"every": "1h", "jitter": "2d"}, "jitter must be at most 1 day"),
        ({"every": "1h", "catch_up": "al"}, "one of all, once, skip; got 'al'; did you mean 'all'"),
        ({"every": "1h", "overlap": None}, "overlap must be one of allow, skip, queue; got None"),
        ({"every": "1h", "repeats": 0}, "repeats must be between 1 and 2147483647; got 0"),
        ({"every": "1h", "max_catch_up": True}, "max_catch_up must be between 1 and 100000"),
        ({"every": "1h", "sticky": 1}, "sticky must be True or False; got 1"),
        ({"every": "1h", "planned_kwarg": "a b"}, "planned_kwarg must be the name of a keyword"),
        ({"every": "1h", "name": ""}, "a schedule's name must be a string of 1 to 200 bytes"),
        ({"every": "1h", "jiter": 1}, "unknown option of a schedule 'jiter'; did you mean"),
    ],
)
def test_what_is_wrong(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Recurrence.from_kwargs(**words)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("FREQ=DAILY;BYHOUR=17", "FREQ=DAILY;BYHOUR=17;BYMINUTE=0;BYSECOND=0"),
        ("freq=hourly;byminute=5;", "freq=hourly;byminute=5;BYSECOND=0"),
        ("FREQ=DAILY;BYHOUR=1;BYMINUTE=2;BYSECOND=3", "FREQ=DAILY;BYHOUR=1;BYMINUTE=2;BYSECOND=3"),
        ("FREQ=MINUTELY;BYHOUR=1", "FREQ=MINUTELY;BYHOUR=1"),
        ("FREQ=DAILY", "FREQ=DAILY"),
        (
            "EXDATE:20260101T170000\nRRULE:FREQ=DAILY;BYHOUR=17",
            "EXDATE:20260101T170000\nRRULE:FREQ=DAILY;BYHOUR=17;BYMINUTE=0;BYSECOND=0",
        ),
    ],
)
def test_an_hour_is_a_full_hour_where_nothing_else_is_said(text: str, completed: str) -> None:
    assert rrule(text).rrule == completed
    assert rrule(text, starts_at=NOW).rrule == text


def test_a_task_may_have_several() -> None:
    both = (every("1h", name="a"), cron("@daily", name="b"))
    assert TaskOptions(schedule=list(both)).schedule == both  # type: ignore[arg-type]
    assert TaskOptions(schedule=both[0]).schedule == both[:1]  # type: ignore[arg-type]
    for wrong in ("1h", [every("1h"), "1h"], [every("1h"), every("2h")]):
        with pytest.raises(ConfigurationError, match="schedule"):
            TaskOptions(schedule=wrong)  # type: ignore[arg-type]
