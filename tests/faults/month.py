"""A month of schedules in a minute or two: real workers, a clock that is moved, leaders killed.

python -m tests.faults.month --seed 7
python -m tests.faults.month --days 31 --kills 40 --postgres /usr/lib/postgresql/15/bin --json

Workers are killed at random moments, most of them leaders, and die by themselves before and after a
firing; where libfaketime is to be had, hosts are a day early, late or ten times too fast. Once all
are dead for two days. In the end every slot must have one job and none may have been early.
"""

import argparse
import contextlib
import datetime as dt
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import psycopg

from pgqueue.core.planning import MOST_AT_ONCE, Due, Slots
from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.faults import clock, moved
from tests.fixtures.databases import create_database, start_server
from tests.fixtures.workers import RunningWorker, launch
from tests.helpers import eventually

#: Far enough ahead that by the server's own clock nothing is due.
START: Final = dt.datetime(2035, 3, 1, tzinfo=dt.UTC)
MINUTE: Final = dt.timedelta(minutes=1)
DAY: Final = dt.timedelta(days=1)
_CREW: Final = 3

#: All catch up with every slot unless told otherwise.
RULES: Final[dict[str, dict[str, Any]]] = {
    "berlin": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    "howe": {"cron": "*/30 * * * *", "timezone": "Australia/Lord_Howe"},
    "casablanca": {"rrule": "FREQ=DAILY;BYHOUR=6,18", "timezone": "Africa/Casablanca"},
    "minutes": {"every": "25m"},
    "days": {"every": "1 day", "starts_at": START + 5 * MINUTE, "timezone": "America/New_York"},
    "months": {"every": "1 month", "starts_at": dt.datetime(2035, 3, 31, 4, tzinfo=dt.UTC)},
    "five": {"every": "6h", "repeats": 5},
    "ends": {"every": "5h", "ends_at": START + 9 * DAY},
    "shaken": {"every": "3h", "jitter": "40 min"},
    "once": {"run_at": START + DAY + 77 * MINUTE},
    "skip": {"every": "2h", "overlap": "skip"},
    "queue": {"every": "4h", "overlap": "queue"},
    "late once": {"every": "20m", "catch_up": "once"},
    "never late": {"every": "20m", "catch_up": "skip"},
}
#: Those of which a slot may be left out.
_LOSSY: Final = ("late once", "never late")

_RAN = """
SELECT meta #>> '{pgqueue,schedule}', (meta #>> '{pgqueue,planned_at}')::timestamptz
FROM pgqueue.jobs
"""
_SLOTS = """
SELECT s.name, r.slot, r.fired_at, r.job_id
FROM pgqueue.schedule_runs AS r JOIN pgqueue.schedules AS s ON s.id = r.schedule_id
"""
#: Jobs of one schedule that ran beside each other though it says that they must not. Firing goes by
#: what the database says, so the start of the one counts from where the other ended.
_BESIDE = """
SELECT count(*)
FROM (
    SELECT f.started_at, lag(f.finished_at) OVER (
        PARTITION BY j.meta #>> '{pgqueue,schedule}' ORDER BY j.id) AS ended
    FROM pgqueue.jobs AS j JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
    WHERE j.meta #>> '{pgqueue,schedule}' IN ('skip', 'queue')
) AS one
WHERE one.started_at < one.ended
"""
_LEFT = """
SELECT id, state, attempt, lost, crashes, run_at, reason
FROM pgqueue.job_overview
WHERE state NOT IN ('succeeded', 'failed')
ORDER BY id
LIMIT 5
"""
_FAILED = (
    "SELECT id, attempt, lost, crashes, error FROM pgqueue.job_overview WHERE state = 'failed'"
)
_LEADERS = "SELECT pid FROM pgqueue.workers WHERE is_leader"
_SHOWN = 5


