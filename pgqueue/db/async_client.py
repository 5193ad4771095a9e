"""Calls of the database from coroutines, one line each; the twin of ``client``.

A connection of psycopg belongs to the event loop it was opened in, so each loop has one of ours.
"""

import asyncio
import contextlib
import os
import warnings
import weakref
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg.rows import TupleRow

from pgqueue.core.job import FailedAttempt, Job, LogLine, QueueInfo, WorkerInfo
from pgqueue.core.options import EnqueueOptions
from pgqueue.core.states import JobState
from pgqueue.db import callers, connections
from pgqueue.db.async_ends import AsyncEnds
from pgqueue.db.callers import Lender
from pgqueue.db.client import Client, where
from pgqueue.db.statements import adding, jobs, queues, stats
from pgqueue.db.statements.adding import Enqueued, JobSpec
from pgqueue.db.statements.base import Statement
from pgqueue.db.statements.jobs import CancelCounts, Match
from pgqueue.db.statements.stats import Problem, Pruned

T = TypeVar("T")

#: What is used instead of the lender's connection, inside `AsyncClient.outside`.
_OUTSIDE: ContextVar[object] = ContextVar("_OUTSIDE", default=None)


class _Own:
    """Our connection of one event loop, with the lock that its tasks take."""

    __slots__ = ("connection", "ends", "lock")

    def __init__(self, ends: AsyncEnds) -> None:
        self.lock = asyncio.Lock()
        self.connection: psycopg.AsyncConnection[TupleRow] | None = None
        self.ends = ends


