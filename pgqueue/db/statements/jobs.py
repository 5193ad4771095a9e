"""Statements about jobs that are there: look at them, move them by hand.

What adds jobs is in ``adding``; what a worker says is not here.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, LiteralString, NamedTuple

from pgqueue.core.errors import JobNotFoundError
from pgqueue.core.job import FailedAttempt, Job, LogLine
from pgqueue.core.options import EnqueueOptions
from pgqueue.core.states import JobState
from pgqueue.db.statements.adding import NEW, columns_of
from pgqueue.db.statements.base import (
    Row,
    Rows,
    Statement,
    as_dict,
    as_int,
    as_list,
    as_moment,
    as_time,
    first_bool,
    from_json,
)

_COLUMNS: Final = """
    o.id, o.task, CAST(o.args AS text), CAST(o.kwargs AS text), o.queue, o.priority, o.state,
    o.attempt, o.lost, o.crashes, o.max_attempts, EXTRACT(EPOCH FROM o.run_at),
    EXTRACT(EPOCH FROM o.expires_at), EXTRACT(EPOCH FROM o.timeout), CAST(o.meta AS text),
    EXTRACT(EPOCH FROM o.created_at), EXTRACT(EPOCH FROM o.started_at),
    EXTRACT(EPOCH FROM o.finished_at), o.worker_id, CAST(o.result AS text), o.error, o.reason,
    o.progress, o.progress_note, o.unique_key,
    o.concurrency_key, o.fair_key
"""

SELECT_JOB: Final = "SELECT" + _COLUMNS + "FROM pgqueue.job_overview AS o\n"

_FAILURES: Final = """, (
    SELECT CAST(json_agg(
        json_build_array(e.attempt, e.kind, e.message, e.traceback, EXTRACT(EPOCH FROM e.at))
        ORDER BY e.at, e.attempt) AS text)
    FROM pgqueue.job_errors AS e WHERE e.job_id = o.id
)
FROM pgqueue.job_overview AS o
WHERE o.id = CAST(CAST(%(id)s AS text) AS bigint)
"""

_HISTORY: Final = "SELECT" + _COLUMNS + _FAILURES

_FILTERS: Final[dict[str, LiteralString]] = {
    "state": "o.state = CAST(%(state)s AS text)",
    "queue": "o.queue = CAST(%(queue)s AS text)",
    "task": "o.task = CAST(%(task)s AS text)",
    "before": "o.id < CAST(CAST(%(before)s AS text) AS bigint)",
}


def get_job(job_id: int) -> Statement[Job | None]:
    """Read one job; None where there is none."""
    return Statement(
        text=SELECT_JOB + "WHERE o.id = CAST(CAST(%(id)s AS text) AS bigint)",
        params={"id": str(job_id)},
        decode=_one_job,
    )


def get_state(job_id: int) -> Statement[JobState]:
    """Read where one job stands.

    Raises:
        JobNotFoundError: when decoded, if there is no such job.
    """

    def decode(rows: Rows) -> JobState:
        if not rows:
            raise JobNotFoundError(
                f"there is no job {job_id}; it was never committed, or deleted since", job_id
            )
        return _position(rows[0][0])

    return Statement(
        text="SELECT o.state FROM pgqueue.job_overview AS o"
        " WHERE o.id = CAST(CAST(%(id)s AS text) AS bigint)",
        params={"id": str(job_id)},
        decode=decode,
    )


def list_jobs(
    *,
    state: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Statement[list[Job]]:
    """Read jobs, the newest first.

    Args:
        state: only those in this state.
        queue: only those of this queue.
        task: only those of this task.
        before: only those with a smaller id: the last id of the page before.
        limit: at most so many.
    """
    given = {"state": state, "queue": queue, "task": task}
    params: dict[str, str | None] = {name: word for name, word in given.items() if word is not None}
    if before is not None:
        params["before"] = str(before)
    where = _where(tuple(params))
    params["limit"] = str(limit)
    return Statement(text=where, params=params, decode=jobs_of)


def job_errors(job_id: int) -> Statement[list[FailedAttempt]]:
    """Read what went wrong with a job, the first attempt first."""
    return Statement(
        text="SELECT e.attempt, e.kind, e.message, e.traceback, EXTRACT(EPOCH FROM e.at)"
        " FROM pgqueue.job_errors AS e"
        " WHERE e.job_id = CAST(CAST(%(id)s AS text) AS bigint) ORDER BY e.at, e.attempt",
        params={"id": str(job_id)},
        decode=_errors,
    )


def job_logs(job_id: int) -> Statement[list[LogLine]]:
    """Read what a job has logged, the first line first."""
    return Statement(
        text="SELECT l.attempt, l.level, l.message, EXTRACT(EPOCH FROM l.at)"
        " FROM pgqueue.job_logs AS l"
        " WHERE l.job_id = CAST(CAST(%(id)s AS text) AS bigint) ORDER BY l.attempt, l.n",
        params={"id": str(job_id)},
        decode=_logs,
    )


def get_history(job_id: int) -> Statement[tuple[Job, list[FailedAttempt]] | None]:
    """Read one job and what went wrong with it, the first attempt first; None for no such job."""
    return Statement(
        text=_HISTORY,
        params={"id": str(job_id)},
        decode=_history,
    )


def cancel(job_id: int, reason: str | None) -> Statement[JobState]:
    """Cancel a job, or ask its worker to; gives its state after that."""
    return Statement(
        text="SELECT pgqueue.cancel(job_id => CAST(CAST(%(id)s AS text) AS bigint),"
        " reason => CAST(%(reason)s AS text))",
        params={"id": str(job_id), "reason": reason},
        decode=_state,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Say which jobs are meant; what is None matches all.

    Attributes:
        task: the task's name.
        args: a JSON array, compared as a value.
        kwargs: a JSON object, compared as a value.
        queue: the queue.
        unique_key: the unique key.
        concurrency_key: the concurrency key.
        older_than: enqueued at least so many seconds ago.
        group_id: members of this group, and of the groups in it.
    """

    task: str | None = None
    args: str | None = field(default=None, repr=False)
    kwargs: str | None = field(default=None, repr=False)
    queue: str | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    older_than: float | None = None
    group_id: int | None = None


