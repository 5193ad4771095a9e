"""Statements by which a program runs jobs in its own process, in an order of its own."""

import datetime as dt
import json
from collections.abc import Collection, Sequence
from typing import Final, Literal, LiteralString

from pgqueue.db.statements.base import Statement, as_int, first_bool, first_int, nothing

#: What comes first: the higher priority; the earlier time; or the higher priority and, within it,
#: jobs that were given a time before those that were not.
Order = Literal["priority", "run_at", "async"]

_ORDERS: Final[dict[Order, LiteralString]] = {
    "priority": "d.priority DESC, d.seq",
    "run_at": "coalesce(d.run_at, d.created_at), d.id",
    "async": "d.priority DESC, d.run_at IS NULL, d.run_at, d.id",
}

_DUE: Final = """
SELECT d.id
FROM (
    SELECT r.job_id AS id, r.priority, r.seq, j.run_at, j.created_at, j.task
    FROM pgqueue.ready_jobs AS r
    JOIN pgqueue.jobs AS j ON j.id = r.job_id
    WHERE r.queue IN (
            SELECT jsonb_array_elements_text(CAST(CAST(%(queues)s AS text) AS jsonb)))
        AND (%(at)s IS NULL OR j.run_at IS NULL
            OR j.run_at <= CAST(CAST(%(at)s AS text) AS timestamptz))
    UNION ALL
    SELECT s.job_id, s.priority, s.job_id, s.run_at, j.created_at, j.task
    FROM pgqueue.scheduled_jobs AS s
    JOIN pgqueue.jobs AS j ON j.id = s.job_id
    WHERE s.queue IN (
            SELECT jsonb_array_elements_text(CAST(CAST(%(queues)s AS text) AS jsonb)))
        AND s.run_at <= coalesce(
            CAST(CAST(%(at)s AS text) AS timestamptz), clock_timestamp())
) AS d
WHERE starts_with(d.task, CAST(%(prefix)s AS text))
    AND mod(d.id, CAST(CAST(%(outof)s AS text) AS bigint))
        = CAST(CAST(%(which)s AS text) AS bigint)
    AND NOT CAST(CAST(%(without)s AS text) AS jsonb) @> to_jsonb(d.id)
ORDER BY """

_LIMIT: Final = """
LIMIT CAST(CAST(%(most)s AS text) AS integer)
"""


def register(
    name: str, queues: Sequence[str], hostname: str, pid: int, version: str, lease: float
) -> Statement[int]:
    """Make this process known as a worker; gives its id."""
    return Statement(
        text="""
SELECT pgqueue.register_worker(
    name => CAST(%(name)s AS text),
    queues => ARRAY(
        SELECT jsonb_array_elements_text(CAST(CAST(%(queues)s AS text) AS jsonb))),
    hostname => CAST(%(hostname)s AS text),
    pid => CAST(CAST(%(pid)s AS text) AS integer),
    version => CAST(%(version)s AS text),
    lease => make_interval(secs => CAST(CAST(%(lease)s AS text) AS double precision))
)
""",
        params={
            "name": name,
            "queues": json.dumps(list(queues)),
            "hostname": hostname,
            "pid": str(pid),
            "version": version,
            "lease": repr(lease),
        },
        decode=first_int,
    )


def hold(worker_id: int) -> Statement[bool]:
    """Tie the worker's life to this session."""
    return Statement(
        text="SELECT pgqueue.hold_liveness(CAST(CAST(%(id)s AS text) AS bigint))",
        params={"id": str(worker_id)},
        decode=first_bool,
    )


def keep_alive(worker_id: int) -> Statement[bool]:
    """Give a sign of life; gives whether the worker is still known."""
    return Statement(
        text="SELECT pgqueue.keep_alive(CAST(CAST(%(id)s AS text) AS bigint))",
        params={"id": str(worker_id)},
        decode=first_bool,
    )


def rescue() -> Statement[None]:
    """Give the jobs of lost workers back."""
    return Statement(text="SELECT pgqueue.rescue()", params={}, decode=nothing)


def due(
    queues: Sequence[str],
    *,
    prefix: str,
    which: int,
    outof: int,
    order: Order,
    at: dt.datetime | None,
    without: Collection[int],
    most: int,
) -> Statement[list[int]]:
    """Find the next jobs that are due; gives their ids.

    Args:
        queues: by name.
        prefix: of the task.
        which: the remainder of the id divided by `outof`.
        order: what comes first.
        at: the time it is; None for the server's clock.
        without: jobs to leave out.
        most: how many.
    """
    return Statement(
        text=_DUE + _ORDERS[order] + _LIMIT,
        params={
            "queues": json.dumps(list(queues)),
            "prefix": prefix,
            "which": str(which),
            "outof": str(outof),
            "at": None if at is None else at.isoformat(),
            "without": json.dumps(list(without)),
            "most": str(most),
        },
        decode=lambda rows: [as_int(row[0]) for row in rows],
    )


def take(
    worker_id: int, batch_no: int, job_id: int, *, early: bool, at: dt.datetime | None
) -> Statement[str]:
    """Take one certain job; gives its line, empty where it cannot be had."""
    return Statement(
        text="""
SELECT pgqueue.take_job(
    worker_id => CAST(CAST(%(worker_id)s AS text) AS bigint),
    batch_no => CAST(CAST(%(batch_no)s AS text) AS bigint),
    job_id => CAST(CAST(%(job_id)s AS text) AS bigint),
    early => CAST(CAST(%(early)s AS text) AS boolean),
    at => coalesce(CAST(CAST(%(at)s AS text) AS timestamptz), clock_timestamp())
)
""",
        params={
            "worker_id": str(worker_id),
            "batch_no": str(batch_no),
            "job_id": str(job_id),
            "early": "true" if early else "false",
            "at": None if at is None else at.isoformat(),
        },
        decode=lambda rows: str(rows[0][0] or ""),
    )