class AsyncClient:
    """Make calls of one database from coroutines; safe to share between loops and threads.

    Args:
        dsn: where our own connections go; see `connections.resolve`.
        lender: whose connections are used instead of our own; None for nobody's.
    """

    def __init__(self, dsn: str | None = None, lender: Lender | None = None) -> None:
        self._dsn = dsn
        self._lender = lender
        self._pid = os.getpid()
        self._own: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Own] = (
            weakref.WeakKeyDictionary()
        )

    async def run(self, statement: Statement[T], connection: object = None) -> T:
        """Make one call; see `Client.run`."""
        if connection is None:
            connection = _OUTSIDE.get()
        if connection is not None:
            return await callers.arun(connection, statement)
        if (lender := self._lender) is not None:
            return await lender.aside(lambda: callers.run(lender.connection(), statement))
        own = self._of_this_loop()
        async with own.lock:
            open_one = own.connection
            if open_one is None or not connections.is_alive(open_one):
                if open_one is not None:
                    await open_one.close()
                open_one = own.connection = await self._open()
            try:
                return await callers.on_psycopg_async(open_one, statement)
            except psycopg.OperationalError as error:
                if not open_one.closed:
                    raise
                failure = connections.lost(error)
        raise failure

    async def copy(self, new: Iterable[JobSpec], connection: object = None) -> int:
        """Insert jobs by COPY; see `Client.copy`."""
        if connection is not None:
            callers.must_copy(connection, callers.Kind.PSYCOPG_ASYNC)
            return await callers.acopy(cast("psycopg.AsyncConnection[Any]", connection), new)
        if (lender := self._lender) is not None:
            return await lender.aside(lambda: Client(lender=lender).copy(new))
        async with await self._connect() as one:
            try:
                return await callers.acopy(one, new)
            except psycopg.OperationalError as error:
                if not one.closed:
                    raise
                failure = connections.lost(error)
        raise failure

    @contextlib.asynccontextmanager
    async def outside(self) -> AsyncIterator[bool]:
        """Make the calls of a block outside of the lender's transaction; see `Client.outside`."""
        lender = self._lender
        if lender is None or not await lender.aside(lender.in_transaction):
            yield False
            return
        async with await self._connect() as mine:
            token = _OUTSIDE.set(mine)
            try:
                yield True
            finally:
                _OUTSIDE.reset(token)

    async def close(self) -> None:
        """Close our connection of the running loop; the next call opens another."""
        own = self._of_this_loop()
        own.ends.drop()
        async with own.lock:
            if own.connection is not None:
                await own.connection.close()
                own.connection = None

    @property
    def ends(self) -> AsyncEnds:
        """What tells the running loop when jobs end."""
        return self._of_this_loop().ends

    async def _open(self) -> psycopg.AsyncConnection[TupleRow]:
        connection = await self._connect()
        # A loop that ends, as that of asyncio.run() does, does not tell; so the connection is tied
        # to its life.
        weakref.finalize(asyncio.get_running_loop(), _finish, [connection], os.getpid())
        return connection

    async def _connect(self) -> psycopg.AsyncConnection[TupleRow]:
        # In a thread: an embedded server may have to be started.
        dsn = await asyncio.to_thread(where, self._dsn, self._lender)
        return await connections.aconnect(dsn)

    def _of_this_loop(self) -> _Own:
        if self._pid != os.getpid():
            self._own, self._pid = weakref.WeakKeyDictionary(), os.getpid()
        loop = asyncio.get_running_loop()
        own = self._own.get(loop)
        if own is None:
            for other, theirs in list(self._own.items()):
                if other.is_closed():
                    theirs.ends.drop()
                if other.is_closed() and theirs.connection is not None:
                    _finish([theirs.connection], self._pid)
            own = self._own[loop] = _Own(AsyncEnds(self._open, lent=self._lender is not None))
        return own

    async def enqueue(self, job: JobSpec, connection: object = None) -> int:
        """Insert one job; gives its id."""
        return await self.run(adding.enqueue(job), connection)

    async def enqueue_many(self, new: Sequence[JobSpec], connection: object = None) -> list[int]:
        """Insert many jobs with one statement; gives their ids in order."""
        return await self.run(adding.enqueue_many(new), connection)

    async def enqueue_each(
        self, new: Iterable[JobSpec], connection: object = None
    ) -> list[Enqueued]:
        """Insert jobs that may be duplicates; gives what became of each, in order."""
        return await self.run(adding.enqueue_each(new), connection)

    async def enqueue_dated(
        self, job: JobSpec, connection: object = None
    ) -> tuple[Enqueued, datetime]:
        """Insert one job; gives what became of it, and when the one that there is was enqueued."""
        return await self.run(adding.enqueue_dated(job), connection)

    async def get_history(
        self, job_id: int, connection: object = None
    ) -> tuple[Job, list[FailedAttempt]] | None:
        """Read one job and what went wrong with it; None where there is none."""
        return await self.run(jobs.get_history(job_id), connection)

    async def get_job(self, job_id: int) -> Job | None:
        """Read one job; None where there is none."""
        return await self.run(jobs.get_job(job_id))

    async def get_state(self, job_id: int) -> JobState:
        """Read where one job stands."""
        return await self.run(jobs.get_state(job_id))

    async def list_jobs(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Read jobs, the newest first."""
        return await self.run(
            jobs.list_jobs(state=state, queue=queue, task=task, before=before, limit=limit)
        )

    async def job_errors(self, job_id: int) -> list[FailedAttempt]:
        """Read what went wrong with a job."""
        return await self.run(jobs.job_errors(job_id))

    async def job_logs(self, job_id: int) -> list[LogLine]:
        """Read what a job has logged."""
        return await self.run(jobs.job_logs(job_id))

    async def cancel(self, job_id: int, reason: str | None = None) -> JobState:
        """Cancel a job, or ask its worker to."""
        return await self.run(jobs.cancel(job_id, reason))

    async def cancel_matching(self, match: Match, reason: str | None) -> CancelCounts:
        """Cancel all jobs that match."""
        return await self.run(jobs.cancel_matching(match, reason))

    async def retry(self, job_id: int, options: EnqueueOptions) -> JobState:
        """Let a job run again."""
        return await self.run(jobs.retry(job_id, options))

    async def delete_job(self, job_id: int) -> bool:
        """Delete a job that does not run."""
        return await self.run(jobs.delete_job(job_id))

    async def set_priority(self, job_id: int, priority: int) -> JobState:
        """Change the priority of a job that waits."""
        return await self.run(jobs.set_priority(job_id, priority))

    async def set_queue(self, job_id: int, queue: str) -> JobState:
        """Let a job be run in another queue."""
        return await self.run(jobs.set_queue(job_id, queue))

    async def pause(self, queue: str, resume_in: float | None = None) -> None:
        """Start no job of a queue."""
        await self.run(queues.pause(queue, resume_in))

    async def resume(self, queue: str) -> bool:
        """Start jobs of a queue again."""
        return await self.run(queues.resume(queue))

    async def configure_queue(
        self, queue: str, succeeded: float | None, other: float | None
    ) -> None:
        """Say how many seconds finished jobs of a queue are kept."""
        await self.run(queues.configure(queue, succeeded, other))

    async def limit_queue(self, queue: str, limits: Mapping[str, int | str | None]) -> None:
        """Change limits of a queue."""
        await self.run(queues.limit(queue, limits))

    async def limit_key(self, key: str, max_running: int | None, rate: str | None = None) -> None:
        """Change the limit of a concurrency key."""
        await self.run(queues.limit_key(key, max_running, rate))

    async def list_queues(self) -> list[QueueInfo]:
        """Read the queues."""
        return await self.run(queues.list_queues())

    async def workers(self) -> list[WorkerInfo]:
        """Read the workers."""
        return await self.run(stats.workers())

    async def health(self) -> dict[str, object]:
        """Read whether all is well."""
        return await self.run(stats.health())

    async def check_invariants(self) -> list[Problem]:
        """List whatever must not be."""
        return await self.run(stats.check_invariants())

    async def prune(
        self, max_jobs: int = 1000, older_than: float | None = None, floor: str | None = None
    ) -> Pruned:
        """Delete one batch of finished jobs."""
        return await self.run(stats.prune(max_jobs, older_than, floor))


def _finish(held: list[psycopg.AsyncConnection[TupleRow]], pid: int) -> None:
    """Close a connection whose loop is gone, unless it is that of the process we were forked from.

    Closing it as usual would want the loop.
    """
    connection = held.pop()
    if pid == os.getpid():
        connection.pgconn.finish()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del connection
