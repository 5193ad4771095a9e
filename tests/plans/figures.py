"""What a job costs at each batch size, as figures that later work is held against.

They are kept in ``figures.json``, by the major version of PostgreSQL. To write those of one version
anew, after a change that was meant to change them:

    python -m tests.plans.figures                                            # of the wheel's server
    PGQUEUE_TEST_POSTGRES=/usr/lib/postgresql/15/bin python -m tests.plans.figures
"""

import json
import os
from pathlib import Path
from typing import Any

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.fixtures.databases import create_database, start_server
from tests.plans.measure import Taker

Connection = psycopg.Connection[Any]
#: By what was measured: statements, commits, buffers, wal_bytes; each for one job.
Figures = dict[str, float]

FILE = Path(__file__).with_name("figures.json")
BATCHES = (1, 100, 1000)
#: Nothing that comes by itself is in the figures.
SETTINGS = {"autovacuum": "off", "full_page_writes": "off", "checkpoint_timeout": "1h"}

_COUNTERS = """
    SELECT d.xact_commit, d.blks_hit + d.blks_read,
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')
    FROM pg_stat_database AS d WHERE d.datname = current_database()
"""


def measure(server: EmbeddedServer) -> dict[str, dict[str, Figures]]:
    """Measure everything on a quiet server started with `SETTINGS`.

    Returns:
        Figures by what was done, "enqueue" or "work", and the batch.
    """
    found: dict[str, dict[str, Figures]] = {"enqueue": {}, "work": {}}
    for batch in BATCHES:
        database = create_database(server)
        c = database.connect()
        schema.upgrade(c)
        taker = Taker(c)
        jobs = max(1000, 3 * batch)
        _enqueue(c, batch)
        taker.drain(batch)
        before = _counters(c)
        _enqueue(c, jobs, batch)
        after = _counters(c)
        found["enqueue"][str(batch)] = _figures(before, after, jobs // batch, jobs)
        before = _counters(c)
        calls = taker.drain(batch)
        after = _counters(c)
        found["work"][str(batch)] = _figures(before, after, calls, jobs)
        database.close()
    return found


def recorded(major: int) -> dict[str, dict[str, Figures]]:
    """The figures of a version of PostgreSQL; of the nearest one, if it has none."""
    every = json.loads(FILE.read_text())
    nearest: dict[str, dict[str, Figures]] = every[min(every, key=lambda v: abs(int(v) - major))]
    return nearest


def _enqueue(c: Connection, jobs: int, batch: int | None = None) -> None:
    batch = batch or jobs
    query = (
        "INSERT INTO pgqueue.jobs (task, args)"
        " SELECT 'reports.monthly', '[42, \"a word\"]' FROM generate_series(1, %s)"
    )
    if batch == 1:
        query = (
            "INSERT INTO pgqueue.jobs (task, args) VALUES ('reports.monthly', '[42, \"a word\"]')"
        )
    for _ in range(jobs // batch):
        c.execute(query, (batch,) if batch > 1 else None)


def _counters(c: Connection) -> tuple[int, int, int]:
    c.execute("SELECT pg_stat_force_next_flush()")
    row = c.execute(_COUNTERS).fetchone()
    assert row is not None
    return (int(row[0]), int(row[1]), int(row[2]))


def _figures(
    before: tuple[int, int, int], after: tuple[int, int, int], statements: int, jobs: int
) -> Figures:
    commits, buffers, wal_bytes = (last - first for first, last in zip(before, after, strict=True))
    # Counting is two statements; the first of them before, the second after the counters.
    return {
        "statements": round(statements / jobs, 4),
        "commits": round((commits - 2) / jobs, 4),
        "buffers": round(buffers / jobs, 2),
        "wal_bytes": round(wal_bytes / jobs, 1),
    }


def main() -> None:
    """Measure, and write the figures of this version of PostgreSQL anew."""
    with start_server(os.environ.get("PGQUEUE_TEST_POSTGRES") or None, **SETTINGS) as server:
        every = json.loads(FILE.read_text()) if FILE.exists() else {}
        every[str(server.major)] = measure(server)
    FILE.write_text(json.dumps(dict(sorted(every.items())), indent=2) + "\n")
    print(FILE.read_text())


if __name__ == "__main__":
    main()
