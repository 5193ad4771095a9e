"""Statements that look at the whole, and the one that makes room: workers, health, check, prune."""

from dataclasses import dataclass
from typing import Final

from pgqueue.core.job import WorkerInfo
from pgqueue.db.statements.base import (
    Rows,
    Statement,
    as_dict,
    as_int,
    as_moment,
    from_json,
)

_WORKERS: Final = """
SELECT
    w.id, w.name, w.hostname, w.pid, CAST(to_json(w.queues) AS text),
    EXTRACT(EPOCH FROM w.started_at), EXTRACT(EPOCH FROM w.heartbeat_at), w.has_lock, w.processes,
    w.threads, w.version, w.is_leader, w.lost, w.running,
    CAST(to_json(w.children) AS text), w.replaced
FROM pgqueue.worker_overview AS w
ORDER BY w.id
"""

_PRUNE: Final = """
SELECT p.deleted, CAST(p.reached AS text)
FROM pgqueue.prune(
    max_jobs => CAST(CAST(%(max_jobs)s AS text) AS integer),
    older_than => make_interval(secs => CAST(CAST(%(older_than)s AS text) AS double precision)),
    floor => CAST(CAST(%(floor)s AS text) AS timestamptz)
) AS p
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Hold one thing that must not be: a row of `pgqueue.check_invariants()`.

    Attributes:
        problem: what is wrong.
        job_id: the job it is about.
        detail: more, where there is more to say; else empty.
    """

    problem: str
    job_id: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Hold what one batch of pruning did.

    Attributes:
        deleted: how many jobs.
        reached: where the next batch begins, to be handed back as it is; None for the beginning.
    """

    deleted: int
    reached: str | None


def workers() -> Statement[list[WorkerInfo]]:
    """Read the workers that are alive, or were until just now."""
    return Statement(text=_WORKERS, params={}, decode=_workers)


def health() -> Statement[dict[str, object]]:
    """Read whether all is well, and the counts behind it."""
    return Statement(
        text="SELECT CAST(pgqueue.health() AS text)",
        params={},
        decode=lambda rows: as_dict(rows[0][0]),
    )


def check_invariants() -> Statement[list[Problem]]:
    """List whatever must not be; nothing when all is well."""
    return Statement(
        text="SELECT c.problem, c.job_id, c.detail FROM pgqueue.check_invariants() AS c",
        params={},
        decode=_problems,
    )


def prune(max_jobs: int, older_than: float | None, floor: str | None) -> Statement[Pruned]:
    """Delete one batch of finished jobs that need not be kept.

    Args:
        max_jobs: at most so many.
        older_than: those that ended so many seconds ago, whatever their retention; None goes by
            retention.
        floor: ``reached`` of the batch before.
    """
    return Statement(
        text=_PRUNE,
        params={
            "max_jobs": str(max_jobs),
            "older_than": None if older_than is None else repr(older_than),
            "floor": floor,
        },
        decode=_pruned,
    )


def _workers(rows: Rows) -> list[WorkerInfo]:
    return [
        WorkerInfo(
            id=as_int(row[0]),
            name=str(row[1]),
            hostname=str(row[2]),
            pid=as_int(row[3]),
            queues=tuple(_names(row[4])),
            started_at=as_moment(row[5]),
            heartbeat_at=as_moment(row[6]),
            has_lock=bool(row[7]),
            processes=as_int(row[8]),
            threads=as_int(row[9]),
            version=str(row[10]),
            is_leader=bool(row[11]),
            is_lost=bool(row[12]),
            running=as_int(row[13]),
            children=tuple(map(int, _names(row[14]))),
            replaced=as_int(row[15]),
        )
        for row in rows
    ]


def _names(value: object) -> list[str]:
    found = from_json(value)
    return [str(name) for name in found] if isinstance(found, list) else []


def _problems(rows: Rows) -> list[Problem]:
    return [
        Problem(
            problem=str(row[0]),
            job_id=None if row[1] is None else as_int(row[1]),
            detail=str(row[2] or ""),
        )
        for row in rows
    ]


def _pruned(rows: Rows) -> Pruned:
    reached = rows[0][1]
    return Pruned(deleted=as_int(rows[0][0]), reached=None if reached is None else str(reached))
