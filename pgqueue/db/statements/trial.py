"""Statements by which a test takes, ends and promotes jobs over the connection it has."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from pgqueue.core.job import Job
from pgqueue.db.statements.base import Rows, Statement, as_int, first_int, nothing
from pgqueue.db.statements.jobs import SELECT_JOB, jobs_of

_WORK: Final = """
SELECT w.payload
FROM pgqueue.work(
    worker_id => CAST(CAST(%(worker_id)s AS text) AS bigint),
    batch_no => CAST(CAST(%(batch_no)s AS text) AS bigint),
    queues => ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(%(queues)s AS text) AS jsonb))),
    max_jobs => CAST(CAST(%(max_jobs)s AS text) AS integer),
    outcomes => CAST(%(outcomes)s AS text)
) AS w
"""


_BY_IDS: Final = """
WHERE o.id IN (
    SELECT CAST(x AS bigint) FROM jsonb_array_elements_text(CAST(CAST(%(ids)s AS text) AS jsonb))
        AS x)
ORDER BY o.id
"""


def begin(name: str) -> Statement[int]:
    """Register a worker; gives its id."""
    return Statement(
        text="SELECT pgqueue.register_worker(name => CAST(%(name)s AS text))",
        params={"name": name},
        decode=first_int,
    )


def end(worker_id: int) -> Statement[None]:
    """Take a worker back; jobs that it holds are ready again."""
    return Statement(
        text="SELECT pgqueue.forget_worker(CAST(CAST(%(id)s AS text) AS bigint))",
        params={"id": str(worker_id)},
        decode=nothing,
    )


def take(worker_id: int, batch_no: int, queues: Sequence[str], max_jobs: int = 1) -> Statement[str]:
    """Take the next jobs; gives their payload, empty where there is none."""
    return _work(worker_id, batch_no, queues, max_jobs, None)


def store(worker_id: int, batch_no: int, answers: Sequence[bytes]) -> Statement[str]:
    """Store what became of jobs.

    Args:
        batch_no: a number that was not used yet.
        answers: of `answer` and `notes`.
    """
    return _work(worker_id, batch_no, ["*"], 0, f"[{b','.join(answers).decode()}]")


def answer(taken: int, outcomes: Sequence[bytes]) -> bytes:
    """Write the outcomes of jobs that were taken together.

    Args:
        taken: the number with which they were.
        outcomes: of `worker.execution.record`.
    """
    return b'{"batch":%d,"ok":"{}","us":"{}","rest":[%s]}' % (taken, b",".join(outcomes))


def notes(taken: int, said: Sequence[Mapping[str, object]]) -> bytes:
    """Write what jobs have said of themselves, as `pgqueue.store_notes` reads it."""
    return json.dumps({"batch": taken, "notes": said}).encode()


def promote(seconds: float) -> Statement[int]:
    """Make ready what is due within so many seconds; gives how many."""
    return Statement(
        text="SELECT p.moved FROM pgqueue.promote(max_jobs => 10000, at => clock_timestamp()"
        " + make_interval(secs => CAST(CAST(%(seconds)s AS text) AS double precision))) AS p",
        params={"seconds": repr(seconds)},
        decode=lambda rows: as_int(rows[0][0] or 0),
    )


def read(ids: Sequence[int]) -> Statement[list[Job]]:
    """Read jobs, in order of their ids."""
    return Statement(
        text=SELECT_JOB + _BY_IDS,
        params={"ids": json.dumps(list(ids))},
        decode=jobs_of,
    )


def _work(
    worker_id: int, batch_no: int, queues: Sequence[str], max_jobs: int, outcomes: str | None
) -> Statement[str]:
    return Statement(
        text=_WORK,
        params={
            "worker_id": str(worker_id),
            "batch_no": str(batch_no),
            "queues": json.dumps(list(queues)),
            "max_jobs": str(max_jobs),
            "outcomes": outcomes,
        },
        decode=_payload,
    )


def _payload(rows: Rows) -> str:
    return str(rows[0][0] or "")
