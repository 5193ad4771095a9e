"""What a task with `context=True` is given, and how its job enqueues itself again."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Protocol

from pgqueue.api.task import BoundTask, clients_of
from pgqueue.core.context import Context
from pgqueue.core.errors import ConfigurationError
from pgqueue.db.statements import schedules
from pgqueue.db.statements.schedules import Kept
from pgqueue.worker.execution import Prepared, Ticket


class Sink(Protocol):
    """Take what a running job says of itself."""

    def progress(self, ticket: Ticket, fraction: float, text: str) -> None:
        """Take how far it is."""

    def log(self, ticket: Ticket, level: str, message: str) -> None:
        """Take a line."""


def make_context(
    job: Prepared,
    is_cancelled: Callable[[], bool],
    connection: object = None,
    *,
    sink: Sink | None = None,
    move: Callable[[float, bool], float | None] | None = None,
) -> Context | None:
    """Make what a task with `context=True` gets as its first argument.

    Args:
        connection: of the transaction of an atomic task.
        sink: takes what the job says of itself.
        move: gives the job more time, or less; see `Context.extend_timeout`, `shorten_timeout`.
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
        group_id=(ticket.options or {}).get("group_id"),
        deadline=None if job.timeout is None else monotonic() + job.timeout,
        is_cancelled=is_cancelled,
        atomic_connection=connection,
        tell_progress=None if sink is None else partial(sink.progress, ticket),
        tell_log=None if sink is None else partial(sink.log, ticket),
        move_deadline=move,
        again=Again(job, connection),
    )


class Again:
    """Enqueue a job like this one: its arguments, queue, priority, limits and keys.

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
        client = clients_of(self._job.task).sync
        kept = client.run(schedules.kept(self._job.ticket.job_id), self._connection)
        return self._bound(when, kept).enqueue(*self._job.args, **self._job.kwargs).id

    async def aenqueue(self, when: dt.timedelta | dt.datetime) -> int:
        """Enqueue it from a coroutine; see `enqueue`."""
        client = clients_of(self._job.task).asynchronous
        kept = await client.run(schedules.kept(self._job.ticket.job_id), self._connection)
        return (await self._bound(when, kept).aenqueue(*self._job.args, **self._job.kwargs)).id

    def _bound(self, when: dt.timedelta | dt.datetime, kept: Kept) -> BoundTask[Any]:
        planned = kept.now + when if isinstance(when, dt.timedelta) else when
        ticket = self._job.ticket
        if "unique_key" in kept.words and (
            kept.words.get("unique_while") != "waiting" or "unique_for" in kept.words
        ):
            raise ConfigurationError(
                f"job {ticket.job_id} has its unique key while it runs, so the next one would be a "
                "duplicate of it; raise Snooze to let this job run again, or enqueue it with "
                "unique_while='waiting' and no unique_for"
            )
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
            **kept.words,
        )
