"""Look on from a connection of its own: how it goes, and at the end, whether all is right."""

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import psycopg

from pgqueue.demo.work import Ledger
from pgqueue.demo.workers import Worker

#: Seconds over which the rate is taken.
_WINDOW: Final = 2.0

_COUNTS: Final = """
SELECT
    (SELECT count(*) FROM demo.documents WHERE found_at IS NOT NULL),
    (SELECT count(*) FROM pgqueue.finished_jobs),
    coalesce((SELECT sum(ready)::bigint FROM pgqueue.queue_stats), 0)
"""
_HELD: Final = """
SELECT count(DISTINCT u.job_id), count(DISTINCT d.id)
FROM pgqueue.running_jobs AS u
LEFT JOIN demo.runs AS r ON r.job_id = u.job_id
LEFT JOIN demo.documents AS d ON d.id = r.document_id AND d.found_at IS NULL
WHERE u.worker_id = %s
"""
_HELD_BY_WORKER: Final = "SELECT worker_id, count(*) FROM pgqueue.running_jobs GROUP BY 1"
_DONE_BY_WORKER: Final = "SELECT worker_id, count(*) FROM pgqueue.finished_jobs GROUP BY 1"
_NEW_RUNS: Final = """
SELECT n, job_id, extract(epoch FROM began_at)::float8 FROM demo.runs WHERE n > %s ORDER BY n
"""
_LOST: Final = """
SELECT count(*)
FROM unnest(%s::bigint[], %s::bigint[]) AS c (job_id, document_id)
LEFT JOIN demo.documents AS d ON d.id = c.document_id
LEFT JOIN pgqueue.job_overview AS o ON o.id = c.job_id
WHERE d.found_at IS NULL OR o.state IS DISTINCT FROM 'succeeded'
"""
# A job that nobody committed, wherever it or a trace of it may be.
_PHANTOM: Final = """
SELECT count(*)
FROM (
    SELECT j.id FROM pgqueue.jobs AS j
    UNION
    SELECT r.job_id FROM demo.runs AS r
    UNION
    SELECT r.job_id FROM demo.runs AS r
    WHERE NOT EXISTS (SELECT FROM demo.documents AS d WHERE d.id = r.document_id)
    UNION
    SELECT d.job_id FROM demo.documents AS d WHERE d.job_id IS NOT NULL
) AS seen (job_id)
LEFT JOIN unnest(%s::bigint[], %s::bigint[]) AS c (job_id, document_id) USING (job_id)
LEFT JOIN demo.documents AS d ON d.id = c.document_id
WHERE d.id IS NULL
"""
_FIRST_STARTS: Final = """
SELECT job_id, min(extract(epoch FROM began_at))::float8
FROM demo.runs
WHERE job_id = ANY (%s)
GROUP BY job_id
"""
_RERUN: Final = "SELECT count(*) - count(DISTINCT job_id) FROM demo.runs"
_FIRST_ATTEMPTS: Final = """
SELECT count(*), max(extract(epoch FROM d.found_at))::float8
FROM demo.documents AS d
JOIN pgqueue.finished_jobs AS f ON f.job_id = d.job_id
WHERE d.job_id = ANY (%s) AND f.attempt = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLine:
    """Hold what is said of one worker."""

    number: int
    pid: int
    killed: bool
    held: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Hold how things stand at one moment.

    Attributes:
        found: documents with a finding.
        finished: jobs that are over.
        ready: jobs that wait.
        rate: jobs finished a second, of late.
        start_ms: median from commit to the first line of the task, of what started since the last
            sample; None when nothing did.
    """

    found: int
    finished: int
    ready: int
    rate: float
    start_ms: float | None
    workers: tuple[WorkerLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Hold what was measured; `--json` prints exactly this.

    Attributes:
        lost: committed jobs that did not succeed, or whose document has no finding.
        phantom: jobs that exist, or ran, and were never committed.
        rerun: runs beyond the first of a job.
        start_ms_p50: from the return of a commit to the first line of the task, median, of the jobs
            that were enqueued one at a time; None when there are none.
        jobs_per_s: of those enqueued at full speed, the rescued ones left out.
    """

    committed: int
    rolled_back: int
    done: int
    lost: int
    phantom: int
    rerun: int
    kills: int
    start_ms_p50: float | None
    start_ms_p99: float | None
    jobs_per_s: float | None

    def as_json(self) -> dict[str, int | float | None]:
        """Give the object that `--json` prints."""
        return asdict(self)


class Watch:
    """Take samples while it goes on, and the figures at the end."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Take a connection of its own, in autocommit mode."""
        self._connection = connection
        self._last_run = 0
        self._history: deque[tuple[float, int]] = deque()

    def ids_by_pid(self) -> dict[int, int]:
        """Read which workers have registered themselves."""
        return dict(self._connection.execute("SELECT pid, id FROM pgqueue.workers").fetchall())

    def leader(self) -> int:
        """Read which worker promotes and rescues for all; 0 while there is none."""
        row = self._connection.execute("SELECT id FROM pgqueue.workers WHERE is_leader").fetchone()
        return int(row[0]) if row else 0

    def held(self, worker: Worker) -> tuple[int, int]:
        """Count the jobs that a worker holds, and those of them whose task is under way."""
        held, under_way = self._one(_HELD, worker.worker_id)
        return held, under_way

    def sample(self, workers: Sequence[Worker], ledger: Ledger) -> Sample:
        """Look how things stand."""
        found, finished, ready = self._one(_COUNTS)
        held = dict(self._connection.execute(_HELD_BY_WORKER).fetchall())
        done = dict(self._connection.execute(_DONE_BY_WORKER).fetchall())
        runs = self._connection.execute(_NEW_RUNS, (self._last_run,)).fetchall()
        if runs:
            self._last_run = runs[-1][0]
        return Sample(
            found=found,
            finished=finished,
            ready=ready,
            rate=self._rate(finished),
            start_ms=percentile(_latencies(((job, at) for _, job, at in runs), ledger), 0.5),
            workers=tuple(
                WorkerLine(
                    number=worker.number,
                    pid=worker.pid,
                    killed=worker.killed,
                    held=held.get(worker.worker_id, 0),
                    done=done.get(worker.worker_id, 0),
                )
                for worker in workers
            ),
        )

    def judge(
        self, ledger: Ledger, *, singles: Sequence[int], rush: Sequence[int], kills: int
    ) -> Figures:
        """Hold the database against what the application remembers.

        Args:
            ledger: what it remembers.
            singles: jobs that were enqueued one at a time.
            rush: jobs that were enqueued at full speed.
            kills: how many workers were killed.
        """
        jobs, documents = list(ledger.committed), list(ledger.committed.values())
        lost = int(self._one(_LOST, jobs, documents)[0])
        starts = self._connection.execute(_FIRST_STARTS, (list(singles),)).fetchall()
        latencies = _latencies(starts, ledger)
        return Figures(
            committed=len(jobs),
            rolled_back=len(ledger.rolled_back),
            done=len(jobs) - lost,
            lost=lost,
            phantom=int(self._one(_PHANTOM, jobs, documents)[0]),
            rerun=int(self._one(_RERUN)[0]),
            kills=kills,
            start_ms_p50=percentile(latencies, 0.5),
            start_ms_p99=percentile(latencies, 0.99),
            jobs_per_s=self._jobs_per_second(ledger, rush),
        )

    def problems(self) -> list[str]:
        """List what pgqueue itself finds wrong in the database; nothing when all is well."""
        rows = self._connection.execute("SELECT problem, job_id FROM pgqueue.check_invariants()")
        return [f"{problem} (job {job_id})" for problem, job_id in rows]

    def _jobs_per_second(self, ledger: Ledger, rush: Sequence[int]) -> float | None:
        if not rush:
            return None
        count, last = self._one(_FIRST_ATTEMPTS, list(rush))
        begin = ledger.committed_at[rush[0]]
        return round(count / (last - begin), 1) if count and last > begin else None

    def _rate(self, finished: int) -> float:
        now = time.monotonic()
        self._history.append((now, finished))
        while now - self._history[0][0] > _WINDOW and len(self._history) > 2:
            self._history.popleft()
        then, before = self._history[0]
        return (finished - before) / (now - then) if now > then else 0.0

    def _one(self, query: str, *parameters: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(query, parameters).fetchone()
        assert row is not None
        return row


def percentile(values: Iterable[float], part: float) -> float | None:
    """Give the value that this part of the values does not exceed; None of no values."""
    ordered = sorted(values)
    return round(ordered[math.ceil(part * len(ordered)) - 1], 3) if ordered else None


def _latencies(starts: Iterable[tuple[int, float]], ledger: Ledger) -> list[float]:
    return [
        # Commit and start are told by two processes: a task may be faster than our own return.
        max(0.0, (at - ledger.committed_at[job]) * 1000)
        for job, at in starts
        if job in ledger.committed_at
    ]
