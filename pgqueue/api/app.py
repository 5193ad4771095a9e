"""The app: one database, and everything that an application does with it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from pgqueue.api.adding import aadd, aadd_many, add, add_many, checked
from pgqueue.api.checks import check_call, check_id, check_page, match_of
from pgqueue.api.clients import Clients
from pgqueue.api.decorating import decorate, registry
from pgqueue.api.grouping import Grouping
from pgqueue.api.handles import JobHandle, found
from pgqueue.api.queues import Queues
from pgqueue.api.schedules import Schedules, Scheduling
from pgqueue.api.specs import spec_of
from pgqueue.api.task import ContextTask, Task
from pgqueue.api.words import JobWords, TaskWords
from pgqueue.core.job import Job, WorkerInfo
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.options import EnqueueOptions, check_task_name
from pgqueue.core.states import JobState
from pgqueue.db import connections
from pgqueue.db.callers import Lender
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.jobs import CancelCounts
from pgqueue.db.statements.stats import Problem

P = ParamSpec("P")
R = TypeVar("R")

_BATCH: Final = 1000


class PgQueue(Scheduling, Grouping):
    """Enqueue, look at and manage the jobs of one database.

    Args:
        dsn: where the database is: what libpq understands, or `embedded:` or `embedded:./data` for
            a private server. None for the environment variable PGQUEUE_DSN, or libpq's own.
        lender: whose connections are used instead of our own, as Django's; None for nobody's.

    Raises:
        ConfigurationError: the DSN cannot be read.

    Attributes:
        queues: pause, resume, configure and list queues.
        schedules: find and list schedules.
        registry: the tasks of this process.
    """

    def __init__(self, dsn: str | None = None, *, lender: Lender | None = None) -> None:
        self._clients = Clients(connections.check(dsn), lender)
        self.queues = Queues(self._own_clients)
        self.schedules = Schedules(self._own_clients)
        self.registry = registry

    def __repr__(self) -> str:
        # Without the DSN, which may hold a password.
        return "<pgqueue app>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()

    @property
    def dsn(self) -> str | None:
        """The DSN as it was given; not for printing, it may hold a password."""
        return self._clients.dsn

    @property
    def clients(self) -> Clients:
        """The calls of this app's database."""
        return self._clients

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, *, context: Literal[True], **options: Unpack[TaskWords]
    ) -> Callable[[Callable[Concatenate[Any, P], R]], ContextTask[P, R]]: ...
    @overload
    def task(
        self, *, context: Literal[False] = False, **options: Unpack[TaskWords]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(self, function: Any = None, *, context: bool = False, **options: Any) -> Any:
        """Make a function a task of this app; see `pgqueue.task`."""
        return decorate(self._own_clients, function, {"context": context, **options})

    def enqueue(
        self,
        task: str,
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        connection: object = None,
        **options: Unpack[JobWords],
    ) -> JobHandle:
        """Enqueue a job of a task by its name, which need not be known in this process.

        Args:
            task: the name.
            args: positional arguments.
            kwargs: keyword arguments.
            connection: yours, as in `Task.using`.
            options: as in `Task.using`.

        Raises:
            PgQueueError: as in `Task.enqueue` and `Task.using`; the arguments fit the task's
                signature, where the task is known.
        """
        spec = self._named(task, args, kwargs, options)
        return add(self._clients, spec, connection)

    async def aenqueue(
        self,
        task: str,
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        connection: object = None,
        **options: Unpack[JobWords],
    ) -> JobHandle:
        """Enqueue a job of a task by its name; see `enqueue`."""
        spec = self._named(task, args, kwargs, options)
        return await aadd(self._clients, spec, connection)

    def enqueue_many(
        self, jobs: Iterable[JobSpec], *, connection: object = None
    ) -> list[JobHandle]:
        """Enqueue many jobs with one statement: all of them or none.

        Args:
            jobs: what `Task.job` made.
            connection: yours, as in `Task.using`.

        Returns:
            A handle for each, in the same order.

        Raises:
            PgQueueError: as in `Task.enqueue`.
        """
        return add_many(self._clients, _specs(jobs), connection)

    async def aenqueue_many(
        self, jobs: Iterable[JobSpec], *, connection: object = None
    ) -> list[JobHandle]:
        """Enqueue many jobs with one statement; see `enqueue_many`."""
        return await aadd_many(self._clients, _specs(jobs), connection)

    def copy_many(self, jobs: Iterable[JobSpec], *, connection: object = None) -> int:
        """Enqueue many jobs by COPY: the fastest way, of any number, without handles.

        Args:
            jobs: what `Task.job` made; read as they are sent. If reading them fails, none is
                enqueued, and a transaction of the caller's has failed.
            connection: a psycopg connection of yours; None for one that is opened for this.

        Returns:
            How many were given; duplicates, which are left out, count as well.

        Raises:
            PgQueueError: as in `Task.enqueue`.
        """
        return self._clients.sync.copy(checked(jobs), connection)

    async def acopy_many(self, jobs: Iterable[JobSpec], *, connection: object = None) -> int:
        """Enqueue many jobs by COPY; see `copy_many`."""
        return await self._clients.asynchronous.copy(checked(jobs), connection)

    def job(self, job_id: int) -> JobHandle:
        """Give a handle for a job whose id is known; asks nobody whether there is one."""
        return JobHandle(check_id(job_id), "", self._clients)

    def get_job(self, job_id: int) -> Job:
        """Read one job.

        Raises:
            JobNotFoundError: there is none.
        """
        return found(self._clients.sync.get_job(check_id(job_id)), job_id)

    async def aget_job(self, job_id: int) -> Job:
        """Read one job; see `get_job`."""
        return found(await self._clients.asynchronous.get_job(check_id(job_id)), job_id)

    def jobs(
        self,
        *,
        state: JobState | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Read jobs, the newest first.

        Args:
            state: only those that stand there.
            queue: only those of this queue.
            task: only those of this task.
            before: only those with a smaller id, as the last of the page before.
            limit: at most so many, 1 to 10,000.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        check_page(state, before, limit)
        return self._clients.sync.list_jobs(
            state=state, queue=queue, task=task, before=before, limit=limit
        )

    async def ajobs(
        self,
        *,
        state: JobState | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Read jobs, the newest first; see `jobs`."""
        check_page(state, before, limit)
        return await self._clients.asynchronous.list_jobs(
            state=state, queue=queue, task=task, before=before, limit=limit
        )

    def cancel_matching(
        self,
        *,
        task: str | None = None,
        args: Iterable[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        queue: str | None = None,
        unique_key: str | None = None,
        concurrency_key: str | None = None,
        older_than: Duration | None = None,
        group: object = None,
        reason: str | None = None,
    ) -> CancelCounts:
        """Cancel all jobs that are not over and match whatever is given.

        Args:
            task: the task's name.
            args: all positional arguments, compared as JSON values.
            kwargs: all keyword arguments, compared as JSON values.
            queue: the queue.
            unique_key: the unique key.
            concurrency_key: the concurrency key.
            older_than: enqueued at least so long ago.
            group: members of this group, or its id, and of the groups in it.
            reason: a sentence, shown with the jobs.

        Returns:
            How many waited and are `cancelled`, and how many run and were `asked` to stop.

        Raises:
            ConfigurationError: nothing is given, or something is wrong.
        """
        match = match_of(
            task=task, args=args, kwargs=kwargs, queue=queue, unique_key=unique_key,
            concurrency_key=concurrency_key, older_than=older_than, group=group,
        )  # fmt: skip
        return self._clients.sync.cancel_matching(match, reason)

    async def acancel_matching(self, *, reason: str | None = None, **match: Any) -> CancelCounts:
        """Cancel all jobs that match; see `cancel_matching`."""
        return await self._clients.asynchronous.cancel_matching(match_of(**match), reason)

    def workers(self) -> list[WorkerInfo]:
        """Read the workers that are alive, or were until just now."""
        return self._clients.sync.workers()

    def health(self) -> dict[str, object]:
        """Read whether all is well: `status` is `ok` or says what is not; and the counts."""
        return self._clients.sync.health()

    def check(self) -> list[Problem]:
        """List whatever must not be in the database; nothing when all is well."""
        return self._clients.sync.check_invariants()

    def prune(self, *, older_than: Duration | None = None) -> int:
        """Delete finished jobs that need not be kept, in small batches; gives how many.

        Workers do this by themselves; this is for making room now.

        Args:
            older_than: those that ended so long ago, whatever their retention; None goes by that.
        """
        seconds = None if older_than is None else to_seconds(older_than, "older_than")
        total, reached = 0, None
        while True:
            pruned = self._clients.sync.prune(_BATCH, seconds, reached)
            total += pruned.deleted
            reached = pruned.reached if seconds is None else None
            if pruned.deleted < _BATCH:
                return total

    def close(self) -> None:
        """Close this app's own connection; a later call opens another."""
        self._clients.sync.close()

    async def aclose(self) -> None:
        """Close this app's own connections, that of the running event loop included."""
        await self._clients.asynchronous.close()
        self._clients.sync.close()

    def _own_clients(self) -> Clients:
        return self._clients

    def _named(
        self,
        task: str,
        args: Iterable[object],
        kwargs: Mapping[str, object] | None,
        options: JobWords,
    ) -> JobSpec:
        name = check_task_name(task, "task")
        check_call(args, kwargs)
        positional, named = tuple(args), dict(kwargs or {})
        if name in self.registry:
            known = self.registry.get(name)
            known.signature.check(positional, named)
            return known.using(**options).job(*positional, **named)
        chosen = EnqueueOptions.from_kwargs(**options)
        return spec_of(
            name, positional, named, chosen, chosen.unique_key,
            concurrency_key=chosen.concurrency_key, fair_key=chosen.fair_key,
        )  # fmt: skip


def _specs(jobs: Iterable[JobSpec]) -> list[JobSpec]:
    return list(checked(jobs))
