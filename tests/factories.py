"""Jobs and workers in any state, one line each.

The rows are written straight into the tables, not by the functions under test. What a table does
not have is a column of the job: `running(c, attempt=2, args="[1]")`.
"""

from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]

_POSITIONS = {
    "ready_jobs": ("queue", "priority", "seq", "attempt", "lost", "crashes", "flags"),
    "scheduled_jobs": (
        "run_at", "queue", "priority", "attempt", "lost", "crashes", "flags", "reason",
    ),
    "blocked_jobs": ("reason", "key", "queue", "priority", "attempt", "lost", "crashes", "flags"),
    "running_jobs": (
        "worker_id", "batch_no", "queue", "priority", "attempt", "lost", "crashes", "flags",
        "started_at",
    ),
    "finished_jobs": (
        "state", "attempt", "lost", "crashes", "worker_id", "started_at", "finished_at",
        "keep_until", "result", "error",
    ),
}  # fmt: skip


def worker(c: Connection, name: str = "worker", **columns: Any) -> int:
    """A registered worker; gives its id."""
    return _insert(c, "workers", {"name": name, **columns}, "id")


def job(c: Connection, task: str = "task", **columns: Any) -> int:
    """A job as a producer inserts it: the trigger files it as ready or scheduled; gives its id."""
    return _insert(c, "jobs", {"task": task, **columns}, "id")


def jobs(c: Connection, number: int, task: str = "task", **columns: Any) -> list[int]:
    """Many of them, by one statement; gives their ids in order."""
    values = {"task": task, **columns}
    query = sql.SQL(
        "INSERT INTO pgqueue.jobs ({}) SELECT {} FROM generate_series(1, {}) RETURNING id"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Literal, values.values())),
        sql.Literal(number),
    )
    return [row[0] for row in c.execute(query)]


def ready(c: Connection, **columns: Any) -> int:
    """A ready job; its seq is its id unless told otherwise."""
    return _placed(c, "ready_jobs", columns)


def scheduled(c: Connection, run_at: Any = "infinity", **columns: Any) -> int:
    """A scheduled job."""
    return _placed(c, "scheduled_jobs", {"run_at": run_at, "reason": "delayed", **columns})


def blocked(c: Connection, reason: str = "slot", **columns: Any) -> int:
    """A blocked job."""
    return _placed(c, "blocked_jobs", {"reason": reason, **columns})


def running(c: Connection, worker_id: int | None = None, **columns: Any) -> int:
    """A running job, of a new worker unless told otherwise: batch 1, attempt 1."""
    held = {
        "worker_id": worker(c) if worker_id is None else worker_id,
        "batch_no": 1,
        "attempt": 1,
        "started_at": "now",
    }
    return _placed(c, "running_jobs", {**held, **columns})


def finished(c: Connection, state: str = "succeeded", **columns: Any) -> int:
    """A job that is over; kept for ever unless told otherwise."""
    over = {"state": state, "attempt": 1, "finished_at": "now", "keep_until": "infinity"}
    return _placed(c, "finished_jobs", {**over, **columns})


def stray(c: Connection, **columns: Any) -> int:
    """A job that came in without the trigger, as by logical replication."""
    with c.transaction():
        c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER jobs_file")
        found = job(c, **columns)
        c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file")
    return found


def state(c: Connection, job_id: int) -> str | None:
    """Where a job stands; None when there is no such job."""
    row = c.execute("SELECT state FROM pgqueue.job_overview WHERE id = %s", (job_id,)).fetchone()
    return row[0] if row else None


def position(c: Connection, job_id: int) -> dict[str, Any]:
    """The columns of the one position row of a job, and the table it is in as "table"."""
    found = []
    for table in _POSITIONS:
        query = sql.SQL("SELECT to_jsonb(p) FROM pgqueue.{} AS p WHERE job_id = %s")
        for (row,) in c.execute(query.format(sql.Identifier(table)), (job_id,)):
            found.append({"table": table, **row})
    assert len(found) == 1, f"job {job_id} is in {[row['table'] for row in found]}"
    return found[0]


def _placed(c: Connection, table: str, columns: dict[str, Any]) -> int:
    """Insert a job, take the row the trigger made away, and put one into this table."""
    names = _POSITIONS[table]
    shared = ("queue", "priority")
    of_job = {k: v for k, v in columns.items() if k not in names or k in shared}
    with c.transaction():
        found = job(c, **{k: v for k, v in of_job.items() if k != "run_at"})
        c.execute("DELETE FROM pgqueue.ready_jobs WHERE job_id = %s", (found,))
        own = {k: v for k, v in columns.items() if k in names}
        if "queue" in names:
            own = {
                "queue": "default",
                "priority": 0,
                "attempt": 0,
                "lost": 0,
                "crashes": 0,
                "flags": _flags(columns),
                **own,
            }
        if table == "ready_jobs":
            own = {"seq": found, **own}
        _insert(c, table, {"job_id": found, **own}, "job_id")
    return found


def _flags(columns: dict[str, Any]) -> int:
    own = any(columns.get(name) is not None for name in ("timeout", "max_attempts", "meta"))
    return (columns.get("expires_at") is not None) + 2 * own


def _insert(c: Connection, table: str, values: dict[str, Any], returned: str) -> int:
    query = sql.SQL("INSERT INTO pgqueue.{} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
        sql.Identifier(returned),
    )
    row = c.execute(query, list(values.values())).fetchone()
    assert row is not None
    return int(row[0])
