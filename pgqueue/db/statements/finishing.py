"""The statement that finishes a job in the transaction that holds its own writes."""

from typing import Final

from pgqueue.db.statements.base import Statement, first_str

#: A setting of the transaction that an atomic task runs in: it is gone when that has ended, so a
#: task that ends it, in whatever way, and begins another is found out.
MARK: Final = "pgqueue.atomic"


def mark_of(job_id: int, attempt: int) -> str:
    """Give the value of the mark for one attempt: digits, so that it can stand in a SET."""
    return f"{job_id}/{attempt}"


def finish_atomic(
    *, worker_id: int, batch_no: int, job_id: int, attempt: int, result: bytes, us: int
) -> Statement[str]:
    """Finish a job as succeeded: `pgqueue.finish_atomic`, in the marked transaction only.

    Args:
        result: JSON.
        us: microseconds that the task took.

    Returns:
        A statement that gives `stored`, `lost`, `again`, or `ended` where the transaction is
        another than the one that was marked.
    """
    return Statement(
        text="SELECT CASE WHEN current_setting('pgqueue.atomic', true) = CAST(%(mark)s AS text)"
        " THEN pgqueue.finish_atomic(CAST(CAST(%(worker_id)s AS text) AS bigint),"
        " CAST(CAST(%(batch_no)s AS text) AS bigint), CAST(CAST(%(job_id)s AS text) AS bigint),"
        " CAST(CAST(%(attempt)s AS text) AS integer), CAST(CAST(%(result)s AS text) AS jsonb),"
        " CAST(CAST(%(us)s AS text) AS bigint)) ELSE 'ended' END",
        params={
            "mark": mark_of(job_id, attempt),
            "worker_id": str(worker_id),
            "batch_no": str(batch_no),
            "job_id": str(job_id),
            "attempt": str(attempt),
            "result": result.decode(),
            "us": str(us),
        },
        decode=first_str,
    )
