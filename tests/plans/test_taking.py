"""What taking jobs costs does not depend on what else is in the tables."""

from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.plans.measure import Taker, cost

Connection = psycopg.Connection[Any]

BATCHES = (1, 10, 100)


def costs(taker: Taker, *, full_scan: bool = True) -> dict[int, float]:
    """Buffers a job at each batch."""
    return {n: taker.cost_of_taking(n, full_scan=full_scan).buffers / n for n in BATCHES}


def finished(c: Connection, number: int) -> None:
    """So many jobs that are over."""
    with c.transaction():
        c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER jobs_file")
        factories.jobs(c, number)
        c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file")
        c.execute("""
            INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until)
            SELECT j.id, 'succeeded', 1, now(), now() + interval '7 days'
            FROM pgqueue.jobs AS j
            WHERE NOT EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = j.id)
        """)


@pytest.fixture
def taker(c: Connection) -> Taker:
    return Taker(c)


def test_a_job_costs_ten_buffers(c: Connection, taker: Taker) -> None:
    factories.jobs(c, 1000)
    assert costs(taker)[100] < 10
    assert costs(taker)[1] < 20


def test_a_hundred_thousand_future_jobs_cost_nothing(c: Connection, taker: Taker) -> None:
    factories.jobs(c, 1000)
    before = costs(taker)
    factories.jobs(c, 100_000, run_at="infinity")
    after = costs(taker)
    assert all(after[n] <= before[n] + 0.1 for n in BATCHES), (before, after)


def test_jobs_behind_a_busy_key_cost_nothing(c: Connection, taker: Taker) -> None:
    factories.job(c, concurrency_key="k")
    taker.take(1)
    factories.jobs(c, 1000)
    before = costs(taker)
    factories.jobs(c, 5_000, concurrency_key="k")
    taker.take(0)  # whoever looks first finds the key busy
    after = costs(taker)
    assert all(after[n] <= before[n] + 0.1 for n in BATCHES), (before, after)


def test_a_line_costs_what_it_does_however_many_there_are(c: Connection, taker: Taker) -> None:
    found = []
    for more in (100, 5_000):
        c.execute(
            "INSERT INTO pgqueue.jobs (task, concurrency_key)"
            " SELECT 'task', 'k' || %s || n FROM generate_series(1, %s) AS n",
            (f"{more}-", more),
        )
        found.append(cost_of_admitting(c, f"k{more}-", 20))
    # But for one more level of the indexes.
    assert found[1] <= 1.5 * found[0], found


def cost_of_admitting(c: Connection, prefix: str, keys: int) -> float:
    """Buffers a key of the last of three, which are rolled back."""
    names = [f"{prefix}{n}" for n in range(1, keys + 1)]
    for _ in range(3):
        with c.transaction(force_rollback=True):
            c.execute("SET LOCAL enable_seqscan = off")
            query = "SELECT pgqueue.admit(%s, clock_timestamp())"
            found = cost(c, query, (names,)).buffers
    return found / keys


def test_a_turn_costs_what_it_does_however_many_wait(c: Connection, taker: Taker) -> None:
    found = []
    for many in (10, 10_000):
        factories.jobs(c, many, fair_key="a")
        factories.jobs(c, many, fair_key="b")
        found.append(costs(taker)[10])
    assert found[1] <= 1.5 * found[0], found


def test_two_hundred_thousand_finished_jobs_cost_nothing(c: Connection, taker: Taker) -> None:
    """But for one more level of the primary key of jobs."""
    factories.jobs(c, 1000)
    before = costs(taker)
    finished(c, 200_000)
    after = costs(taker)
    assert all(after[n] <= before[n] + 1.1 for n in BATCHES), (before, after)


def test_a_hundred_thousand_waiting_jobs_cost_nothing(c: Connection, taker: Taker) -> None:
    """But for one more level of each of the three indexes that are entered."""
    factories.jobs(c, 1000)
    before = costs(taker)
    factories.jobs(c, 100_000)
    after = costs(taker)
    assert all(after[n] <= before[n] + 3.1 for n in BATCHES), (before, after)


