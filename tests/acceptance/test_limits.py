"""Limits, held by real workers that are killed."""

import random
import time

from tests.acceptance.support import (
    Jobs,
    closed_gate,
    descendants,
    is_running,
    presume_lost,
    stop,
)
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

#: Attempts whose times overlap: by the notes they wrote, on the server's clock.
_OVERLAPS = """
    SELECT count(*) AS n FROM spans AS a JOIN spans AS b
    ON a.key = b.key AND a.n < b.n AND a.begun < b.ended AND b.begun < a.ended
"""

#: Server processes of which an attempt has asked something.
_SENT = "SELECT pid FROM pg_stat_activity WHERE query ~ '^(INSERT INTO|UPDATE) spans'"


def test_a_key_runs_one_at_a_time_whatever_dies(jobs: Jobs, worker: StartWorker) -> None:
    """Every attempt writes when it began and when it ended; one that was killed has no end."""
    jobs.query(
        "CREATE TABLE spans (n bigint GENERATED ALWAYS AS IDENTITY, key text,"
        " begun timestamptz DEFAULT clock_timestamp(), ended timestamptz)"
    )
    chance = random.Random(4)
    ids = [jobs.add("spanned", f"key {n % 8}", concurrency_key=f"key {n % 8}") for n in range(200)]
    running = [worker("--processes", "2", "--threads", "4") for _ in range(2)]

    def done() -> int:
        return int(jobs.value("SELECT count(*) FROM pgqueue.finished_jobs"))

    for share in (0.25, 0.6):
        eventually(lambda share=share: done() >= share * len(ids), 60)
        victim = running.pop(chance.randrange(len(running)))
        below = descendants(victim.pid)
        victim.kill()
        eventually(lambda below=below: not any(map(is_running, below)))
        # Nor does the server go on with what they have sent.
        sent = [row["pid"] for row in jobs.query(_SENT)]
        eventually(lambda sent=sent: not set(sent) & {row["pid"] for row in jobs.query(_SENT)})
        # What was killed has ended by now, and its key is free for another.
        presume_lost(jobs, victim)
        running.append(worker("--processes", "2", "--threads", "4"))
    jobs.wait_all(ids)
    assert jobs.value(_OVERLAPS) == 0
    assert jobs.value("SELECT count(DISTINCT n) FROM spans WHERE ended IS NOT NULL") >= len(ids)
    assert jobs.value("SELECT count(*) FROM pgqueue.slots") == 0
    assert jobs.value("SELECT count(*) FROM pgqueue.offers") == 0
    for one in running:
        stop(one)


def test_a_queue_runs_so_many_at_once(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    jobs.query("""SELECT pgqueue.limit_queue('default', '{"max_running": 3}')""")
    with closed_gate(db, 1):
        for _ in range(2):
            worker("--processes", "1", "--threads", "4")
        ids = [jobs.add("gate", 1) for _ in range(8)]
        jobs.wait_at_gate(1, 3)
        assert jobs.states(ids) == {"running": 3, "ready": 5}
        jobs.query("""SELECT pgqueue.limit_queue('default', '{"max_running": 5}')""")
        jobs.wait_at_gate(1, 5)
    jobs.wait_all(ids)
    assert jobs.value("SELECT count(*) FROM pgqueue.slots") == 0


def test_a_rate_is_kept_by_several_workers(jobs: Jobs, worker: StartWorker) -> None:
    """And used: the leader wakes them when it permits the next ones."""
    jobs.query("""SELECT pgqueue.limit_queue('default', '{"rate": "20/s"}')""")
    for _ in range(2):
        worker("--processes", "1", "--threads", "8")
    begun = time.monotonic()
    ids = jobs.add_many(100, "noop")
    jobs.wait_all(ids)
    # Five times 20, with four seconds between the first and the last.
    assert time.monotonic() - begun >= 3.9
    most = jobs.value(
        "SELECT max(n) FROM (SELECT (SELECT count(*) FROM pgqueue.finished_jobs AS b"
        " WHERE b.started_at >= a.started_at AND b.started_at < a.started_at + interval '0.9 s')"
        " AS n FROM pgqueue.finished_jobs AS a) AS w"
    )
    assert most <= 20


def test_a_rate_of_a_key_is_kept_by_several_workers(jobs: Jobs, worker: StartWorker) -> None:
    """And another key is not held back by it."""
    for _ in range(2):
        worker("--processes", "1", "--threads", "8")
    begun = time.monotonic()
    ids = jobs.add_many(100, "noop", concurrency_key="k", rate="20/s")
    others = jobs.add_many(50, "noop", concurrency_key="other", rate="1000/s")
    jobs.wait_all(others, timeout=60)
    jobs.wait_all(ids)
    # Five times 20, with four seconds between the first and the last.
    assert time.monotonic() - begun >= 3.9
    most = jobs.value(
        "SELECT max(n) FROM (SELECT (SELECT count(*) FROM pgqueue.finished_jobs AS b"
        " WHERE b.job_id = ANY (%s) AND b.started_at >= a.started_at"
        " AND b.started_at < a.started_at + interval '0.9 s')"
        " AS n FROM pgqueue.finished_jobs AS a WHERE a.job_id = ANY (%s)) AS w",
        ids,
        ids,
    )
    assert most <= 20
    assert jobs.value("SELECT count(*) FROM pgqueue.slots") == 0
