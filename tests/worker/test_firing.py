"""Firing: leaders that die at random, downtime, rules that take long, ten thousand at once."""

import asyncio
import contextlib
import datetime as dt
import functools
import inspect
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest import mock

import pytest

from pgqueue.core import planning
from pgqueue.core.errors import ConnectionLostError
from pgqueue.core.planning import Due, Plan, Slots
from pgqueue.db import schedule_calls
from pgqueue.db.session import Session
from pgqueue.worker import firing
from tests.fixtures.databases import Database

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)

RULES = {
    "berlin": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    "howe": {"cron": "*/90 * * * *", "timezone": "Australia/Lord_Howe"},
    "hours": {"every": "7h"},
    "days": {"every": "1 day", "starts_at": START + 5 * MINUTE, "timezone": "America/New_York"},
    "months": {"every": "1 month", "starts_at": dt.datetime(2026, 3, 31, 4, tzinfo=dt.UTC)},
    "rule": {"rrule": "FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=6,18", "timezone": "Africa/Casablanca"},
    "five": {"every": "6h", "repeats": 5},
    "ends": {"every": "12h", "ends_at": START + 9 * DAY},
    "shaken": {"every": "3h", "jitter": "40 min"},
    "once": {"run_at": START + 3 * DAY + 77 * MINUTE},
}


