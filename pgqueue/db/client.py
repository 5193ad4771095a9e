"""Calls of the database, one line each; over the caller's connection, or one of our own.

Our own is opened when first needed, shared by the threads of the process, looked at before each
use and opened again when it has died. A forked child gets one of its own.
"""

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import TypeVar

import psycopg
from psycopg.rows import TupleRow

from pgqueue.core.job import FailedAttempt, Job, LogLine, QueueInfo, WorkerInfo
from pgqueue.core.options import EnqueueOptions
from pgqueue.core.states import JobState
from pgqueue.db import callers, connections
from pgqueue.db.callers import Lender
from pgqueue.db.ends import Ends
from pgqueue.db.statements import adding, jobs, queues, stats
from pgqueue.db.statements.adding import Enqueued, JobSpec
from pgqueue.db.statements.base import Statement
from pgqueue.db.statements.jobs import CancelCounts, Match
from pgqueue.db.statements.stats import Problem, Pruned

T = TypeVar("T")

#: What is used instead of the lender's connection, inside `Client.outside`.
_OUTSIDE: ContextVar[object] = ContextVar("_OUTSIDE", default=None)


class _Own:
    """Our connection of one process, with the lock that its threads take."""

    __slots__ = ("connection", "lock", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.connection: psycopg.Connection[TupleRow] | None = None

    def close(self) -> None:
        """Close it, unless it belongs to the process we were forked from."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.pid == os.getpid():
            connection.close()
            return
        with warnings.catch_warnings():
            # psycopg says nothing to the server in this case, and warns that we did not either.
            warnings.simplefilter("ignore", ResourceWarning)
            del connection


def where(dsn: str | None, lender: Lender | None) -> str:
    """Give where connections of our own go: to the database that the lender's go to."""
    return connections.resolve(dsn if lender is None else lender.dsn())


class Client:
    """Make calls of one database; safe to share between threads.

    Args:
        dsn: where our own connection goes; see `connections.resolve`.
        lender: whose connection is used instead of one of our own; None for nobody's.
    """

    def __init__(self, dsn: str | None = None, lender: Lender | None = None) -> None:
        self._dsn = dsn
        self._lender = lender
        self._own = [_Own()]
        weakref.finalize(self, _close_all, self._own)
        self._ends = Ends(partial(where, dsn, lender), lent=lender is not None)

    @property
    def ends(self) -> Ends:
        """What tells when jobs end."""
        return self._ends

    def run(self, statement: Statement[T], connection: object = None) -> T:
        """Make one call.

        Args:
            statement: the call.
            connection: the caller's connection; None for ours.

        Raises:
            ConnectionLostError: ours broke during the call, so that nobody knows whether it took
                effect, or could not be opened.
            PgQueueError: the server refused the call.
            Exception: what the driver raises otherwise.
        """
        if connection is None and self._lender is not None:
            connection = _OUTSIDE.get() or self._lender.connection()
        if connection is not None:
            return callers.run(connection, statement)
        own = self._of_this_process()
        with own.lock:
            open_one = own.connection
            if open_one is None or not connections.is_alive(open_one):
                own.close()
                open_one = own.connection = connections.connect(connections.resolve(self._dsn))
            try:
                return callers.on_psycopg(open_one, statement)
            except psycopg.OperationalError as error:
                if not open_one.closed:
                    raise
                failure = connections.lost(error)
        raise failure

    def copy(self, new: Iterable[JobSpec], connection: object = None) -> int:
        """Insert jobs by COPY, the fastest way; gives how many.

        Args:
            new: the jobs, read as they are sent.
            connection: the caller's psycopg connection; None for one that is opened for this.
        """
        if connection is None and self._lender is not None:
            connection = self._lender.connection()
        if connection is not None:
            return callers.copy_over(connection, new)
        # Not the shared one: what gives the jobs may well make calls of its own meanwhile.
        with connections.connect(connections.resolve(self._dsn)) as one:
            try:
                return callers.copy(one, new)
            except psycopg.OperationalError as error:
                if not one.closed:
                    raise
                failure = connections.lost(error)
        raise failure

    @contextlib.contextmanager
    def outside(self) -> Iterator[bool]:
        """Make the calls of a block outside of the transaction that the lender's connection is in.

        They go over a connection of our own then, opened for the block, and see what everybody
        sees. Where it is in none, they are made as ever; the block is given which of it is so.
        """
        if self._lender is None or not self._lender.in_transaction():
            yield False
            return
        with connections.connect(where(self._dsn, self._lender)) as mine:
            token = _OUTSIDE.set(mine)
            try:
                yield True
            finally:
                _OUTSIDE.reset(token)

    def close(self) -> None:
        """Close our own connection; the next call opens another."""
        self._ends.close()
        own = self._of_this_process()
        with own.lock:
            own.close()

    def _of_this_process(self) -> _Own:
        own = self._own[0]
        if own.pid != os.getpid():
            # The lock may be held for ever: by a thread that the fork left behind.
            own.close()
            own = self._own[0] = _Own()
        return own

    def enqueue(self, job: JobSpec, connection: object = None) -> int:
        """Insert one job; gives its id."""
        return self.run(adding.enqueue(job), connection)

    def enqueue_many(self, new: Sequence[JobSpec], connection: object = None) -> list[int]:
        """Insert many jobs with one statement; gives their ids in order."""
        return self.run(adding.enqueue_many(new), connection)

    def enqueue_each(self, new: Iterable[JobSpec], connection: object = None) -> list[Enqueued]:
        """Insert jobs that may be duplicates; gives what became of each, in order."""
        return self.run(adding.enqueue_each(new), connection)

    def enqueue_dated(self, job: JobSpec, connection: object = None) -> tuple[Enqueued, datetime]:
        """Insert one job; gives what became of it, and when the one that there is was enqueued."""
        return self.run(adding.enqueue_dated(job), connection)

    def get_history(
        self, job_id: int, connection: object = None
    ) -> tuple[Job, list[FailedAttempt]] | None:
        """Read one job and what went wrong with it; None where there is none."""
        return self.run(jobs.get_history(job_id), connection)

    def get_job(self, job_id: int) -> Job | None:
        """Read one job; None where there is none."""
        return self.run(jobs.get_job(job_id))

    def get_state(self, job_id: int) -> JobState:
        """Read where one job stands."""
        return self.run(jobs.get_state(job_id))

    def list_jobs(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Read jobs, the newest first."""
        return self.run(
            jobs.list_jobs(state=state, queue=queue, task=task, before=before, limit=limit)
        )

    def job_errors(self, job_id: int) -> list[FailedAttempt]:
        """Read what went wrong with a job."""
        return self.run(jobs.job_errors(job_id))

    def job_logs(self, job_id: int) -> list[LogLine]:
        """Read what a job has logged."""
        return self.run(jobs.job_logs(job_id))

    def cancel(self, job_id: int, reason: str | None = None) -> JobState:
        """Cancel a job, or ask its worker to."""
        return self.run(jobs.cancel(job_id, reason))

    def cancel_matching(self, match: Match, reason: str | None) -> CancelCounts:
        """Cancel all jobs that match."""
        return self.run(jobs.cancel_matching(match, reason))

    def retry(self, job_id: int, options: EnqueueOptions) -> JobState:
        """Let a job run again."""
        return self.run(jobs.retry(job_id, options))

    def delete_job(self, job_id: int) -> bool:
        """Delete a job that does not run."""
        return self.run(jobs.delete_job(job_id))

    def set_priority(self, job_id: int, priority: int) -> JobState:
        """Change the priority of a job that waits."""
        return self.run(jobs.set_priority(job_id, priority))

    def set_queue(self, job_id: int, queue: str) -> JobState:
        """Let a job be run in another queue."""
        return self.run(jobs.set_queue(job_id, queue))

    def pause(self, queue: str, resume_in: float | None = None) -> None:
        """Start no job of a queue."""
        self.run(queues.pause(queue, resume_in))

    def resume(self, queue: str) -> bool:
        """Start jobs of a queue again."""
        return self.run(queues.resume(queue))

    def configure_queue(self, queue: str, succeeded: float | None, other: float | None) -> None:
        """Say how many seconds finished jobs of a queue are kept."""
        self.run(queues.configure(queue, succeeded, other))

    def limit_queue(self, queue: str, limits: Mapping[str, int | str | None]) -> None:
        """Change limits of a queue."""
        self.run(queues.limit(queue, limits))

    def limit_key(self, key: str, max_running: int | None, rate: str | None = None) -> None:
        """Change the limit of a concurrency key."""
        self.run(queues.limit_key(key, max_running, rate))

    def list_queues(self) -> list[QueueInfo]:
        """Read the queues."""
        return self.run(queues.list_queues())

    def workers(self) -> list[WorkerInfo]:
        """Read the workers."""
        return self.run(stats.workers())

    def health(self) -> dict[str, object]:
        """Read whether all is well."""
        return self.run(stats.health())

    def check_invariants(self) -> list[Problem]:
        """List whatever must not be."""
        return self.run(stats.check_invariants())

    def prune(
        self, max_jobs: int = 1000, older_than: float | None = None, floor: str | None = None
    ) -> Pruned:
        """Delete one batch of finished jobs."""
        return self.run(stats.prune(max_jobs, older_than, floor))


def _close_all(own: list[_Own]) -> None:
    for one in own:
        one.close()
