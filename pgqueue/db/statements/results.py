"""Statements of those who wait for the end of jobs: say so, and look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgqueue.core.states import JobState
from pgqueue.db.statements.base import Row, Rows, Statement, as_int, from_json, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What is known of the end of one job.

    Attributes:
        exists: whether the job can be seen at all.
        state: how it ended; None while it has not.
        result: what its task returned, decoded.
        error: one line that says why it did not succeed.
        kind: class of the exception of its last failed attempt; empty without one.
        message: of that exception.
        traceback: of that exception.
    """

    job_id: int
    exists: bool
    state: JobState | None = None
    task: str = ""
    attempt: int = 0
    result: object = None
    error: str = ""
    kind: str = ""
    message: str = ""
    traceback: str = ""


def wait_for(ids: Iterable[int], seconds: float) -> Statement[None]:
    """Have the end of jobs told on the channel `pgqueue_finished`, for so long.

    Args:
        ids: of jobs; the negative of a group's.
        seconds: at most 3600.
    """
    return Statement(
        text="SELECT pgqueue.wait_for(CAST(CAST(%(ids)s AS text) AS bigint[]),"
        " CAST(CAST(%(seconds)s AS text) AS double precision))",
        params={"ids": _array(ids), "seconds": repr(seconds)},
        decode=nothing,
    )


def ends(ids: Sequence[int]) -> Statement[list[End]]:
    """Read whether jobs are over and how they ended, in the order given."""
    return Statement(
        text="SELECT i.id, j.id IS NOT NULL, f.state, j.task, coalesce(f.attempt, 0),"
        " CAST(f.result AS text), f.error, e.kind, e.message, e.traceback"
        " FROM unnest(CAST(CAST(%(ids)s AS text) AS bigint[])) WITH ORDINALITY AS i (id, n)"
        " LEFT JOIN pgqueue.jobs AS j ON j.id = i.id"
        " LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id"
        " LEFT JOIN LATERAL (SELECT e.kind, e.message, e.traceback FROM pgqueue.job_errors AS e"
        " WHERE e.job_id = f.job_id AND f.state <> 'succeeded'"
        " ORDER BY e.at DESC, e.attempt DESC LIMIT 1) AS e ON true"
        " ORDER BY i.n",
        params={"ids": _array(ids)},
        decode=_ends,
    )


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


def _ends(rows: Rows) -> list[End]:
    return [_end(row) for row in rows]


def _end(row: Row) -> End:
    return End(
        job_id=as_int(row[0]),
        exists=bool(row[1]),
        state=None if row[2] is None else JobState(str(row[2])),
        task=str(row[3] or ""),
        attempt=as_int(row[4]),
        result=from_json(row[5]),
        error=str(row[6] or ""),
        kind=str(row[7] or ""),
        message=str(row[8] or ""),
        traceback=str(row[9] or ""),
    )
