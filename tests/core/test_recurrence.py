"""Rules of schedules, compared with independent computations."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.recurrence import (
    Calendar,
    Cron,
    Interval,
    Once,
    RRule,
    Rule,
)
from pgqueue.core.rules import parse_cron, parse_every, parse_rrule, parse_zone

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
#: Zones with rules of their own: half an hour, a whole day, against the sun, odd offsets.
ODD = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "UTC",
)
#: Changes of clocks in those zones, and quiet weeks.
SPANS = (
    (dt.datetime(2011, 12, 27, tzinfo=dt.UTC), 6),
    (dt.datetime(2026, 2, 13, tzinfo=dt.UTC), 4),
    (dt.datetime(2026, 3, 20, tzinfo=dt.UTC), 18),
    (dt.datetime(2026, 10, 3, tzinfo=dt.UTC), 3),
    (dt.datetime(2026, 10, 23, tzinfo=dt.UTC), 4),
)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def slots(rule: Rule, begin: dt.datetime) -> Iterator[dt.datetime]:
    """All slots from an instant on."""
    found = rule.after(begin - dt.timedelta(microseconds=1))
    while found is not None:
        yield found
        found = rule.after(found)


def between(rule: Rule, begin: dt.datetime, end: dt.datetime) -> list[dt.datetime]:
    return list(itertools.takewhile(lambda slot: slot < end, slots(rule, begin)))


def local(rule: Rule, zone: ZoneInfo, begin: dt.datetime, count: int) -> list[str]:
    """The first slots as their zone writes them."""
    found = itertools.islice(slots(rule, begin), count)
    return [slot.astimezone(zone).strftime("%m-%d %H:%M") for slot in found]


def expand(field: str, low: int, high: int) -> set[int]:
    """Read one field of a cron expression: the plain forms, in a second way."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = low if span == "*" else int(first)
        end = high if span == "*" else int(last or first)
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def by_minutes(
    expression: str, zone: ZoneInfo, begin: dt.datetime, end: dt.datetime
) -> list[dt.datetime]:
    """Go through all wall-clock minutes, as plain as can be."""
    minutes, hours, days, months, weekdays = expression.split()
    fits_days = expand(days, 1, 31)
    both = days.startswith("*") or weekdays.startswith("*")
    fits_minutes, fits_hours = expand(minutes, 0, 59), expand(hours, 0, 23)
    fits_months = expand(months, 1, 12)
    fits_weekdays = {day % 7 for day in expand(weekdays, 0, 7 if weekdays != "*" else 6)}
    found: set[dt.datetime] = set()
    day = begin.replace(tzinfo=None) - dt.timedelta(days=2)
    while day < end.replace(tzinfo=None) + dt.timedelta(days=2):
        in_days, in_weekdays = day.day in fits_days, day.isoweekday() % 7 in fits_weekdays
        fits = in_days and in_weekdays if both else in_days or in_weekdays
        # No minute of a day is looked at that is out of the question anyhow.
        walk = itertools.product(range(24), range(60)) if fits and day.month in fits_months else ()
        for hour, minute in walk:
            if hour not in fits_hours or minute not in fits_minutes:
                continue
            first = day.replace(hour=hour, minute=minute, tzinfo=zone)
            second = first.replace(fold=1)
            found.add(first.astimezone(dt.UTC))
            if hours == "*" and first.utcoffset() > second.utcoffset():  # type: ignore[operator]
                found.add(second.astimezone(dt.UTC))
        day += dt.timedelta(days=1)
    return sorted(instant for instant in found if begin <= instant < end)


@pytest.mark.parametrize(
    "expression",
    [
        "30 2 * * *",
        "*/20 * * * *",
        "15 * * * *",
        "0,30 1-4 * * *",
        "*/10 2 * * *",
        "0 */2 * * *",
        "0 0 13 * 5",
        "5 0 1-7 * 1",
    ],
)
@pytest.mark.parametrize("name", ODD)
def test_cron_beside_a_walk_through_all_minutes(name: str, expression: str) -> None:
    zone = ZoneInfo(name)
    for begin, days in SPANS:
        end = begin + dt.timedelta(days=days)
        assert between(parse_cron(expression, zone), begin, end) == by_minutes(
            expression, zone, begin, end
        )


