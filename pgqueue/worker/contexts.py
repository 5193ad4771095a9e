"""What a task with `context=True` is given, and how its job enqueues itself again."""

import datetime as dt
from collections.abc import Callable
from time import monotonic
from typing import Any

from pgqueue.api.task import BoundTask, clients_of
from pgqueue.core.context import Context
from pgqueue.db.statements import schedules
from pgqueue.worker.execution import Prepared


def make_context(
    job: Prepared, is_cancelled: Callable[[], bool], connection: object = None
) -> Context | None:
    """Make what a task with `context=True` gets as its first argument.

    Args:
        connection: of the transaction of an atomic task.
    """
    if not job.task.options.context:
        return None
    ticket = job.ticket
    # A tagged value, written by hand, may have become something else than an object.
    meta = (ticket.options or {}).get("meta")
    return Context(
        job_id=ticket.job_id,
        task=ticket.task,
        queue=ticket.queue,
        priority=ticket.priority,
        attempt=ticket.attempt,
        lost=ticket.lost,
        max_attempts=job.max_attempts,
        timeout=job.timeout,
        meta=meta if isinstance(meta, dict) else {},
        deadline=None if job.timeout is None else monotonic() + job.timeout,
        is_cancelled=is_cancelled,
        atomic_connection=connection,
        again=Again(job, connection),
    )


class Again:
    """Enqueue a job like this one: its arguments, queue, priority and limits.

    Args:
        job: the one that runs.
        connection: of an atomic task; None for the application's own.
    """

    def __init__(self, job: Prepared, connection: Any) -> None:
        self._job = job
        self._connection = connection

    def enqueue(self, when: dt.timedelta | dt.datetime) -> int:
        """Enqueue it for a time; gives the id. A duration counts from the server's now, so that the
        planned instant is right whatever the clock here says."""
        if isinstance(when, dt.timedelta):
            clients = clients_of(self._job.task)
            when = clients.sync.run(schedules.now(), self._connection) + when
        return self._bound(when).enqueue(*self._job.args, **self._job.kwargs).id

    async def aenqueue(self, when: dt.timedelta | dt.datetime) -> int:
        """Enqueue it from a coroutine; see `enqueue`."""
        if isinstance(when, dt.timedelta):
            clients = clients_of(self._job.task)
            now = await clients.asynchronous.run(schedules.now(), self._connection)
            when = now + when
        return (await self._bound(when).aenqueue(*self._job.args, **self._job.kwargs)).id

    def _bound(self, planned: dt.datetime) -> BoundTask[Any]:
        ticket = self._job.ticket
        options = ticket.options or {}
        meta = options.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        told = meta.get("pgqueue")
        ours = {**(told if isinstance(told, dict) else {}), "planned_at": planned.isoformat()}
        timeout = options.get("timeout")
        return self._job.task.using(
            connection=self._connection,
            queue=ticket.queue,
            priority=ticket.priority,
            run_at=planned,
            timeout=timeout if isinstance(timeout, int | float) else None,
            max_attempts=options.get("max_attempts"),
            meta={**meta, "pgqueue": ours},
        )
