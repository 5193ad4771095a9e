"""A take of n takes n, in order, whatever plan the server is talked into."""

from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.plans.measure import Taker

Connection = psycopg.Connection[Any]

SWITCHES = (
    "enable_async_append",
    "enable_bitmapscan",
    "enable_gathermerge",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
)


def _off(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "off")


HOSTILE: dict[str, dict[str, str]] = {
    **{f"no {name[7:]}": _off(name) for name in SWITCHES},
    "no index": _off("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"),
    "no nested loop": _off("enable_nestloop", "enable_material", "enable_memoize"),
    "no join at all": _off("enable_nestloop", "enable_hashjoin", "enable_mergejoin"),
    "nothing": _off(*SWITCHES),
    "custom plans": {"plan_cache_mode": "force_custom_plan"},
    "sequential reads are free": {"seq_page_cost": "0", "random_page_cost": "1000000"},
    "random reads are free": {"seq_page_cost": "1000000", "random_page_cost": "0"},
    "the processor is dear": {"cpu_tuple_cost": "1000", "cpu_operator_cost": "1000"},
    "index entries are dear": {"cpu_index_tuple_cost": "1000000"},
    "the cursor wants its first row": {"cursor_tuple_fraction": "0"},
    "little memory": {"work_mem": "64kB", "hash_mem_multiplier": "1"},
    "no join is reordered": {"join_collapse_limit": "1", "from_collapse_limit": "1"},
    "genes": {"geqo_threshold": "2"},
    "compiled": {"jit": "on", "jit_above_cost": "0"},
    "parallel": {
        "parallel_setup_cost": "0",
        "parallel_tuple_cost": "0",
        "min_parallel_table_scan_size": "0",
        "min_parallel_index_scan_size": "0",
        "max_parallel_workers_per_gather": "4",
    },
}


@pytest.fixture
def believed(c: Connection) -> Connection:
    """A database whose statistics are those of empty tables."""
    c.execute("ANALYZE")
    return c


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_n_are_n_in_order(db: Database, believed: Connection, settings: dict[str, str]) -> None:
    c = db.connect()
    for name, value in settings.items():
        c.execute("SELECT set_config(%s, %s, false)", (name, value))
    _take(c, believed)
    _move(c, believed)


def _take(c: Connection, admin: Connection) -> None:
    taker = Taker(c)
    expected: list[int] = []
    for priority in (7, 0, -7):
        expected += factories.jobs(admin, 120, priority=priority)
    taken: list[int] = []
    for number, full_scan in ((1, True), (1, False), (7, False), (100, False), (31, True)):
        found = taker.take(number, full_scan=full_scan)
        assert len(found) == number
        taken += found
    assert taken == expected[:140]
    assert admin.execute("SELECT count(*) FROM pgqueue.ready_jobs").fetchone() == (220,)
    assert taker.take(1000) == expected[140:]
    assert taker.take(1000, full_scan=True) == []
    done = admin.execute("SELECT count(*), count(DISTINCT job_id) FROM pgqueue.finished_jobs")
    assert done.fetchone() == (360, 360)


def _move(c: Connection, admin: Connection) -> None:
    admin.execute("TRUNCATE pgqueue.jobs")
    worker_id = factories.worker(admin, lease="1 s")
    due = [factories.scheduled(admin, f"2020-01-{day:02}") for day in range(1, 21)]
    held = [factories.running(admin, worker_id) for _ in range(10)]
    stale = [factories.ready(admin, expires_at="2020-01-01") for _ in range(10)]
    over = [factories.finished(admin, keep_until=f"2020-01-{day:02}") for day in range(1, 21)]

    def called(query: str) -> int:
        row = c.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def among(table: str, ids: list[int]) -> list[int]:
        query = f"SELECT job_id FROM pgqueue.{table} WHERE job_id = ANY (%s) ORDER BY job_id"
        return [row[0] for row in admin.execute(query, (ids,))]

    assert called("SELECT moved FROM pgqueue.promote(7)") == 7
    assert among("ready_jobs", due) == due[:7]
    assert called("SELECT expired FROM pgqueue.expire(7)") == 7
    assert called("SELECT expired FROM pgqueue.expire(7)") == 3
    assert among("finished_jobs", stale) == stale
    assert called("SELECT deleted FROM pgqueue.prune(7)") == 7
    assert among("finished_jobs", over) == over[7:]
    later = "at => clock_timestamp() + interval '1 h'"
    assert called(f"SELECT jobs_rescued FROM pgqueue.rescue(4, {later})") == 4
    assert among("ready_jobs", held) == held[:4]
    assert called(f"SELECT jobs_rescued FROM pgqueue.rescue(9, {later})") == 6
    assert among("ready_jobs", held) == held
    c.execute("DELETE FROM pgqueue.jobs WHERE id = ANY (%s)", (due + held,))
    assert among("ready_jobs", due + held) == []
