"""Statements for people who look through many jobs: a page, rough counts, the names in use.

Each reads a bounded number of rows, however many jobs are kept.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Final

from pgqueue.db.statements.base import Param, Rows, Statement, as_dict, as_int, as_time, from_json

#: Counts end here: "more than 1,000" is what people need to know.
MOST: Final = 1000

_FIND: Final = """
SELECT CAST(to_json(f.job_ids) AS text), f.next, EXTRACT(EPOCH FROM f.reached)
FROM pgqueue.find_jobs(
    state => CAST(%(state)s AS text),
    queue => CAST(%(queue)s AS text),
    task => CAST(%(task)s AS text),
    task_part => CAST(%(task_part)s AS text),
    args => CAST(CAST(%(args)s AS text) AS jsonb),
    kwargs => CAST(CAST(%(kwargs)s AS text) AS jsonb),
    worker_id => CAST(CAST(%(worker_id)s AS text) AS bigint),
    since => CAST(CAST(%(since)s AS text) AS timestamptz),
    until => CAST(CAST(%(until)s AS text) AS timestamptz),
    after => CAST(%(after)s AS text),
    max_jobs => CAST(CAST(%(max_jobs)s AS text) AS integer),
    max_looks => CAST(CAST(%(max_looks)s AS text) AS integer),
    group_id => CAST(CAST(%(group_id)s AS text) AS bigint)
) AS f
"""

# The order makes the planner use the partial index, whatever it believes of the table.
_COUNTS: Final = """
SELECT CAST(json_build_object(
    'blocked', (SELECT count(*) FROM (SELECT FROM pgqueue.blocked_jobs LIMIT 1001) AS b),
    'scheduled', (SELECT count(*) FROM (SELECT FROM pgqueue.scheduled_jobs LIMIT 1001) AS s),
    'ready', (SELECT count(*) FROM (SELECT FROM pgqueue.ready_jobs LIMIT 1001) AS r),
    'running', (SELECT count(*) FROM (SELECT FROM pgqueue.running_jobs LIMIT 1001) AS u),
    'failed', (SELECT count(*) FROM (
        SELECT FROM pgqueue.finished_jobs AS f WHERE f.state = 'failed'
        ORDER BY f.finished_at DESC LIMIT 1001) AS f),
    'cancelled', (SELECT count(*) FROM (
        SELECT FROM pgqueue.finished_jobs AS f WHERE f.state = 'cancelled'
        ORDER BY f.finished_at DESC LIMIT 1001) AS c),
    'expired', (SELECT count(*) FROM (
        SELECT FROM pgqueue.finished_jobs AS f WHERE f.state = 'expired'
        ORDER BY f.finished_at DESC LIMIT 1001) AS e),
    'all', (
        SELECT greatest(c.reltuples, 0) FROM pg_catalog.pg_class AS c
        WHERE c.oid = CAST('pgqueue.jobs' AS pg_catalog.regclass))
) AS text)
"""

_NAMES: Final = """
WITH newest AS MATERIALIZED (
    SELECT j.task, j.queue FROM pgqueue.jobs AS j ORDER BY j.id DESC LIMIT 5000
)
SELECT CAST(json_build_object(
    'tasks', (SELECT json_agg(DISTINCT n.task) FROM newest AS n WHERE n.task IS NOT NULL),
    'queues', (
        SELECT json_agg(DISTINCT a.queue) FROM (
            SELECT n.queue FROM newest AS n WHERE n.queue IS NOT NULL
            UNION ALL
            SELECT q.name FROM pgqueue.queues AS q
        ) AS a),
    'groups', (
        SELECT json_agg(json_build_array(CAST(g.id AS text), coalesce(g.name, '')))
        FROM (
            SELECT n.id, n.name FROM pgqueue.groups AS n ORDER BY n.id DESC LIMIT 200
        ) AS g)
) AS text)
"""

# Of the jobs that failed last, and of those that wait for another attempt, the last error.
_FAILURES: Final = """
WITH failed AS MATERIALIZED (
    SELECT f.job_id, f.finished_at, f.error
    FROM pgqueue.finished_jobs AS f
    WHERE f.state = 'failed'
        AND f.finished_at >= coalesce(CAST(CAST(%(since)s AS text) AS timestamptz), '-infinity')
    ORDER BY f.finished_at DESC
    LIMIT 1000
),
retrying AS MATERIALIZED (
    SELECT s.job_id
    FROM (
        SELECT n.job_id, n.reason FROM pgqueue.scheduled_jobs AS n ORDER BY n.run_at LIMIT 5000
    ) AS s
    WHERE s.reason IN ('retry', 'crashed')
    LIMIT 1000
),
involved AS (
    SELECT f.job_id, f.finished_at, f.error, true AS failed FROM failed AS f
    UNION ALL
    SELECT r.job_id, NULL, NULL, false FROM retrying AS r
),
known AS (
    SELECT
        i.job_id, i.failed, j.task,
        coalesce(e.kind, split_part(i.error, chr(58), 1)) AS kind,
        coalesce(e.message, i.error) AS message,
        coalesce(i.finished_at, e.at) AS at
    FROM involved AS i
    CROSS JOIN LATERAL (
        SELECT j.task FROM pgqueue.jobs AS j WHERE j.id = i.job_id OFFSET 0
    ) AS j
    LEFT JOIN LATERAL (
        SELECT x.kind, x.message, x.at
        FROM pgqueue.job_errors AS x
        WHERE x.job_id = i.job_id
        ORDER BY x.at DESC
        LIMIT 1
    ) AS e ON true
),
grouped AS (
    SELECT
        k.task, k.kind,
        count(*) FILTER (WHERE k.failed) AS failed,
        count(*) FILTER (WHERE NOT k.failed) AS retrying,
        max(k.at) AS last_at,
        (array_agg(k.job_id ORDER BY k.at DESC NULLS LAST))[1] AS last_job,
        (array_agg(left(k.message, 500) ORDER BY k.at DESC NULLS LAST))[1] AS message
    FROM known AS k
    WHERE k.at >= coalesce(CAST(CAST(%(since)s AS text) AS timestamptz), '-infinity')
    GROUP BY k.task, k.kind
)
SELECT CAST(coalesce(json_agg(g ORDER BY g.failed + g.retrying DESC, g.last_at DESC), '[]') AS text)
FROM (SELECT * FROM grouped ORDER BY failed + retrying DESC, last_at DESC LIMIT 200) AS g
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Hold what jobs are looked for; None stands for any.

    Attributes:
        task_part: a part of the task's name.
        args: JSON text that the positional arguments contain.
        kwargs: JSON text that the keyword arguments contain.
        since: of what, depends on the state; see `pgqueue.find_jobs`.
        group_id: the group they are members of.
    """

    state: str | None = None
    queue: str | None = None
    task: str | None = None
    task_part: str | None = None
    args: str | None = None
    kwargs: str | None = None
    worker_id: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold one page of what was found.

    Attributes:
        ids: of the jobs, in order.
        next: where the next page begins; None at the end.
        reached: how far in time this page went; None at the end.
    """

    ids: tuple[int, ...] = ()
    next: str | None = None
    reached: dt.datetime | None = None


