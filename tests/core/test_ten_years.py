"""Ten years of slots, in zones with rules of their own, beside a walk through all days."""

import calendar
import datetime as dt
import itertools
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from pgqueue.core.recurrence import Rule
from pgqueue.core.rules import parse_cron, parse_every, parse_rrule

BEGIN = dt.date(2010, 1, 1)
END = dt.date(2020, 1, 1)
#: Half an hour, a day left out, back and forth in one month, three quarters of an hour.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)


def walk(rule: Rule, zone: ZoneInfo) -> list[dt.datetime]:
    moment = dt.datetime.combine(BEGIN, dt.time(), zone).astimezone(dt.UTC)
    end = dt.datetime.combine(END, dt.time(), zone).astimezone(dt.UTC)
    found = []
    while (slot := rule.after(moment)) is not None and slot < end:
        found.append(slot)
        moment = slot
    return found


def by_days(
    fits: Callable[[dt.date], bool], times: list[dt.time], zone: ZoneInfo
) -> list[dt.datetime]:
    """Go through all days; the slots of a day that the zone has left out are those of another."""
    days = (BEGIN + dt.timedelta(number) for number in range((END - BEGIN).days))
    found = {
        dt.datetime.combine(day, time, zone).astimezone(dt.UTC)
        for day in days
        if fits(day)
        for time in times
    }
    begin = dt.datetime.combine(BEGIN, dt.time(), zone)
    return sorted(slot for slot in found if slot > begin)


def last_day(day: dt.date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


CRONS: list[tuple[str, Callable[[dt.date], bool], list[dt.time]]] = [
    ("30 2 * * sat,sun", lambda day: day.isoweekday() > 5, [dt.time(2, 30)]),
    ("10 0,12 L * *", lambda day: day.day == last_day(day), [dt.time(0, 10), dt.time(12, 10)]),
    ("0 3 * * fri#2", lambda day: day.isoweekday() == 5 and 8 <= day.day <= 14, [dt.time(3)]),
    (
        "15 1 * mar-apr,10 0L",
        lambda day: (
            day.isoweekday() == 7 and day.day > last_day(day) - 7 and day.month in (3, 4, 10)
        ),
        [dt.time(1, 15)],
    ),
    ("0 2 29 2 *", lambda day: (day.month, day.day) == (2, 29), [dt.time(2)]),
    ("59 23 */10 */5 *", lambda day: day.day % 10 == 1 and day.month % 5 == 1, [dt.time(23, 59)]),
    ("5 2 1 * 1", lambda day: day.day == 1 or day.isoweekday() == 1, [dt.time(2, 5)]),
]


@pytest.mark.parametrize(("expression", "fits", "times"), CRONS, ids=[one[0] for one in CRONS])
@pytest.mark.parametrize("name", ZONES)
def test_cron(
    name: str, expression: str, fits: Callable[[dt.date], bool], times: list[dt.time]
) -> None:
    zone = ZoneInfo(name)
    assert walk(parse_cron(expression, zone), zone) == by_days(fits, times, zone)


RULES: list[tuple[str, Callable[[dt.date], bool], list[dt.time]]] = [
    (
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=2,17;BYMINUTE=30",
        lambda day: day.isoweekday() == 5 and day.day > last_day(day) - 7,
        [dt.time(2, 30), dt.time(17, 30)],
    ),
    (
        "FREQ=WEEKLY;INTERVAL=2;WKST=MO;BYDAY=SA,SU;BYHOUR=2;BYMINUTE=0",
        # 1 January 2010 lies in the first week that counts, which began on 28 December.
        lambda day: day.isoweekday() > 5 and (day - dt.date(2009, 12, 28)).days // 7 % 2 == 0,
        [dt.time(2)],
    ),
    (
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1;BYHOUR=0;BYMINUTE=0",
        lambda day: day.month == 2 and day.day == last_day(day),
        [dt.time()],
    ),
    (
        "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=1;BYMINUTE=59",
        lambda day: day.day == 31,
        [dt.time(1, 59)],
    ),
]


@pytest.mark.parametrize(("text", "fits", "times"), RULES, ids=[one[0] for one in RULES])
@pytest.mark.parametrize("name", ZONES)
def test_rrule(name: str, text: str, fits: Callable[[dt.date], bool], times: list[dt.time]) -> None:
    zone = ZoneInfo(name)
    start = dt.datetime.combine(BEGIN, dt.time(), zone).astimezone(dt.UTC)
    assert walk(parse_rrule(text, start, zone), zone) == by_days(fits, times, zone)


@pytest.mark.parametrize("name", ZONES)
def test_hours_and_minutes_are_spans(name: str) -> None:
    """Whatever the clocks on walls do."""
    start = dt.datetime(2010, 1, 1, tzinfo=dt.UTC)
    for text, step in (("7h", dt.timedelta(hours=7)), ("1m", dt.timedelta(minutes=1))):
        found = parse_every(text, start, ZoneInfo(name))
        for number in itertools.chain(range(5), range(75_000, 75_005)):
            assert found.after(start + number * step) == start + (number + 1) * step
