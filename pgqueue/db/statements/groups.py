"""Statements about groups and flows: make them, look at them, move them by hand."""

from collections.abc import Callable, Sequence
from typing import Final, LiteralString, TypeVar

from pgqueue.core.errors import JobNotFoundError
from pgqueue.core.group import Progress
from pgqueue.core.states import JobState
from pgqueue.db.statements.base import (
    Row,
    Rows,
    Statement,
    as_int,
    as_moment,
    as_time,
    first_int,
    first_str,
    from_json,
)
from pgqueue.db.statements.results import End

T = TypeVar("T")

_ID: Final = "CAST(CAST(%(id)s AS text) AS bigint)"

_CREATE: Final = (
    "pgqueue.create_group(name => CAST(%(name)s AS text),"
    " callbacks => CAST(CAST(%(callbacks)s AS text) AS jsonb),"
    " meta => CAST(CAST(%(meta)s AS text) AS jsonb),"
    " parent_id => CAST(CAST(%(parent)s AS text) AS bigint))"
)
# Together: a worker that saw the job before would start it.
_LAST: Final = (
    "SELECT e.job_id, CAST(pgqueue.set_last_job(CAST(CAST(%(id)s AS text) AS bigint), e.job_id)"
    " AS text) FROM pgqueue.enqueue_each(CAST(CAST(%(jobs)s AS text) AS jsonb)) AS e"
)
_PROGRESS: Final = (
    "SELECT o.id, o.name, o.state, o.total, o.waiting, o.running, o.succeeded, o.failed,"
    " o.cancelled, o.skipped, o.remaining_seconds, EXTRACT(EPOCH FROM o.created_at),"
    " EXTRACT(EPOCH FROM o.ended_at) FROM pgqueue.group_overview AS o"
)


def create_group(
    name: str | None, callbacks: str | None, meta: str | None, parent: int | None
) -> Statement[int]:
    """Make a group; gives its id.

    Args:
        callbacks: JSON, as `pgqueue.jobs.callbacks`.
        meta: JSON.
    """
    params = {"name": name, "callbacks": callbacks, "meta": meta}
    return Statement(
        text="SELECT " + _CREATE,
        params={**params, "parent": None if parent is None else str(parent)},
        decode=first_int,
    )


def empty_group(
    name: str | None, callbacks: str | None, meta: str | None
) -> Statement[tuple[int, list[int]]]:
    """Make a group without jobs, which ends with that; gives what `enqueue_flow` gives."""
    return Statement(
        text="SELECT g.id, pgqueue.close_group(g.id) FROM " + _CREATE + " AS g (id)",  # noqa: S608
        params={"name": name, "callbacks": callbacks, "meta": meta, "parent": None},
        decode=lambda rows: (first_int(rows), []),
    )


def close_group(group_id: int) -> Statement[str]:
    """Let a group end when all its jobs have; gives its state."""
    return _call("SELECT pgqueue.close_group(" + _ID + ")", group_id, first_str)


def add_last(group_id: int, item: str) -> Statement[int]:
    """Enqueue the job of a group that waits for all others; gives its id.

    Args:
        item: a JSON object, from `adding.object_of`.
    """
    return Statement(
        text=_LAST,
        params={"id": str(group_id), "jobs": f"[{item}]"},
        decode=first_int,
    )


def cancel_group(group_id: int, reason: str | None) -> Statement[int]:
    """Cancel the jobs of a group that are not over; gives how many."""
    return Statement(
        text="SELECT pgqueue.cancel_group(" + _ID + ", reason => CAST(%(reason)s AS text))",
        params={"id": str(group_id), "reason": reason},
        decode=first_int,
    )


def retry_group(group_id: int) -> Statement[int]:
    """Run the jobs of a group again that did not succeed; gives how many."""
    return _call("SELECT pgqueue.retry_group(" + _ID + ")", group_id, first_int)


def delete_group(group_id: int) -> Statement[int]:
    """Delete a group with its jobs; gives how many."""
    return _call("SELECT pgqueue.delete_group(" + _ID + ")", group_id, first_int)


def progress(group_id: int) -> Statement[Progress]:
    """Read how far a group is.

    Raises:
        JobNotFoundError: when decoded, if there is no such group.
    """

    def decode(rows: Rows) -> Progress:
        if not rows:
            raise JobNotFoundError(
                f"there is no group {group_id}; the transaction that made it has not committed, or "
                "it was deleted"
            )
        return _progress(rows[0])

    return _call(
        _PROGRESS + " WHERE o.id = CAST(CAST(%(id)s AS text) AS bigint)",
        group_id,
        decode,
    )


