"""Scenario: sixteen producers enqueue the same keys at once, each in an order and a way of its own.

There must be one job a key, no deadlock may reach a producer, and none may be left undecided.
"""

import contextlib
import json
import random
import subprocess
import sys
import time
from typing import Any

import psycopg

from tests.faults.arena import Arena
from tests.faults.scenarios import Scenario, register
from tests.faults.tasks import PREFIX, TASK_OF
from tests.helpers import ROOT, eventually

PRODUCERS = 16
#: A key is kept for so long: its job may well be over before the last producer names it.
PERIOD = "1 day"
_AT_ONCE = 500
_TOGETHER = 20
_COLUMNS = "task, args, unique_key, unique_for"


def _job(key: str) -> tuple[str, str, str, str]:
    return PREFIX + TASK_OF["plain"], json.dumps([key, 0.0]), key, PERIOD


def _single(connection: "psycopg.Connection[Any]", keys: list[str]) -> None:
    """One INSERT a transaction."""
    for key in keys:
        connection.execute(
            f"INSERT INTO pgqueue.jobs ({_COLUMNS}) VALUES (%s, %s, %s, %s)".encode(), _job(key)
        )


def _each(connection: "psycopg.Connection[Any]", keys: list[str]) -> None:
    """Many in one statement, and what became of them."""
    for start in range(0, len(keys), _AT_ONCE):
        jobs = [
            dict(zip(("task", "args", "unique_key", "unique_for"), _job(key), strict=True))
            for key in keys[start : start + _AT_ONCE]
        ]
        for job in jobs:
            job["args"] = json.loads(job["args"])
        query = "SELECT count(job_id) FROM pgqueue.enqueue_each(%s)"
        (told,) = connection.execute(query, (json.dumps(jobs),)).fetchone() or (0,)
        if told != len(jobs):
            raise SystemExit(f"{told} ids for {len(jobs)} jobs")


def _copied(connection: "psycopg.Connection[Any]", keys: list[str]) -> None:
    """All of them by one COPY."""
    with connection.cursor().copy(f"COPY pgqueue.jobs ({_COLUMNS}) FROM STDIN".encode()) as copy:
        for key in keys:
            copy.write_row(_job(key))


def _together(connection: "psycopg.Connection[Any]", keys: list[str]) -> None:
    """Some single statements in one transaction, which deadlock with others of their kind."""
    for start in range(0, len(keys), _TOGETHER):
        with connection.transaction():
            _single(connection, keys[start : start + _TOGETHER])


_WAYS = (_single, _each, _copied, _together)


def write(dsn: str, number: int, keys: int, seed: str) -> None:
    """Be one producer."""
    order = [f"plain:storm:{key}" for key in range(keys)]
    random.Random(f"{seed} {number}").shuffle(order)
    with psycopg.connect(dsn, autocommit=True) as connection:
        # All begin together.
        connection.execute("SELECT pg_advisory_xact_lock_shared(1)")
        _WAYS[number % len(_WAYS)](connection, order)


def _strike(arena: Arena) -> None:
    keys = [f"plain:storm:{key}" for key in range(arena.jobs)]
    with arena.connect() as connection:
        connection.execute("INSERT INTO public.business SELECT unnest(%s::text[])", (keys,))
    arena.history.write("enq.invoke", keys=keys, tx="storm")
    log = arena.directory / "storm.log"
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(log.open("wb"))
        gate = stack.enter_context(arena.connect())
        gate.execute("SELECT pg_advisory_lock(1)")
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.faults.storms", arena.dsn, str(number),
                 str(arena.jobs), f"{arena.scenario.name} {arena.seed}"],
                stderr=said, cwd=ROOT,
            )
            for number in range(PRODUCERS)
        ]  # fmt: skip
        stack.callback(lambda: [process.kill() for process in processes])
        waits = "SELECT count(*) = %s FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: gate.execute(waits, (PRODUCERS,)).fetchone() == (True,), 60)
        begun = time.monotonic()
        gate.execute("SELECT pg_advisory_unlock(1)")
        codes = [process.wait(900) for process in processes]
        arena.facts["storm_seconds"] = round(time.monotonic() - begun, 1)
    for line in log.read_text(encoding="utf-8").splitlines()[-3:] if any(codes) else []:
        arena.history.write("surprise", what=f"a producer failed: {line}")
    blocked = "SELECT count(*) = 0 FROM pgqueue.blocked_jobs"
    eventually(lambda: arena.execute(blocked) == [(True,)], 60)
    _judge(arena, keys)


def _judge(arena: Arena, keys: list[str]) -> None:
    """Hold every job but the cancelled ones, which were decided late, against the keys."""
    found = arena.execute(
        "SELECT unique_key, id FROM pgqueue.job_overview WHERE state <> 'cancelled'"
    )
    late = arena.execute("SELECT count(*) FROM pgqueue.finished_jobs WHERE state = 'cancelled'")
    deadlocks = arena.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    arena.facts["jobs"] = len(found)
    arena.facts["decided_late"] = late[0][0]
    arena.facts["deadlocks"] = deadlocks[0][0]
    ids = dict(found)
    if len(found) != len(keys) or ids.keys() != set(keys):
        arena.history.write("surprise", what=f"{len(found)} jobs of {len(keys)} keys")
    # Those that were decided late are no jobs to the checker.
    arena.execute("DELETE FROM pgqueue.jobs AS j USING pgqueue.finished_jobs AS f"
                  " WHERE f.job_id = j.id AND f.state = 'cancelled'")  # fmt: skip
    arena.history.write("enq.ok", keys=keys, tx="storm", ids=[ids.get(key, 0) for key in keys])


register(Scenario(
    name="unique-storm", summary="16 producers enqueue the same keys at once, in any order and way",
    strike=_strike, workers=2, producers=0, jobs=10_000, cycles=0, drain=300,
    settings={"deadlock_timeout": "100ms"},
))  # fmt: skip

if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
