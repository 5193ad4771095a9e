"""How fast one worker drains no-op jobs, held against two floors of the same run.

The work() floor is the same `pgqueue.work()` driven by a bare loop that answers each batch at once
without running anything. The table floor is what an application would write itself: a table, SKIP
LOCKED, DELETE; for orientation.
"""

import time
from typing import Any

import psycopg

from pgqueue.db.embedded import EmbeddedServer
from tests.bench import rig

_WORK = "SELECT job_ids::text, hint_out FROM pgqueue.work(%s, %s, '{bench}', %s, %s, %s)"
_TABLE = """
WITH picked AS MATERIALIZED (
    SELECT id FROM plain_queue ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM plain_queue USING picked WHERE plain_queue.id = picked.id RETURNING plain_queue.id
"""


def run(jobs: int, rounds: int, batch: int, processes: int) -> dict[str, Any]:
    """Measure; gives medians over the rounds and ratios."""
    worker_s, work_s, table_s, wal_bytes = [], [], [], []
    with rig.server() as server:
        for _ in range(rounds):
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                work_s.append(_work_floor(connection, jobs, batch))
                seconds, written = _worker(server, connection, jobs, processes)
                worker_s.append(seconds)
                wal_bytes.append(written)
                table_s.append(_table_floor(connection, jobs, batch))
    rate = jobs / rig.median(worker_s)
    floor = jobs / rig.median(work_s)
    return {
        "jobs": jobs,
        "rounds": rounds,
        "batch": batch,
        "processes": processes,
        "jobs_per_s": round(rate),
        "floor_jobs_per_s": round(floor),
        "ratio_to_floor": round(rate / floor, 3),
        "table_jobs_per_s": round(jobs / rig.median(table_s)),
        "ratio_to_table": round(rig.median(table_s) / rig.median(worker_s), 3),
        "wal_bytes_per_job": round(rig.median(wal_bytes)),
    }


def _work_floor(connection: rig.Connection, jobs: int, batch: int) -> float:
    rig.clean(connection)
    rig.enqueue(connection, jobs)
    worker_id = rig.number(connection, "SELECT pgqueue.register_worker('floor')")
    hint: object = None
    outcomes, done, number = None, 0, 0
    full_at = begun = time.perf_counter()
    while done < jobs or outcomes:
        number += 1
        if time.perf_counter() - full_at > 1:
            hint, full_at = None, time.perf_counter()
        row = connection.execute(
            _WORK, (int(worker_id), number, batch, outcomes, hint), prepare=True
        ).fetchone()
        assert row is not None
        ids, hint = str(row[0] or "{}"), row[1]
        count = ids.count(",") + 1 if ids != "{}" else 0
        done += count
        outcomes = (
            f'[{{"batch":{number},"ok":"{ids}","us":"{{{",".join(["10"] * count)}}}"}}]'
            if count
            else None
        )
    seconds = time.perf_counter() - begun
    rig.value(connection, "SELECT pgqueue.forget_worker(%s)", int(worker_id))
    return seconds


def _worker(
    server: EmbeddedServer, connection: rig.Connection, jobs: int, processes: int
) -> tuple[float, float]:
    """Time from the end of a pause to the last outcome, by the server's clock."""
    rig.clean(connection)
    connection.execute("SELECT pgqueue.pause('bench')")
    rig.enqueue(connection, jobs)
    words = ("--queues", "bench", "--processes", str(processes))
    with rig.worker(server, *words):
        time.sleep(1)  # its first look finds nothing, and it falls asleep
        written = rig.wal(connection)
        begun = rig.number(connection, "SELECT extract(epoch FROM clock_timestamp())")
        connection.execute("SELECT pgqueue.resume('bench')")
        while (
            rig.value(connection, "SELECT pgqueue.health() ->> 'ready'") != "0"
            or rig.value(connection, "SELECT pgqueue.health() ->> 'running'") != "0"
        ):
            time.sleep(0.2)
        written = rig.wal(connection) - written
    done, last = connection.execute(
        "SELECT count(*), extract(epoch FROM max(finished_at)) FROM pgqueue.finished_jobs"
    ).fetchone() or (0, 0)
    if done != jobs:
        raise SystemExit(f"{jobs} jobs were expected to be done; {done} are")
    return float(str(last)) - begun, written / jobs


def _table_floor(connection: rig.Connection, jobs: int, batch: int) -> float:
    connection.execute("DROP TABLE IF EXISTS plain_queue")
    connection.execute("CREATE TABLE plain_queue (id bigint PRIMARY KEY, payload text)")
    connection.execute(
        "INSERT INTO plain_queue SELECT n, '[]' FROM generate_series(1, %s) n", (jobs,)
    )
    begun = time.perf_counter()
    while connection.execute(_TABLE, (batch,), prepare=True).fetchall():
        continue
    return time.perf_counter() - begun
