"""Statements about queues: pause, resume, configure, list."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Final

from pgqueue.core.job import QueueInfo
from pgqueue.db.statements.base import (
    Rows,
    Statement,
    as_int,
    as_time,
    first_bool,
    nothing,
)

_LIST: Final = """
SELECT
    s.queue, s.ready, s.scheduled, s.blocked, s.running, s.unknown_task, s.paused,
    EXTRACT(EPOCH FROM s.resume_at), s.first_waits_seconds,
    EXTRACT(EPOCH FROM s.retention_succeeded), EXTRACT(EPOCH FROM s.retention_other),
    s.max_running, s.rate, s.max_pending
FROM pgqueue.queue_stats AS s
ORDER BY s.queue
"""


def pause(queue: str, resume_in: float | None) -> Statement[None]:
    """Start no job of a queue until it is resumed, by hand or after ``resume_in`` seconds."""
    return Statement(
        text="SELECT pgqueue.pause(queue => CAST(%(queue)s AS text), resume_in => "
        "make_interval(secs => CAST(CAST(%(resume_in)s AS text) AS double precision)))",
        params={"queue": queue, "resume_in": _seconds(resume_in)},
        decode=nothing,
    )


def resume(queue: str) -> Statement[bool]:
    """Start jobs of a queue again; gives whether it was paused."""
    return Statement(
        text="SELECT pgqueue.resume(queue => CAST(%(queue)s AS text))",
        params={"queue": queue},
        decode=first_bool,
    )


def configure(queue: str, succeeded: float | None, other: float | None) -> Statement[None]:
    """Say how many seconds finished jobs are kept; None means the default."""
    return Statement(
        text="SELECT pgqueue.configure_queue(queue => CAST(%(queue)s AS text), "
        "retention_succeeded => "
        "make_interval(secs => CAST(CAST(%(succeeded)s AS text) AS double precision)), "
        "retention_other => "
        "make_interval(secs => CAST(CAST(%(other)s AS text) AS double precision)))",
        params={"queue": queue, "succeeded": _seconds(succeeded), "other": _seconds(other)},
        decode=nothing,
    )


def limit(queue: str, limits: Mapping[str, int | str | None]) -> Statement[None]:
    """Change the limits of a queue that are named; None takes one away."""
    return Statement(
        text="SELECT pgqueue.limit_queue(queue => CAST(%(queue)s AS text),"
        " limits => CAST(CAST(%(limits)s AS text) AS jsonb))",
        params={"queue": queue, "limits": json.dumps(limits)},
        decode=nothing,
    )


def limit_key(key: str, max_running: int | None, rate: str | None = None) -> Statement[None]:
    """Say how many jobs of a concurrency key may run at once; None for what they say."""
    return Statement(
        text="SELECT pgqueue.limit_key(key => CAST(%(key)s AS text),"
        " max_running => CAST(CAST(%(max_running)s AS text) AS integer),"
        " rate => CAST(%(rate)s AS text))",
        params={
            "key": key,
            "max_running": None if max_running is None else str(max_running),
            "rate": rate,
        },
        decode=nothing,
    )


def list_queues() -> Statement[list[QueueInfo]]:
    """Read every queue that has jobs waiting or running, or settings."""
    return Statement(text=_LIST, params={}, decode=_queues)


def _seconds(value: float | None) -> str | None:
    return None if value is None else repr(value)


def _queues(rows: Rows) -> list[QueueInfo]:
    return [
        QueueInfo(
            queue=str(row[0]),
            ready=as_int(row[1]),
            scheduled=as_int(row[2]),
            blocked=as_int(row[3]),
            running=as_int(row[4]),
            unknown_task=as_int(row[5]),
            paused=bool(row[6]),
            resume_at=as_time(row[7]),
            first_waits=None if row[8] is None else float(str(row[8])),
            retention_succeeded=_span(row[9]),
            retention_other=_span(row[10]),
            max_running=None if row[11] is None else as_int(row[11]),
            rate=None if row[12] is None else str(row[12]),
            max_pending=None if row[13] is None else as_int(row[13]),
        )
        for row in rows
    ]


def _span(value: object) -> dt.timedelta | None:
    return None if value is None else dt.timedelta(seconds=float(str(value)))
