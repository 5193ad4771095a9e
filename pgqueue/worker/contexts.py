"""A job that enqueues itself again: what `Context.reschedule` does in a worker."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from pgqueue.api.task import Task


def again(
    task: Task[Any, Any],
    args: list[Any],
    kwargs: dict[str, Any],
    *,
    queue: str,
    priority: int,
    meta: dict[str, object],
    connection: Any,
) -> Callable[[dt.timedelta | dt.datetime], int]:
    """Give the function that enqueues a job like this one.

    Args:
        meta: of the job; what it says of the planned instant becomes that of the new one.
        connection: of an atomic task; None for the application's own.
    """

    def enqueue(when: dt.timedelta | dt.datetime) -> int:
        # What a duration from now comes to is not the server's word; the task is told all the same.
        planned = when if isinstance(when, dt.datetime) else dt.datetime.now(dt.UTC) + when
        told = meta.get("pgqueue")
        ours = {**(told if isinstance(told, dict) else {}), "planned_at": planned.isoformat()}
        bound = task.using(
            connection=connection,
            queue=queue,
            priority=priority,
            run_at=when,
            meta={**meta, "pgqueue": ours},
        )
        return bound.enqueue(*args, **kwargs).id

    return enqueue