class CancelCounts(NamedTuple):
    """Hold how many jobs a match has cancelled.

    Attributes:
        cancelled: those that waited.
        asked: those that run, whose workers were asked to stop them.
    """

    cancelled: int
    asked: int


def cancel_matching(match: Match, reason: str | None) -> Statement[CancelCounts]:
    """Cancel all jobs that match and are not over."""
    return Statement(
        text="SELECT c.cancelled, c.asked FROM pgqueue.cancel_matching("
        "task => CAST(%(task)s AS text), args => CAST(CAST(%(args)s AS text) AS jsonb),"
        " kwargs => CAST(CAST(%(kwargs)s AS text) AS jsonb), queue => CAST(%(queue)s AS text),"
        " unique_key => CAST(%(unique_key)s AS text),"
        " concurrency_key => CAST(%(concurrency_key)s AS text),"
        " older_than => make_interval(secs =>"
        " CAST(CAST(%(older_than)s AS text) AS double precision)),"
        " reason => CAST(%(reason)s AS text),"
        " group_id => CAST(CAST(%(group)s AS text) AS bigint)) AS c",
        params={
            "task": match.task,
            "args": match.args,
            "kwargs": match.kwargs,
            "queue": match.queue,
            "unique_key": match.unique_key,
            "concurrency_key": match.concurrency_key,
            "older_than": None if match.older_than is None else repr(match.older_than),
            "group": None if match.group_id is None else str(match.group_id),
            "reason": reason,
        },
        decode=lambda rows: CancelCounts(as_int(rows[0][0]), as_int(rows[0][1])),
    )


def retry(job_id: int, options: EnqueueOptions) -> Statement[JobState]:
    """Let a job run again, at ``options.run_at``; gives its state after that."""
    params = columns_of(options)
    when = NEW["run_in"][1] if "run_in" in params else NEW["run_at"][1]
    if "run_in" not in params:
        params.setdefault("run_at", None)
    params["id"] = str(job_id)
    return Statement(
        text="SELECT pgqueue.retry(job_id => CAST(CAST(%(id)s AS text) AS bigint), run_at => "
        + when
        + ")",
        params=params,
        decode=_state,
    )