def test_another_queue_costs_nothing(c: Connection, taker: Taker) -> None:
    factories.jobs(c, 1000)
    before = costs(taker)
    factories.jobs(c, 20_000, queue="aaa")
    factories.jobs(c, 20_000, queue="zzz", priority=9)
    after = costs(taker)
    assert all(after[n] <= before[n] + 3.1 for n in BATCHES), (before, after)


def test_a_paused_backlog_costs_nothing(c: Connection) -> None:
    """Neither the worker of every queue nor its heartbeat walks it."""
    taker = Taker(c, "*")
    factories.jobs(c, 50_000, queue="aaa")
    factories.jobs(c, 100, queue="zzz")
    c.execute("SELECT pgqueue.pause('aaa')")
    assert taker.cost_of_taking(1, full_scan=True).buffers < 40
    for query in ("SELECT pgqueue.waiting()", "SELECT pgqueue.beat(%(id)s)"):
        looks = [cost(c, query, {"id": taker.worker_id}) for _ in range(8)]
        assert min(looks).buffers < 40, query
    assert c.execute("SELECT pgqueue.waiting()").fetchone() == (True,)
    c.execute("DELETE FROM pgqueue.jobs WHERE queue = 'zzz'")
    assert c.execute("SELECT pgqueue.waiting()").fetchone() == (False,)


def test_a_paused_backlog_of_fair_keys_costs_nothing(c: Connection) -> None:
    taker = Taker(c, "*")
    factories.jobs(c, 20_000, queue="aaa", fair_key="k")
    c.execute("SELECT pgqueue.pause('aaa')")
    for query in ("SELECT pgqueue.waiting()", "SELECT pgqueue.waiting('{aaa}')"):
        looks = [cost(c, query, {"id": taker.worker_id}) for _ in range(8)]
        assert min(looks).buffers < 40, query
        assert c.execute(query).fetchone() == (False,)
    factories.job(c, queue="zzz", fair_key="k")
    asked = "SELECT pgqueue.waiting(), pgqueue.waiting('{zzz}'), pgqueue.waiting('{aaa}')"
    assert c.execute(asked).fetchone() == (True, True, False)


def test_looking_in_vain_is_cheap(c: Connection, taker: Taker) -> None:
    assert taker.cost_of_taking(100, full_scan=True).buffers < 12


@pytest.mark.parametrize("analysed", ["never", "while empty", "now"])
def test_what_the_planner_believes_changes_nothing(
    db: Database, c: Connection, analysed: str
) -> None:
    """Statistics of a table that was empty when it was looked at speak of one page and no row."""
    tables = "pgqueue.jobs, pgqueue.ready_jobs, pgqueue.running_jobs, pgqueue.finished_jobs"
    if analysed == "never":
        c.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0"
            " WHERE relnamespace = 'pgqueue'::regnamespace AND relkind IN ('r', 'i')"
        )
    elif analysed == "while empty":
        c.execute(f"ANALYZE {tables}")
    taker = Taker(c)
    factories.jobs(c, 20_000)
    if analysed == "now":
        c.execute(f"ANALYZE {tables}")
    # The first one has made its plans on empty tables, the second makes them now.
    for one in (taker, Taker(db.connect(), "other")):
        one.queues = ["default"]
        assert costs(one)[100] < 12


# Dead entries


@pytest.mark.parametrize("priorities", [(0,), (0, 5, 10), (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)])
def test_dead_entries_below_the_hint_are_not_walked(
    db: Database, c: Connection, taker: Taker, priorities: tuple[int, ...]
) -> None:
    """While somebody's snapshot is open nothing that is dead can be removed."""
    report = db.connect(autocommit=False)
    report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    report.execute("SELECT count(*) FROM pgqueue.jobs")
    for priority in priorities:
        factories.jobs(c, 20_000 // len(priorities), priority=priority)
    taker.drain(1000)
    assert taker.cost_of_taking(1, full_scan=True).buffers > 250
    # Where all jobs of a priority are taken, what they left must not be walked either: the one that
    # still has some is at the top, at the bottom and in the middle.
    for alive in {max(priorities), min(priorities), priorities[len(priorities) // 2]}:
        ids = factories.jobs(c, 300, priority=alive)
        assert taker.take(50, full_scan=True) == ids[:50]
        taker.take(0)
        # A descent for each priority it knows, and one for the gap below.
        assert taker.cost_of_taking(1).buffers < 30 + 4 * len(priorities), alive
        taker.drain(1000)
