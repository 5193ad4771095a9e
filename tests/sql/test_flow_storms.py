"""Many who end, cancel and add jobs of the same flows at once: nobody waits, nobody is forgotten,
and whatever follows an end follows it once."""

import json
import random
import threading
import time
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import column, one
from tests.sql.sleeper import Connection

FLOWS, NODES, WORKERS = 4, 200, 4
STATES = ("succeeded",) * 12 + ("failed", "retry", "unstarted", "cancelled")
PATIENCE = 120.0


def _graph(chance: random.Random) -> str:
    items: list[dict[str, Any]] = []
    for n in range(NODES):
        item: dict[str, Any] = {
            "task": "node",
            "callbacks": {"on_finish": {"task": "after job"}},
            "queue": "flows",
        }
        if n and chance.random() < 0.9:
            item["after"] = chance.sample(range(n), min(n, chance.choice((1, 1, 2, 5, 20))))
            item["run_if"] = chance.choice(("succeeded", "finished", "finished", "failed"))
        items.append(item)
    return json.dumps(items)


class Storm:
    """Threads that do what workers, the leader and people do, until all groups have ended."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db = db
        self.seed = seed
        self.stop = threading.Event()
        self.errors: list[str] = []

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._guard, args=(self._work, n)) for n in range(WORKERS)
        ]
        threads += [threading.Thread(target=self._guard, args=(self._lead, n)) for n in range(2)]
        threads.append(threading.Thread(target=self._guard, args=(self._meddle, 0)))
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE
        c = self.db.connect()
        while one(c, "SELECT count(*) FROM pgqueue.groups WHERE ended_at IS NULL"):
            if time.monotonic() > until or self.errors:
                break
            self.stop.wait(0.05)
        self.stop.set()
        for thread in threads:
            thread.join()

    def _guard(self, what: Any, number: int) -> None:
        try:
            with self.db.connect() as c:
                # Whoever waits for a lock of another is a fault of its own.
                c.execute("SET lock_timeout = '20s'")
                what(c, random.Random(f"{self.seed} {what.__name__} {number}"))
        except Exception as error:
            self.errors.append(f"{what.__name__}: {error}")
            self.stop.set()

    def _work(self, c: Connection, chance: random.Random) -> None:
        worker = factories.worker(c, lease="1 hour")
        batch, answers = 0, None
        while not self.stop.is_set():
            batch += 1
            with c.transaction():
                ids = one(
                    c, "SELECT job_ids FROM pgqueue.work(%s, %s, '{flows}', %s, %s) AS w",
                    worker, batch, chance.choice((1, 3, 20)), answers,
                )  # fmt: skip
                if chance.random() < 0.2:
                    # A slow commit: others must get on beside it.
                    self.stop.wait(0.02)
            rest = [
                {"id": job, "state": chance.choice(STATES), "us": 1, "delay": 0}
                for job in ids or ()
            ]
            answers = json.dumps([{"batch": batch, "rest": rest}]) if rest else None

    def _lead(self, c: Connection, _chance: random.Random) -> None:
        while not self.stop.wait(0.01):
            c.execute("SELECT pgqueue.promote()")
            c.execute("SELECT pgqueue.apply_cancels()")
            c.execute("SELECT pgqueue.tidy()")

    def _meddle(self, c: Connection, chance: random.Random) -> None:
        jobs = column(c, "SELECT id FROM pgqueue.jobs WHERE task = 'node' ORDER BY id")
        while not self.stop.wait(0.02):
            job = chance.choice(jobs)
            if chance.random() < 0.5:
                c.execute("SELECT pgqueue.cancel(%s)", (job,))
            else:
                c.execute("SELECT pgqueue.set_priority(%s, %s)", (job, chance.randint(-5, 5)))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_over_flows_forgets_nobody(db: Database, c: Connection, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(FLOWS):
        c.execute(
            "SELECT pgqueue.enqueue_flow(%s, callbacks => %s)",
            (_graph(chance), '{"on_finish": {"task": "after group"}}'),
        )
    storm = Storm(db, seed)
    storm.run()
    assert storm.errors == []
    states = "SELECT state, count(*) FROM pgqueue.job_overview WHERE task = 'node' GROUP BY state"
    assert one(c, "SELECT count(*) FROM pgqueue.groups WHERE ended_at IS NULL") == 0, c.execute(
        states
    ).fetchall()
    assert one(c, "SELECT sum(total) FROM pgqueue.groups") == FLOWS * NODES
    told = "SELECT count(*), count(DISTINCT args -> 0 ->> '{}') FROM pgqueue.jobs WHERE task = %s"
    assert one(c, told.format("id"), "after job") == (FLOWS * NODES, FLOWS * NODES)
    assert one(c, told.format("group_id"), "after group") == (FLOWS, FLOWS)
    # Nobody began before those it runs after had ended.
    early = """
        SELECT count(*)
        FROM pgqueue.job_dependencies AS d
        JOIN pgqueue.finished_jobs AS p ON p.job_id = d.parent_id
        JOIN pgqueue.finished_jobs AS k ON k.job_id = d.child_id
        WHERE k.worker_id IS NOT NULL AND k.finished_at < p.finished_at
    """
    assert one(c, early) == 0