@pytest.mark.parametrize(
    ("expression", "begin", "expected"),
    [
        # 29 March 2026 has no 02:30 in Berlin; 25 October has it twice.
        ("30 2 * * *", "2026-03-28T00:00Z", ["03-28 02:30", "03-29 03:30", "03-30 02:30"]),
        ("30 2 * * *", "2026-10-24T00:00Z", ["10-24 02:30", "10-25 02:30", "10-26 02:30"]),
        ("30 * * * *", "2026-10-24T23:00Z", ["10-25 01:30", "10-25 02:30", "10-25 02:30"]),
        ("0 12 L * *", "2026-02-01T00:00Z", ["02-28 12:00", "03-31 12:00"]),
        ("0 12 LW * *", "2026-02-01T00:00Z", ["02-27 12:00", "03-31 12:00"]),
        ("0 12 * * MON#2", "2026-02-01T00:00Z", ["02-09 12:00", "03-09 12:00"]),
        ("0 12 * * 5L", "2026-02-01T00:00Z", ["02-27 12:00", "03-27 12:00"]),
        ("0 9 * jan-feb mon-fri", "2026-02-27T00:00Z", ["02-27 09:00", "01-01 09:00"]),
        ("@daily", "2026-02-01T00:00Z", ["02-02 00:00", "02-03 00:00"]),
        ("@Hourly", "2026-02-01T00:00Z", ["02-01 01:00", "02-01 02:00"]),
        ("@weekly", "2026-02-01T00:00Z", ["02-08 00:00"]),
        ("@monthly", "2026-02-01T00:00Z", ["03-01 00:00"]),
        ("@yearly", "2026-02-01T00:00Z", ["01-01 00:00"]),
    ],
)
def test_cron_by_example(expression: str, begin: str, expected: list[str]) -> None:
    rule = parse_cron(expression, BERLIN)
    assert local(rule, BERLIN, at(begin), len(expected)) == expected


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("text", ["1 day", "3 days", "weekly", "biweekly"])
def test_days_keep_the_time_of_day_for_ten_years(name: str, text: str) -> None:
    zone = ZoneInfo(name)
    first = dt.datetime(2020, 1, 5, 2, 30, tzinfo=zone)
    rule = parse_every(text, first.astimezone(dt.UTC), zone)
    assert isinstance(rule, Calendar)
    end = at("2030-01-01T00:00Z")
    walls = (
        first.replace(tzinfo=None) + count * dt.timedelta(days=rule.days) for count in range(4000)
    )
    expected = sorted({wall.replace(tzinfo=zone).astimezone(dt.UTC) for wall in walls})
    assert between(rule, first.astimezone(dt.UTC), end) == [one for one in expected if one < end]


@pytest.mark.parametrize("text", ["monthly", "bimonthly", "quarterly", "5 months", "yearly", "2 y"])
@pytest.mark.parametrize("day", ["2024-01-31", "2024-02-29", "2024-11-30", "2024-06-15"])
def test_months_are_anchored(day: str, text: str) -> None:
    first = dt.datetime.fromisoformat(f"{day}T09:00").replace(tzinfo=BERLIN)
    rule = parse_every(text, first.astimezone(dt.UTC), BERLIN)
    assert isinstance(rule, Calendar)
    end = at("2034-01-01T00:00Z")
    expected = (
        (first.replace(tzinfo=None) + relativedelta(months=count * rule.months))
        .replace(tzinfo=BERLIN)
        .astimezone(dt.UTC)
        for count in range(130)
    )
    assert between(rule, first.astimezone(dt.UTC), end) == [one for one in expected if one < end]


def test_a_month_end_that_sticks() -> None:
    rule = parse_every("monthly", at("2026-01-31T09:00Z"), UTC)
    assert isinstance(rule, Calendar)
    assert local(rule, UTC, rule.start, 3) == ["01-31 09:00", "02-28 09:00", "03-31 09:00"]
    slot = rule.following(rule.start)
    assert slot == at("2026-02-28T09:00Z")
    assert rule.following(slot) == at("2026-03-28T09:00Z")