def list_groups(limit: int) -> Statement[list[Progress]]:
    """Read how far groups are, the newest first."""
    return Statement(
        text=_PROGRESS + " ORDER BY o.id DESC LIMIT CAST(CAST(%(limit)s AS text) AS bigint)",
        params={"limit": str(limit)},
        decode=lambda rows: [_progress(row) for row in rows],
    )


def group_ends(group_id: int) -> Statement[list[End]]:
    """Read what became of the jobs of a group, in the order in which they were enqueued."""
    return _call(
        "SELECT g.job_id, g.task, g.state, CAST(g.result AS text), g.error,"
        " e.kind, e.message, e.traceback, e.attempt"
        " FROM pgqueue.group_results(CAST(CAST(%(id)s AS text) AS bigint)) AS g"
        " LEFT JOIN LATERAL (SELECT e.* FROM pgqueue.job_errors AS e"
        " WHERE e.job_id = g.job_id AND g.state <> 'succeeded'"
        " ORDER BY e.at DESC, e.attempt DESC LIMIT 1) AS e ON true"
        " ORDER BY g.job_id",
        group_id,
        _ends,
    )


def enqueue_flow(
    items: Sequence[str],
    *,
    name: str | None = None,
    callbacks: str | None = None,
    meta: str | None = None,
    group: int | None = None,
    before: Sequence[int] = (),
    inside: int | None = None,
) -> Statement[tuple[int, list[int]]]:
    """Enqueue jobs that run after each other; gives the group and the ids in order.

    Args:
        items: JSON objects, from `adding.flow_item`.
        callbacks: JSON, of the group that is made.
        meta: JSON, likewise.
        group: the group they join instead.
        before: jobs that wait for these too.
        inside: a running job, whose group they join and behind which others wait for them.
    """
    return Statement(
        text="SELECT f.flow_id, CAST(f.job_ids AS text) FROM pgqueue.enqueue_flow("
        "CAST(CAST(%(jobs)s AS text) AS jsonb), name => CAST(%(name)s AS text),"
        " callbacks => CAST(CAST(%(callbacks)s AS text) AS jsonb),"
        " meta => CAST(CAST(%(meta)s AS text) AS jsonb),"
        " group_id => CAST(CAST(%(group)s AS text) AS bigint),"
        " before => CAST(CAST(%(before)s AS text) AS bigint[]),"
        " inside => CAST(CAST(%(inside)s AS text) AS bigint)) AS f",
        params={
            "jobs": "[" + ",".join(items) + "]",
            "name": name,
            "callbacks": callbacks,
            "meta": meta,
            "group": None if group is None else str(group),
            "before": "{" + ",".join(map(str, before)) + "}" if before else None,
            "inside": None if inside is None else str(inside),
        },
        decode=_flow,
    )


def _call(text: LiteralString, group_id: int, decode: Callable[[Rows], T]) -> Statement[T]:
    return Statement(text=text, params={"id": str(group_id)}, decode=decode)


def _flow(rows: Rows) -> tuple[int, list[int]]:
    ids = str(rows[0][1]).strip("{}")
    return as_int(rows[0][0]), [int(one) for one in ids.split(",")]


def _progress(row: Row) -> Progress:
    return Progress(
        id=as_int(row[0]),
        name=None if row[1] is None else str(row[1]),
        state=str(row[2]),
        total=as_int(row[3]),
        waiting=as_int(row[4]),
        running=as_int(row[5]),
        succeeded=as_int(row[6]),
        failed=as_int(row[7]),
        cancelled=as_int(row[8]),
        skipped=as_int(row[9]),
        remaining=None if row[10] is None else float(str(row[10])),
        created_at=as_moment(row[11]),
        ended_at=as_time(row[12]),
    )


def _ends(rows: Rows) -> list[End]:
    return [
        End(
            job_id=as_int(row[0]),
            exists=True,
            task=str(row[1]),
            state=None if row[2] is None else JobState(str(row[2])),
            result=from_json(row[3]),
            error=str(row[4] or ""),
            kind=str(row[5] or ""),
            message=str(row[6] or ""),
            traceback=str(row[7] or ""),
            attempt=as_int(row[8] or 0),
        )
        for row in rows
    ]
