"""How jobs are added, and the handles one gets for them: one way for tasks and for the app."""

from collections.abc import Iterable, Iterator, Sequence

from pgqueue.api.clients import Clients
from pgqueue.api.handles import JobHandle
from pgqueue.core.errors import BadArgumentsError
from pgqueue.db.statements.adding import Enqueued, JobSpec


def add(clients: Clients, spec: JobSpec, connection: object) -> JobHandle:
    """Enqueue one job."""
    if spec.unique_key is not None:
        return _handles(clients, [spec], clients.sync.enqueue_each([spec], connection))[0]
    return JobHandle(clients.sync.enqueue(spec, connection), spec.task, clients)


async def aadd(clients: Clients, spec: JobSpec, connection: object) -> JobHandle:
    """Enqueue one job from a coroutine."""
    if spec.unique_key is not None:
        found = await clients.asynchronous.enqueue_each([spec], connection)
        return _handles(clients, [spec], found)[0]
    return JobHandle(await clients.asynchronous.enqueue(spec, connection), spec.task, clients)


def add_many(clients: Clients, specs: Sequence[JobSpec], connection: object) -> list[JobHandle]:
    """Enqueue jobs with one statement; gives their handles in order."""
    if not specs:
        return []
    if _may_be_duplicates(specs):
        return _handles(clients, specs, clients.sync.enqueue_each(specs, connection))
    return _new(clients, specs, clients.sync.enqueue_many(specs, connection))


async def aadd_many(
    clients: Clients, specs: Sequence[JobSpec], connection: object
) -> list[JobHandle]:
    """Enqueue jobs with one statement from a coroutine; gives their handles in order."""
    if not specs:
        return []
    if _may_be_duplicates(specs):
        found = await clients.asynchronous.enqueue_each(specs, connection)
        return _handles(clients, specs, found)
    return _new(clients, specs, await clients.asynchronous.enqueue_many(specs, connection))


def _may_be_duplicates(specs: Sequence[JobSpec]) -> bool:
    return any(spec.unique_key is not None for spec in specs)


def _new(clients: Clients, specs: Sequence[JobSpec], ids: Sequence[int]) -> list[JobHandle]:
    return [JobHandle(job_id, spec.task, clients) for job_id, spec in zip(ids, specs, strict=True)]


def _handles(
    clients: Clients, specs: Sequence[JobSpec], found: Sequence[Enqueued]
) -> list[JobHandle]:
    return [
        JobHandle(one.id, spec.task, clients, one.duplicate)
        for one, spec in zip(found, specs, strict=True)
    ]


def checked(jobs: Iterable[JobSpec]) -> Iterator[JobSpec]:
    """Pass jobs on that can be enqueued alone.

    Raises:
        BadArgumentsError: one of them is no job, or lacks arguments.
    """
    for spec in jobs:
        if type(spec) is not JobSpec:
            raise BadArgumentsError(
                f"jobs must be what a task's job() makes; got a value of type {type(spec).__name__}"
                "; write task.job(…) for task.enqueue(…)"
            )
        if spec.complaint:
            raise BadArgumentsError(spec.complaint)
        yield spec