def run(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Let a test be a coroutine."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return wrapper


class Leader:
    """A leader without its worker: the same calls, over one session, at a time it is told."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def step(self, at: dt.datetime) -> int:
        """Fire what is due; gives how many jobs were made."""
        fired = 0
        while True:
            now, due, broken = await schedule_calls.due_schedules(self.session, 500, at)
            plans = [*broken, *await firing.compute(due, now)]
            if not plans:
                return fired
            made, moved = await firing.carry_out(self.session, plans, now)
            fired += made
            if not moved:
                return fired


def make(db: Database, name: str, at: dt.datetime = START, **words: Any) -> None:
    given = {"name": name, "task": "t", "catch_up": "all", "at": at, **words}
    call = ", ".join(f"{word} => %({word})s" for word in given)
    db.execute(f"SELECT pgqueue.schedule({call})", given)


def expected(db: Database, until: dt.datetime) -> list[tuple[str, dt.datetime]]:
    """The slots up to an instant, computed in one go from what the schedules say."""
    columns = "name, kind, rule, timezone, starts_at, ends_at, repeats, jitter, id"
    found = []
    for name, *row, jitter, number in db.execute(f"SELECT {columns} FROM pgqueue.schedules"):
        words = dict(zip(columns.split(", ")[1:-2], row, strict=True))
        start = START if words["kind"] != "once" else START - MINUTE
        one = Due(**words, id=number, jitter=jitter, done_until=start)
        slots = itertools.islice(Slots(one).walk(start), words["repeats"])
        found += [
            (name, slot)
            for slot in itertools.takewhile(lambda slot: slot <= until, slots)
            if Slots(one).run_at(slot) <= until
        ]
    return sorted(found)


def ran(db: Database) -> list[tuple[str, dt.datetime]]:
    """The slots that have a job, by what the jobs were told."""
    rows = db.execute(
        "SELECT meta #>> '{pgqueue,schedule}', (meta #>> '{pgqueue,planned_at}')::timestamptz"
        " FROM pgqueue.jobs"
    )
    return sorted(rows)


@run
async def test_a_month_with_leaders_that_die(db: Database) -> None:
    """0 early, 0 double, 0 missed: leaders die before, within and after a firing, and two lead."""
    for name, words in RULES.items():
        make(db, name, **words)
    dice = random.Random(5)
    at, until = START, START + 31 * DAY
    leaders = [Leader(await Session.open(db.dsn)) for _ in range(2)]
    deaths = 0
    while at < until:
        at = min(until, at + dice.choice((1, 7, 60, 240)) * MINUTE)
        if dice.random() < 0.1:
            # Dead in the middle: planned, sent within a transaction that never commits.
            deaths += 1
            doomed = leaders.pop(0)
            now, due, _ = await schedule_calls.due_schedules(doomed.session, 500, at)
            await doomed.session.call("BEGIN")
            await firing.carry_out(doomed.session, await firing.compute(due, now), now)
            doomed.session.close()
            leaders.append(Leader(await Session.open(db.dsn)))
        if dice.random() < 0.3:
            await asyncio.gather(*(leader.step(at) for leader in leaders))
        else:
            await dice.choice(leaders).step(at)
        if dice.random() < 0.05:
            early = "SELECT count(*) FROM pgqueue.schedule_runs WHERE slot > fired_at"
            assert db.execute(early) == [(0,)]
    for _ in range(3):
        # What two leaders took from each other in the last step.
        await leaders[0].step(until)
    for leader in leaders:
        leader.session.close()
    assert deaths > 10
    assert ran(db) == expected(db, until)
    assert db.execute("SELECT count(*) FROM pgqueue.schedule_runs WHERE slot > fired_at") == [(0,)]


@pytest.mark.parametrize(
    ("policy", "jobs"), [("all", 1000), ("once", 1), ("skip", 0)], ids=lambda value: str(value)
)
@run
async def test_days_of_downtime_are_no_flood(db: Database, policy: str, jobs: int) -> None:
    make(db, "s", every="1m", catch_up=policy)
    leader = Leader(await Session.open(db.dsn))
    at = START + 5 * DAY + MINUTE / 2
    steps = []
    for _ in range(12):
        steps.append(await leader.step(at))
        at += dt.timedelta(seconds=1)
    assert sum(steps) == jobs
    assert max(steps) <= planning.MOST_AT_ONCE
    slots = [slot for _, slot in ran(db)]
    newest = START + 5 * DAY
    assert slots == [newest - n * MINUTE for n in reversed(range(jobs))]
    leader.session.close()


@run
async def test_broken_ones_do_not_hold_up_the_others(db: Database) -> None:
    make(db, "zone", every="1 day", timezone="Europe/Atlantis")
    make(db, "cron", cron="every day")
    make(db, "rrule", rrule="FREQ=NEVER")
    make(db, "good", every="1h")
    for name, column, value in (
        ("future", "ends_at", "infinity"), ("past", "starts_at", "0044-03-15 BC"),
        ("jitter", "jitter", "100000000 years"),
    ):  # fmt: skip
        make(db, name, every="1h")
        query = f"UPDATE pgqueue.schedules SET {column} = %s WHERE name = %s"
        db.execute(query, (value, name))
    leader = Leader(await Session.open(db.dsn))
    assert await leader.step(START) == 0
    assert await leader.step(START + 60 * MINUTE) == 1
    rows = db.execute("SELECT name, status, error FROM pgqueue.schedule_overview ORDER BY name")
    assert [(name, status) for name, status, _ in rows] == [
        ("cron", "error"), ("future", "error"), ("good", "active"), ("jitter", "error"),
        ("past", "error"), ("rrule", "error"), ("zone", "error"),
    ]  # fmt: skip
    assert "Europe/Atlantis" in rows[-1][2]
    # Somebody installs the zone, or changes the rule: it goes on by itself.
    db.execute(
        "UPDATE pgqueue.schedules SET timezone = 'Europe/Berlin', revision = revision + 1"
        " WHERE name = 'zone'"
    )
    assert await leader.step(START + DAY + 6 * MINUTE) >= 1
    status = "SELECT status FROM pgqueue.schedule_overview WHERE name = 'zone'"
    assert db.execute(status) == [("active",)]
    leader.session.close()


@run
async def test_a_trigger_that_refuses_one_does_not_hold_up_the_others(db: Database) -> None:
    for name in "abc":
        make(db, name, every="1h")
    db.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
    )
    db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON pgqueue.jobs FOR EACH ROW"
        " WHEN (NEW.meta #>> '{pgqueue,schedule}' = 'b') EXECUTE FUNCTION no()"
    )
    leader = Leader(await Session.open(db.dsn))
    await leader.step(START)
    assert await leader.step(START + 60 * MINUTE) == 2
    errors = db.execute("SELECT name, error FROM pgqueue.schedules WHERE error IS NOT NULL")
    assert [name for name, _ in errors] == ["b"]
    assert "not this one" in errors[0][1]
    leader.session.close()


@run
async def test_a_rule_that_takes_long_blocks_nobody() -> None:
    """The loop turns while it computes, the others are planned, and it is given up."""
    given_up = []

    def slow(due: Due, at: dt.datetime) -> Plan:
        while due.id == 2 and not given_up:
            time.monotonic()
        return plan(due, at)

    plan = planning.plan
    words = {"kind": "every", "rule": "1h", "starts_at": START, "done_until": START}
    due = [Due(id=number, **words) for number in (1, 2, 3)]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.ensure_future(turn())
    with mock.patch.object(firing, "plan", slow), mock.patch.object(firing, "_PATIENCE", 2.0):
        plans = await firing.compute(due, START)
        given_up.append(True)
    turning.cancel()
    assert [one.id for one in plans] == [1, 2]
    assert plans[0].error is None
    assert "takes longer" in str(plans[1].error)
    assert turns > 10


@run
async def test_a_process_that_was_frozen_blames_no_rule() -> None:
    thawed, never = threading.Event(), threading.Event()

    def held_up(due: Due, at: dt.datetime) -> Plan:
        thawed.wait()
        never.wait(0.3)  # it goes on no sooner than the loop
        return plan(due, at)

    plan = planning.plan
    due = [Due(id=1, kind="every", rule="1h", starts_at=START, done_until=START)]
    with mock.patch.object(firing, "plan", held_up), mock.patch.object(firing, "_PATIENCE", 2.0):
        computing = asyncio.ensure_future(firing.compute(due, START))
        await asyncio.sleep(0)
        never.wait(2.1)  # and the loop stands still
        thawed.set()
        [found] = await computing
    assert found.error is None


@run
async def test_a_key_that_somebody_is_taking_holds_no_other_schedule_up(db: Database) -> None:
    make(db, "key", every="1h", options='{"unique_key": "k"}')
    make(db, "other", every="1h")
    leader = Leader(await Session.open(db.dsn))
    await leader.session.call("SET lock_timeout = '1s'")
    at = START + 60 * MINUTE
    with db.connect(autocommit=False) as other:
        other.execute("SELECT pgqueue.enqueue('t', unique_key => 'k')")
        now, due, _ = await schedule_calls.due_schedules(leader.session, 500, at)
        plans = await firing.compute(due, now)
        assert await firing.carry_out(leader.session, plans, now) == (1, 1)
        other.rollback()
    # It is due still, and played when the key is free.
    assert await leader.step(at) == 1
    assert ran(db) == [("key", at), ("other", at)]
    leader.session.close()


@run
async def test_ten_thousand_at_once(db: Database) -> None:
    """On two mornings: what the second fills was empty when its plan was made."""
    db.execute(
        "INSERT INTO pgqueue.schedules"
        " (name, task, kind, rule, timezone, starts_at, done_until, next_run_at, overlap)"
        " SELECT 's' || n, 't', 'cron', '0 9 * * *', 'Europe/Berlin', %s, %s, %s,"
        " 'skip' FROM generate_series(1, 10000) AS n",
        (START, START, START),
    )
    leader = Leader(await Session.open(db.dsn))
    for day in (1, 2):
        db.execute("TRUNCATE pgqueue.jobs")
        began = time.monotonic()
        assert await leader.step(dt.datetime(2026, 3, day, 8, tzinfo=dt.UTC)) == 10_000
        print(f"10,000 schedules in {time.monotonic() - began:.1f} s")
    leader.session.close()
    assert len(set(ran(db))) == 10_000
    # Nothing is looked through that grows with the jobs that wait.
    ((read,),) = db.execute(
        "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'pgqueue'"
        " AND relname = ANY (%s)",
        (["ready_jobs", "scheduled_jobs", "running_jobs", "blocked_jobs", "schedule_runs"],),
    )
    assert read < 100_000


class Fetcher:
    """What firing needs of a fetcher."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.turn = asyncio.Lock()
        self._sessions = list(sessions)
        self.looks = 0

    async def session(self) -> Session:
        if self._sessions[0].lost.done():
            self._sessions.pop(0)
        return self._sessions[0]

    def look(self, cause: str) -> None:
        self.looks += 1


@run
async def test_what_the_leader_is_told(db: Database) -> None:
    fetcher: Any = Fetcher([await Session.open(db.dsn)])
    one = firing.Firing(fetcher, lambda: None)
    assert await one.run(None, 1.0) == 1.0
    assert await one.run(0.25, 1.0) == 0.25
    make(db, "s", every="1h")
    assert await one.run(0.0, 1.0, START) == 0.0
    assert fetcher.looks == 0
    assert await one.run(0.0, 1.0, START + 60 * MINUTE) == 0.0
    assert fetcher.looks == 1
    assert await one.run(0.0, 1.0, START + 60 * MINUTE) == firing._HELD
    (await fetcher.session()).close()


@run
async def test_declarations_are_told_again_after_a_lost_connection_and_a_reload(
    db: Database,
) -> None:
    broken, good = await Session.open(db.dsn), await Session.open(db.dsn)
    fetcher: Any = Fetcher([broken, good])
    declared = b'{"module": "x", "name": "a", "task": "t", "every": "1h"}'
    document = [b'{"modules": ["x"], "schedules": [%s]}' % declared]
    db.execute("SELECT pg_terminate_backend(%s, 5000)", (broken.backend_pid,))
    one = firing.Firing(fetcher, lambda: document[-1])

    async def until(status: str) -> None:
        while db.execute("SELECT status FROM pgqueue.schedule_overview") != [(status,)]:
            await asyncio.sleep(0)

    with mock.patch.object(firing, "_LOOK", 0.01):
        telling = asyncio.ensure_future(one.declare())
        async with asyncio.timeout(60):
            await until("active")
            document.append(b'{"modules": ["x"], "schedules": []}')
            await until("undeclared")
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionLostError):
            await telling
    good.close()


def test_the_clock_of_this_host_is_not_asked() -> None:
    """What time it is comes from the server, so that a host may be a day off."""
    for module in (firing, planning, schedule_calls):
        source = inspect.getsource(module)
        assert "datetime.now" not in source
        assert "time.time(" not in source