class Month:
    """One run.

    Args:
        server: where its database is made.
        seed: of everything random.
        days: how many pass.
        kills: how many workers are killed, beside those that die by themselves.
        outage: whether everything is away for two of those days.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        directory: Path,
        *,
        seed: int,
        days: int,
        kills: int,
        outage: bool,
    ) -> None:
        database = create_database(server)
        self.dsn = database.dsn
        self._dice = random.Random(seed)
        self._directory = directory
        self._kills = kills
        self._outage = outage
        self.at = START
        self._until = START + days * DAY
        self._crew: list[RunningWorker] = []
        self._numbers = itertools.count(1)
        self._library = clock.library()
        self.facts: dict[str, Any] = {"seed": seed, "days": days, "steps": 0, "killed": 0}
        self.facts |= {"leaders_killed": 0, "died": 0, "clocks": self._library is not None}
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            schema.upgrade(connection)
            moved.install(connection, START)
        self._connection = psycopg.connect(self.dsn, autocommit=True)

    def play(self) -> dict[str, Any]:
        """Let the days pass; give what was found."""
        begun = time.monotonic()
        try:
            self._make()
            self._man()
            self._pass_days()
            self._settle()
            return {**self.facts, **self._judge(), "wall": round(time.monotonic() - begun, 1)}
        finally:
            for worker in self._crew:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, 9)
                worker.process.wait()
            self._connection.close()

    def _query(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(text.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def _make(self) -> None:
        for name, words in RULES.items():
            given = {"name": name, "task": "tick", "catch_up": "all", "at": START, **words}
            call = ", ".join(f"{word} => %({word})s" for word in given)
            self._connection.execute(f"SELECT pgqueue.schedule({call})".encode(), given)

    def _man(self) -> None:
        """Bring the crew to its strength."""
        alive = [worker for worker in self._crew if worker.process.poll() is None]
        self.facts["died"] += len(self._crew) - len(alive)
        self._crew = alive
        while len(self._crew) < _CREW:
            number = next(self._numbers)
            env = {"PGQUEUE_FAILPOINTS": "before_fire=kill9:0.01;after_fire=kill9:0.01"}
            env["PGQUEUE_FAILPOINTS_SEED"] = str(self._dice.random())
            if self._library is not None:
                env |= clock.environment(self._library, self._dice.choice(clock.CLOCKS))
            self._crew.append(
                launch(
                    self.dsn, self._directory / f"worker-{number}.log",
                    "--heartbeat", "0.5", "--lease", "10", "--processes", "1",
                    app="tests.faults.moved", env=env, program="tests.faults.moved",
                )
            )  # fmt: skip

    def _pass_days(self) -> None:
        strikes = sorted(
            START + self._dice.random() * (self._until - START) for _ in range(self._kills)
        )
        away = START + (self._until - START) / 3 if self._outage else None
        while self.at < self._until:
            step = self._dice.choice((1, 7, 30, 120, 240)) * MINUTE
            if away is not None and self.at >= away:
                for worker in self._crew:
                    self._kill(worker)
                away, step = None, 2 * DAY
            self._move(min(self._until, self.at + step))
            while strikes and strikes[0] <= self.at:
                strikes.pop(0)
                self._strike()
            self._man()
            if self._dice.random() < 0.6:
                self._wait_for_firing()

    def _move(self, at: dt.datetime) -> None:
        self.at = at
        self._query("UPDATE moved.clock SET at = %s", at)
        self._query("SELECT pgqueue.ring_leader()")
        self.facts["steps"] += 1

    def _strike(self) -> None:
        """Kill a worker, a leader most of the time, at whatever it is doing."""
        leaders = {row[0] for row in self._query(_LEADERS)}
        leading = [worker for worker in self._crew if worker.pid in leaders]
        chosen = leading if leading and self._dice.random() < 0.8 else self._crew
        time.sleep(self._dice.random() * 0.05)
        worker = self._dice.choice(chosen)
        while worker.process.poll() is not None:
            # It has died by itself meanwhile.
            self._man()
            worker = self._dice.choice(self._crew)
        self.facts["leaders_killed"] += worker.pid in leaders
        self._kill(worker)

    def _kill(self, worker: RunningWorker) -> None:
        if worker.process.poll() is None:
            self.facts["killed"] += 1
            self.facts["died"] -= 1
            worker.kill()

    def _wait_for_firing(self) -> None:
        def fired() -> bool:
            self._man()
            (row,) = self._query("SELECT pgqueue.schedules_due_in(moved.now())")
            return row[0] is None or row[0] > 0

        eventually(fired, 120)

    def _settle(self) -> None:
        """Go on in small steps until all is caught up with and every job has ended."""
        waiting = (
            "SELECT count(*) FROM pgqueue.schedules"
            " WHERE next_slot <= %s OR next_run_at = '-infinity'"
        )

        def caught_up() -> bool:
            self._move(self.at + MINUTE)
            self._wait_for_firing()
            return self._query(waiting, self._until) == [(0,)]

        def ended() -> None:
            self._man()
            assert self._query(_LEFT) == []

        eventually(caught_up, 600)
        eventually(ended, 300)

    def _plans(self) -> dict[str, Slots]:
        """Give the slots of each schedule, by what it says."""
        columns = "name, kind, rule, timezone, starts_at, ends_at, jitter, id"
        found = {}
        for name, *row in self._query(f"SELECT {columns} FROM pgqueue.schedules"):
            words = dict(zip(columns.split(", ")[1:], row, strict=True))
            found[name] = Slots(Due(**words, done_until=START))
        return found

    def _judge(self) -> dict[str, Any]:
        plans = self._plans()
        decided = [row for row in self._query(_SLOTS) if row[1] <= self._until]
        ran = [row for row in self._query(_RAN) if row[1] <= self._until]
        expected = {
            (name, slot)
            for name, slots in plans.items()
            for slot in itertools.islice(
                itertools.takewhile(lambda slot: slot <= self._until, slots.walk(START)),
                RULES[name].get("repeats"),
            )
        }
        found = {(name, slot) for name, slot, _, _ in decided}
        left_out = {(name, slot) for name, slot, _, job in decided if job is None}
        at_once = Counter((name, fired) for name, _, fired, _ in decided)
        findings: dict[str, list[Any]] = {
            "early": [row for row in decided if plans[row[0]].run_at(row[1]) > row[2]],
            "double": [one for one, number in Counter(ran).items() if number > 1],
            "missed": [one for one in sorted(expected - found) if one[0] not in _LOSSY],
            "unplanned": sorted(found - expected),
            "without_job": sorted(found - left_out - set(ran)),
            "without_slot": sorted(set(ran) - found),
            "left_out": [one for one in sorted(left_out) if one[0] != "skip"],
            "failed": self._query(_FAILED),
            "flood": [one for one, number in at_once.items() if number > MOST_AT_ONCE],
        }
        beside = int(self._query(_BESIDE)[0][0])
        problems = self._query("SELECT * FROM pgqueue.check_invariants()")
        return {
            "slots": len(expected),
            "jobs": len(ran),
            "skipped": len(left_out),
            **{name: len(what) for name, what in findings.items()},
            "beside": beside,
            "invariants": len(problems),
            "ok": not any(findings.values()) and not beside and not problems,
            "findings": {
                name: [str(one) for one in what[:_SHOWN]] for name, what in findings.items() if what
            },
        }


def play(
    server: EmbeddedServer, directory: Path, *, seed: int, days: int, kills: int, outage: bool
) -> dict[str, Any]:
    """Let some days pass; give one row of what came of them."""
    month = Month(server, directory, seed=seed, days=days, kills=kills, outage=outage)
    return month.play()


def main() -> int:
    """Parse, play, print; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.month", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--postgres", default=os.environ.get("PGQUEUE_TEST_POSTGRES") or None)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_server(words.postgres) as server:
        row = play(
            server, Path(folder), seed=words.seed, days=words.days, kills=words.kills, outage=True
        )
    if words.json:
        print(json.dumps(row))
    else:
        for name, value in row.items():
            print(f"{name:15} {value}")
    return 0 if row["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
