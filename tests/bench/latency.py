"""How long after its commit a job starts, on an idle worker."""

import time
from typing import Any

import psycopg

from tests.bench import rig


def run(jobs: int, gap: float) -> dict[str, Any]:
    """Enqueue one job at a time and compare two readings of the machine's clock: the return of
    the commit, and the first line of the task."""
    with (
        rig.server() as server,
        rig.worker(server, "--queues", "bench", "--processes", "1"),
        psycopg.connect(server.dsn(), autocommit=True) as connection,
    ):
        committed: dict[int, float] = {}
        for _ in range(jobs):
            time.sleep(gap)
            job = rig.number(
                connection,
                "INSERT INTO pgqueue.jobs (task, queue) VALUES ('bench.stamp', 'bench') "
                "RETURNING id",
            )
            committed[int(job)] = time.time()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            rows = connection.execute(
                "SELECT job_id, result::float8 FROM pgqueue.finished_jobs"
            ).fetchall()
            if len(rows) == jobs:
                break
            time.sleep(0.1)
    late = [1000 * (float(str(at)) - committed[int(str(job))]) for job, at in rows]
    return {
        "jobs": jobs,
        "gap_ms": round(1000 * gap, 1),
        "start_ms_p50": round(rig.percentile(late, 0.5), 3),
        "start_ms_p99": round(rig.percentile(late, 0.99), 3),
        "start_ms_max": round(max(late), 3),
    }