def test_a_day_that_a_zone_has_left_out() -> None:
    """Apia went from 29 to 31 December 2011: the slots of both days are one instant."""
    apia = ZoneInfo("Pacific/Apia")
    rule = parse_every("daily", dt.datetime(2011, 12, 28, 10, tzinfo=apia), apia)
    assert local(rule, apia, at("2011-12-28T00:00Z"), 4) == [
        "12-28 10:00", "12-29 10:00", "12-31 10:00", "01-01 10:00",
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    start=st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC)),
    step=st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=40)),
    moment=st.datetimes(
        dt.datetime(1990, 1, 1), dt.datetime(2060, 1, 1), timezones=st.just(dt.UTC)
    ),
)
def test_intervals_do_not_drift(
    start: dt.datetime, step: dt.timedelta, moment: dt.datetime
) -> None:
    found = Interval(start=start, step=step).after(moment)
    assert found is not None
    assert found > moment
    assert (found - start) % step == dt.timedelta(0)
    assert found == start or found - step <= moment


RULES: list[Callable[[dt.datetime, ZoneInfo], Rule]] = [
    lambda start, zone: parse_every("90s", start, zone),
    lambda start, zone: parse_every("monthly", start, zone),
    lambda start, zone: parse_every("daily", start, zone),
    lambda start, zone: parse_cron("7,37 */3 * * *", zone),
    lambda start, zone: parse_cron("*/30 * * * 1-5", zone),
    lambda start, zone: parse_rrule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=2;BYMINUTE=30", start, zone),
    lambda start, zone: parse_rrule("FREQ=HOURLY;INTERVAL=5", start, zone),
]


@settings(max_examples=300, deadline=None)
@given(
    make=st.sampled_from(RULES),
    name=st.sampled_from(ODD),
    start=st.datetimes(dt.datetime(2008, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC)),
    apart=st.timedeltas(dt.timedelta(-100), dt.timedelta(4000)),
)
def test_no_slot_lies_between_a_moment_and_the_next_slot(
    make: Callable[[dt.datetime, ZoneInfo], Rule],
    name: str,
    start: dt.datetime,
    apart: dt.timedelta,
) -> None:
    rule = make(start.replace(microsecond=0), ZoneInfo(name))
    moment = start + apart
    found = rule.after(moment)
    assert found is not None
    assert found > moment
    assert rule.after(found - dt.timedelta(microseconds=1)) == found
    middle = moment + (found - moment) / 2
    assert rule.after(middle) == found