def find(
    search: Search, *, after: str | None = None, limit: int = 100, looks: int = 50_000
) -> Statement[Found]:
    """Find one page of jobs.

    Args:
        search: what to look for.
        after: `next` of the page before.
        limit: at most so many.
        looks: how many are looked at.
    """
    params: dict[str, Param] = {
        "state": search.state,
        "queue": search.queue,
        "task": search.task,
        "task_part": search.task_part,
        "args": search.args,
        "kwargs": search.kwargs,
        "worker_id": None if search.worker_id is None else str(search.worker_id),
        "since": None if search.since is None else search.since.isoformat(),
        "until": None if search.until is None else search.until.isoformat(),
        "after": after,
        "max_jobs": str(limit),
        "max_looks": str(looks),
        "group_id": None if search.group_id is None else str(search.group_id),
    }
    return Statement(text=_FIND, params=params, decode=_found)


def counts() -> Statement[dict[str, int]]:
    """Count the jobs of each state but `succeeded`, up to one more than `MOST`.

    `all` is the planner's estimate of how many jobs there are.
    """
    return Statement(text=_COUNTS, params={}, decode=_counts)


def failures(since: dt.datetime | None) -> Statement[list[dict[str, object]]]:
    """Group the last 1,000 failed jobs, and as many that wait for another attempt, by their errors.

    Args:
        since: only those that failed since then; None for any.

    Returns:
        For each task and kind of error, the most frequent first: `task`, `kind`, `failed`,
        `retrying`, `last_at` in ISO 8601, `last_job`, and its `message`.
    """
    return Statement(
        text=_FAILURES,
        params={"since": None if since is None else since.isoformat()},
        decode=_failures,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Hold the names that are in use.

    Attributes:
        tasks: of the newest jobs.
        queues: of the newest jobs, and those that have settings.
        groups: the newest ones, ids as text and names, the newest first.
    """

    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()


def names() -> Statement[Names]:
    """List the names that are in use."""
    return Statement(text=_NAMES, params={}, decode=_names)


def _found(rows: Rows) -> Found:
    ids, follows, reached = rows[0]
    found = from_json(ids)
    return Found(
        ids=tuple(as_int(one) for one in found) if isinstance(found, list) else (),
        next=None if follows is None else str(follows),
        reached=as_time(reached),
    )


def _counts(rows: Rows) -> dict[str, int]:
    return {name: int(float(str(number))) for name, number in as_dict(rows[0][0]).items()}


def _failures(rows: Rows) -> list[dict[str, object]]:
    found = json.loads(str(rows[0][0]))
    return [dict(one) for one in found]


def _names(rows: Rows) -> Names:
    found = json.loads(str(rows[0][0]))
    return Names(
        tasks=tuple(map(str, found["tasks"] or ())),
        queues=tuple(map(str, found["queues"] or ())),
        groups=tuple((str(number), str(name)) for number, name in found["groups"] or ()),
    )