def delete_job(job_id: int) -> Statement[bool]:
    """Delete a job that does not run; gives whether there was one."""
    return Statement(
        text="SELECT pgqueue.delete_job(job_id => CAST(CAST(%(id)s AS text) AS bigint))",
        params={"id": str(job_id)},
        decode=first_bool,
    )


def set_priority(job_id: int, priority: int) -> Statement[JobState]:
    """Change the priority of a job that waits; gives its state."""
    return Statement(
        text="SELECT pgqueue.set_priority(job_id => CAST(CAST(%(id)s AS text) AS bigint),"
        " priority => CAST(CAST(%(priority)s AS text) AS integer))",
        params={"id": str(job_id), "priority": str(priority)},
        decode=_state,
    )


def set_queue(job_id: int, queue: str) -> Statement[JobState]:
    """Let a job that does not run be run in another queue; gives its state."""
    return Statement(
        text="SELECT pgqueue.set_queue(job_id => CAST(CAST(%(id)s AS text) AS bigint),"
        " queue => CAST(%(queue)s AS text))",
        params={"id": str(job_id), "queue": queue},
        decode=_state,
    )


@lru_cache(maxsize=64)
def _where(names: tuple[str, ...]) -> LiteralString:
    conditions = " AND ".join([_FILTERS[name] for name in names])
    where = "WHERE " + conditions if names else ""
    return SELECT_JOB + where + " ORDER BY o.id DESC LIMIT CAST(CAST(%(limit)s AS text) AS bigint)"


def _state(rows: Rows) -> JobState:
    return _position(rows[0][0])


def _position(state: object) -> JobState:
    # A row that came in past the trigger, as by logical replication, has no position until the
    # leader files it: it waits, and not for time.
    return JobState.BLOCKED if state is None else JobState(str(state))


def _one_job(rows: Rows) -> Job | None:
    return _job(rows[0]) if rows else None


def _history(rows: Rows) -> tuple[Job, list[FailedAttempt]] | None:
    if not rows:
        return None
    told = json.loads(str(rows[0][-1] or "[]"), parse_float=str)
    return _job(rows[0]), _errors(told)


def jobs_of(rows: Rows) -> list[Job]:
    """Read the rows of `SELECT_JOB`."""
    return [_job(row) for row in rows]


def _job(row: Row) -> Job:
    return Job(
        id=as_int(row[0]),
        task=str(row[1]),
        args=tuple(as_list(row[2])),
        kwargs=as_dict(row[3]),
        queue=str(row[4]),
        priority=as_int(row[5]),
        state=_position(row[6]),
        attempt=as_int(row[7] or 0),
        lost=as_int(row[8] or 0),
        crashes=as_int(row[9] or 0),
        max_attempts=None if row[10] is None else as_int(row[10]),
        run_at=as_time(row[11]),
        expires_at=as_time(row[12]),
        timeout=None if row[13] is None else float(str(row[13])),
        meta=as_dict(row[14]),
        created_at=as_moment(row[15]),
        started_at=as_time(row[16]),
        finished_at=as_time(row[17]),
        worker_id=None if row[18] is None else as_int(row[18]),
        result=from_json(row[19]),
        error=None if row[20] is None else str(row[20]),
        reason=None if row[21] is None else str(row[21]),
        progress=None if row[22] is None else float(str(row[22])),
        progress_note=None if row[23] is None else str(row[23]),
        unique_key=None if row[24] is None else str(row[24]),
        concurrency_key=None if row[25] is None else str(row[25]),
        fair_key=None if row[26] is None else str(row[26]),
    )


def _errors(rows: Rows) -> list[FailedAttempt]:
    return [
        FailedAttempt(
            attempt=as_int(row[0]),
            kind=str(row[1]),
            message=str(row[2]),
            traceback=str(row[3] or ""),
            at=as_moment(row[4]),
        )
        for row in rows
    ]


def _logs(rows: Rows) -> list[LogLine]:
    return [
        LogLine(
            attempt=as_int(row[0]), level=str(row[1]), message=str(row[2]), at=as_moment(row[3])
        )
        for row in rows
    ]