@pytest.mark.parametrize(
    ("text", "begin", "expected"),
    [
        (
            "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0",
            "2026-01-01T08:00Z",
            ["01-30 17:00", "02-27 17:00", "03-27 17:00"],
        ),
        ("RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T080000Z", "2026-01-01T08:00Z",
         ["01-01 09:00", "01-03 09:00"]),
        ("FREQ=DAILY;COUNT=3\nEXDATE;TZID=America/New_York:20260102T030000,20260101T030000",
         "2026-01-01T08:00Z", ["01-03 09:00"]),
        ("FREQ=DAILY;COUNT=3\nexdate:20260102t090000", "2026-01-01T08:00Z",
         ["01-01 09:00", "01-03 09:00"]),
        ("FREQ=DAILY;UNTIL=20260102T080000Z", "2026-01-01T08:00Z", ["01-01 09:00", "01-02 09:00"]),
        ("FREQ=DAILY;UNTIL=20260102T080000", "2026-01-01T08:00Z", ["01-01 09:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE", "2026-01-01T08:00Z",
         ["01-12 09:00", "01-14 09:00", "01-26 09:00", "01-28 09:00"]),
        ("freq=yearly;bymonth=2;bymonthday=29", "2026-01-01T08:00Z", ["02-29 09:00"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2026-03-28T00:00Z", ["03-28 02:30", "03-29 03:30"]),
        ("FREQ=HOURLY;BYMINUTE=30", "2026-10-24T23:00Z",
         ["10-25 01:30", "10-25 02:30", "10-25 02:30", "10-25 03:30"]),
    ],
)  # fmt: skip
def test_rrule_by_example(text: str, begin: str, expected: list[str]) -> None:
    rule = parse_rrule(text, at(begin), BERLIN)
    assert local(rule, BERLIN, at(begin), len(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=WEEKLY;INTERVAL=3;BYDAY=TU,SA",
        "FREQ=DAILY;INTERVAL=4",
        "FREQ=HOURLY;INTERVAL=7",
        "FREQ=MINUTELY;INTERVAL=50",
        "FREQ=SECONDLY;INTERVAL=4000",
        "FREQ=HOURLY;INTERVAL=5;BYMINUTE=3,40",
    ],
)
def test_rrule_begins_in_step_wherever_it_is_asked(text: str) -> None:
    """What is found years later from near by is what a walk from the first slot finds."""
    rule = parse_rrule(text, at("2026-01-01T08:00Z"), UTC)
    moment = at("2026-09-01T00:00Z")
    walked = next(wall for wall in rule.rule if wall > moment.replace(tzinfo=None))
    assert rule.after(moment) == walked.replace(tzinfo=dt.UTC)


def test_rules_that_end() -> None:
    moment = at("2026-01-01T08:00Z")
    assert Once(at=moment).after(moment) is None
    assert Once(at=moment).after(moment - dt.timedelta(1)) == moment
    assert parse_rrule("FREQ=DAILY;COUNT=2", moment, UTC).after(at("2026-01-02T08:00Z")) is None
    last = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    assert parse_every("1 y", moment, UTC).after(last) is None
    assert parse_every("90s", moment, UTC).after(dt.datetime.max.replace(tzinfo=dt.UTC)) is None
    assert parse_cron("@yearly", UTC).after(last) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [("90s", Interval), ("1.5h", Interval), ("24h", Interval), ("1d12h", Interval),
     ("1d", Calendar), ("2 weeks", Calendar), ("Hourly", Interval), ("DAILY", Calendar)],
)  # fmt: skip
def test_spans_and_calendar(text: str, kind: type) -> None:
    assert type(parse_every(text, at("2026-01-01T08:00Z"), UTC)) is kind


@pytest.mark.parametrize("text", ["", "0s", "0.5s", "5", "0 days", "-1d", "dayly", "1 fortnight"])
def test_intervals_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"every must be an interval of a second or more"):
        parse_every(text, at("2026-01-01T08:00Z"), UTC)


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "0 0 * * 8", "*/0 * * * *",
     "@reboot", "a b c d e", "* " * 600],
)  # fmt: skip
def test_cron_expressions_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cron must be five fields.*got '"):
        parse_cron(text, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "FREQ", "FREQ=X", "FREQ=DAILY\nFREQ=DAILY", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=0",
     "DTSTART:20200101\nFREQ=DAILY", "FREQ=DAILY;BYDAY=XX", "FREQ=DAILY;UNTIL=x", "FREQ=DAILY;A=1",
     "FREQ=DAILY\nEXDATE:never",
     "FREQ=DAILY\nEXDATE;TZID=Berlin:20260102T030000", "FREQ=DAILY\nRRULE;X=1:FREQ=DAILY",
     "FREQ=DAILY\nEXDATE;VALUE=DATE:20260102", "FREQ=DAILY;" * 100],
)  # fmt: skip
def test_recurrence_rules_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rrule must be a rule of RFC 5545.*got '"):
        parse_rrule(text, at("2026-01-01T08:00Z"), UTC)


@pytest.mark.parametrize("name", ["", "Europe/Berlyn", "../etc/passwd", "x" * 300, "/UTC", "\0"])
def test_zones_that_are_none(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"timezone must be a name such as"):
        parse_zone(name)


def test_what_reading_gives() -> None:
    assert parse_zone("Europe/Berlin") is parse_zone("Europe/Berlin")
    assert parse_cron(" 0  9 * * 1-5 ", UTC) == Cron(expression="0 9 * * 1-5", zone=UTC)
    assert isinstance(parse_rrule("FREQ=DAILY", at("2026-01-01T08:00Z"), UTC), RRule)
