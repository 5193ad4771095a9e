"""Slots of ten years beside what PostgreSQL makes of the same words."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from pgqueue.core.recurrence import Rule
from pgqueue.core.rules import parse_cron, parse_every
from tests.sql.sleeper import Connection

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)

# The two agree but where a zone repeats a time: we run at the first of both, PostgreSQL means the
# second.
_DIFFERENT = """
WITH wanted AS (
    SELECT w.wall, w.n, w.wall AT TIME ZONE %(zone)s AS instant
    FROM unnest(%(walls)s::timestamp[]) WITH ORDINALITY AS w (wall, n)
)
SELECT w.wall, s.slot, w.instant
FROM wanted AS w
FULL JOIN unnest(%(slots)s::timestamptz[]) WITH ORDINALITY AS s (slot, n) ON s.n = w.n
WHERE s.slot IS DISTINCT FROM w.instant
    AND (s.slot > w.instant OR s.slot AT TIME ZONE %(zone)s IS DISTINCT FROM w.wall)
"""


def walk(rule: Rule, begin: dt.datetime, count: int) -> list[dt.datetime]:
    found = []
    while len(found) < count:
        slot = rule.after(begin)
        assert slot is not None
        found.append(slot)
        begin = slot
    return found


def differences(c: Connection, zone: str, walls: str, slots: list[dt.datetime]) -> object:
    (wanted,) = c.execute(walls.encode()).fetchone() or ((),)
    assert len(wanted) == len(slots)
    return c.execute(_DIFFERENT, {"zone": zone, "walls": wanted, "slots": slots}).fetchall()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("time", ["02:30", "00:00"])
def test_every_day(c: Connection, zone: str, time: str) -> None:
    hour, minute = map(int, time.split(":"))
    begin = dt.datetime(2012, 1, 1, hour, minute, tzinfo=ZoneInfo(zone))
    days = f"SELECT array_agg(timestamp '2012-01-01 {time}' + n * interval '1 day' ORDER BY n)"
    before = begin.astimezone(dt.UTC) - dt.timedelta(microseconds=1)
    walls = f"{days} FROM generate_series(0, 3652) AS n"
    for rule in (
        parse_cron(f"{minute} {hour} * * *", ZoneInfo(zone)),
        parse_every("1 day", begin.astimezone(dt.UTC), ZoneInfo(zone)),
    ):
        assert differences(c, zone, walls, walk(rule, before, 3653)) == []


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("first", "text", "count"),
    [
        ("2012-01-31 02:30", "1 month", 120),
        ("2012-01-30 00:30", "2 months", 60),
        ("2011-11-29 23:59", "3 months", 40),
        ("2012-02-29 02:00", "1 year", 10),
        ("2012-12-31 02:15", "5 months", 24),
        ("2012-01-01 02:30", "2 weeks", 260),
    ],
)
def test_months_years_and_weeks(
    c: Connection, zone: str, first: str, text: str, count: int
) -> None:
    """PostgreSQL counts from the first one, as we do: 31 January, 29 February, 31 March."""
    begin = dt.datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    rule = parse_every(text, begin, ZoneInfo(zone))
    walls = (
        f"SELECT array_agg(timestamp '{first}' + n * interval '{text}' ORDER BY n)"
        f" FROM generate_series(0, {count - 1}) AS n"
    )
    slots = walk(rule, begin - dt.timedelta(microseconds=1), count)
    assert differences(c, zone, walls, slots) == []
