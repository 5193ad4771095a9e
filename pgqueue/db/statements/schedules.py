"""Statements about schedules: make, pause, resume, run, delete, look."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pgqueue.core.job import RunInfo, ScheduleInfo
from pgqueue.core.states import JobState
from pgqueue.db.statements.base import (
    Row,
    Rows,
    Statement,
    as_dict,
    as_int,
    as_list,
    as_moment,
    as_time,
    first_bool,
    first_int,
    from_json,
)

_SELECT: Final = """
SELECT
    o.id, o.name, o.status, o.task, CAST(o.args AS text), CAST(o.kwargs AS text), o.queue,
    o.priority, o.kind, o.rule, o.timezone, EXTRACT(EPOCH FROM o.starts_at),
    EXTRACT(EPOCH FROM o.ends_at), o.repeats, EXTRACT(EPOCH FROM o.jitter), o.catch_up,
    o.max_catch_up, o.overlap, o.sticky, o.planned_kwarg, o.source,
    EXTRACT(EPOCH FROM o.done_until), EXTRACT(EPOCH FROM o.next_slot),
    EXTRACT(EPOCH FROM o.next_run_at),
    o.runs, o.skipped,
    EXTRACT(EPOCH FROM o.last_slot), EXTRACT(EPOCH FROM o.last_fired_at), o.last_job_id,
    o.last_state, CAST(o.last_result AS text), o.last_error, o.error, CAST(o.options AS text)
FROM pgqueue.schedule_overview AS o
"""
#: From the words of a schedule, one JSON object, to the parameters of the function.
_SCHEDULE: Final = """
SELECT pgqueue.schedule(
    name => r.name, task => r.task, args => r.args, kwargs => r.kwargs, every => r.every,
    cron => r.cron, rrule => r.rrule, run_at => r.run_at, timezone => r.timezone,
    starts_at => r.starts_at, ends_at => r.ends_at, repeats => r.repeats,
    jitter => make_interval(secs => r.jitter), catch_up => r.catch_up,
    max_catch_up => r.max_catch_up, overlap => r.overlap, sticky => r.sticky,
    planned_kwarg => r.planned_kwarg, queue => r.queue, priority => r.priority,
    expires => make_interval(secs => r.expires), timeout => make_interval(secs => r.timeout),
    max_attempts => r.max_attempts, meta => r.meta, source => 'api', options => r.options
)
FROM jsonb_to_record(CAST(CAST(%(words)s AS text) AS jsonb)) AS r (
    name text, task text, args jsonb, kwargs jsonb, every text, cron text, rrule text,
    run_at timestamptz, timezone text, starts_at timestamptz, ends_at timestamptz, repeats integer,
    jitter double precision, catch_up text, max_catch_up integer, overlap text, sticky boolean,
    planned_kwarg text, queue text, priority integer, expires double precision,
    timeout double precision, max_attempts integer, meta jsonb, options jsonb
)
"""


def schedule(words: Mapping[str, Any], args: str, kwargs: str) -> Statement[int]:
    """Make a schedule or change the one of its name; gives its id.

    Args:
        words: parameters of `pgqueue.schedule`.
        args: a JSON array.
        kwargs: a JSON object.
    """
    document = json.dumps(dict(words))[:-1] + f', "args": {args}, "kwargs": {kwargs}}}'
    return Statement(text=_SCHEDULE, params={"words": document}, decode=first_int)


def declare(document: str) -> Statement[tuple[int, int]]:
    """Tell what an application declares; gives how many changed and how many are declared no more.

    Args:
        document: an object with modules and schedules.
    """
    return Statement(
        text="SELECT d.changed, d.withdrawn"
        " FROM (SELECT CAST(CAST(%(told)s AS text) AS jsonb) AS told) AS t,"
        " pgqueue.declare_schedules(ARRAY(SELECT jsonb_array_elements_text(t.told -> 'modules')),"
        " t.told -> 'schedules') AS d",
        params={"told": document},
        decode=_two,
    )


def pause(name: str) -> Statement[bool | None]:
    """Pause a schedule; gives whether it was not, or None where there is none."""
    return Statement(
        text="SELECT pgqueue.pause_schedule(name => CAST(%(name)s AS text))",
        params={"name": name},
        decode=_answer,
    )


def resume(name: str) -> Statement[bool | None]:
    """Resume a schedule; gives whether it was paused, or None where there is none."""
    return Statement(
        text="SELECT pgqueue.resume_schedule(name => CAST(%(name)s AS text))",
        params={"name": name},
        decode=_answer,
    )


def delete(name: str) -> Statement[bool]:
    """Delete a schedule; gives whether there was one."""
    return Statement(
        text="SELECT pgqueue.delete_schedule(name => CAST(%(name)s AS text))",
        params={"name": name},
        decode=first_bool,
    )


def run_now(name: str) -> Statement[int | None]:
    """Make a job of a schedule now; gives its id, or None where there is no such schedule."""
    return Statement(
        text="SELECT pgqueue.run_schedule_now(name => CAST(%(name)s AS text))",
        params={"name": name},
        decode=_id,
    )


def get(name: str) -> Statement[ScheduleInfo | None]:
    """Read one schedule; None where there is none."""
    return Statement(
        text=_SELECT + "WHERE o.name = CAST(%(name)s AS text)",
        params={"name": name},
        decode=_one,
    )


def list_schedules() -> Statement[list[ScheduleInfo]]:
    """Read all schedules, by name."""
    return Statement(text=_SELECT + "ORDER BY o.name", params={}, decode=_all)


def history(name: str, limit: int) -> Statement[list[RunInfo]]:
    """Read the last runs of a schedule, the newest first."""
    return Statement(
        text="SELECT EXTRACT(EPOCH FROM r.slot), r.job_id, EXTRACT(EPOCH FROM r.fired_at),"
        " r.manual, o.state, CAST(o.result AS text), o.error, r.duplicate_of"
        " FROM pgqueue.schedules AS s JOIN pgqueue.schedule_runs AS r ON r.schedule_id = s.id"
        " LEFT JOIN pgqueue.job_overview AS o ON o.id = r.job_id"
        " WHERE s.name = CAST(%(name)s AS text)"
        " ORDER BY r.slot DESC LIMIT CAST(CAST(%(limit)s AS text) AS bigint)",
        params={"name": name, "limit": str(limit)},
        decode=_runs,
    )


def now() -> Statement[dt.datetime]:
    """Read the server's clock."""
    return Statement(
        text="SELECT EXTRACT(EPOCH FROM clock_timestamp())",
        params={},
        decode=lambda rows: as_moment(rows[0][0]),
    )


class Kept(NamedTuple):
    """Hold what a job that is enqueued again keeps of the one that runs, beyond its line.

    Attributes:
        now: by the server's clock.
        words: options, by their names.
    """

    now: dt.datetime
    words: dict[str, Any]


def kept(job_id: int) -> Statement[Kept]:
    """Read the server's clock, and the keys of a job."""
    return Statement(
        text="SELECT EXTRACT(EPOCH FROM clock_timestamp()), j.unique_key, j.unique_while,"
        " EXTRACT(EPOCH FROM j.unique_for), j.on_duplicate, j.concurrency_key,"
        " CAST(j.max_running AS text), j.rate, j.fair_key FROM (SELECT) AS one"
        " LEFT JOIN pgqueue.jobs AS j ON j.id = CAST(CAST(%(id)s AS text) AS bigint)",
        params={"id": str(job_id)},
        decode=_kept,
    )


def _kept(rows: Rows) -> Kept:
    now, *values = rows[0]
    words: dict[str, Any] = dict(
        zip(
            ("unique_key", "unique_while", "unique_for", "on_duplicate", "concurrency_key",
             "max_running", "rate", "fair_key"),
            values,
            strict=True,
        )
    )  # fmt: skip
    if words["unique_for"] is not None:
        words["unique_for"] = dt.timedelta(seconds=float(str(words["unique_for"])))
    if words["max_running"] is not None:
        words["max_running"] = as_int(words["max_running"])
    return Kept(
        now=as_moment(now),
        words={name: value for name, value in words.items() if value is not None},
    )


def _answer(rows: Rows) -> bool | None:
    return None if not rows or rows[0][0] is None else bool(rows[0][0])


def _id(rows: Rows) -> int | None:
    return None if rows[0][0] is None else as_int(rows[0][0])


def _two(rows: Rows) -> tuple[int, int]:
    return as_int(rows[0][0]), as_int(rows[0][1])


def _one(rows: Rows) -> ScheduleInfo | None:
    return _info(rows[0]) if rows else None


def _all(rows: Rows) -> list[ScheduleInfo]:
    return [_info(row) for row in rows]


def _info(row: Row) -> ScheduleInfo:
    return ScheduleInfo(
        id=as_int(row[0]),
        name=str(row[1]),
        status=str(row[2]),
        task=str(row[3]),
        args=tuple(as_list(row[4])),
        kwargs=as_dict(row[5]),
        queue=str(row[6]),
        priority=as_int(row[7]),
        kind=str(row[8]),
        rule=str(row[9]),
        timezone=str(row[10]),
        starts_at=as_moment(row[11]),
        ends_at=as_time(row[12]),
        repeats=None if row[13] is None else as_int(row[13]),
        jitter=dt.timedelta(seconds=float(str(row[14]))),
        catch_up=str(row[15]),
        max_catch_up=as_int(row[16]),
        overlap=str(row[17]),
        sticky=bool(row[18]),
        planned_kwarg=None if row[19] is None else str(row[19]),
        source=str(row[20]),
        done_until=as_moment(row[21]),
        next_slot=as_time(row[22]),
        next_run_at=as_time(row[23]),
        runs=as_int(row[24]),
        skipped=as_int(row[25]),
        last_slot=as_time(row[26]),
        last_fired_at=as_time(row[27]),
        last_job_id=None if row[28] is None else as_int(row[28]),
        last_state=None if row[29] is None else JobState(str(row[29])),
        last_result=from_json(row[30]),
        last_error=None if row[31] is None else str(row[31]),
        error=None if row[32] is None else str(row[32]),
        options={} if row[33] is None else as_dict(row[33]),
    )


def _runs(rows: Rows) -> list[RunInfo]:
    return [
        RunInfo(
            slot=as_moment(row[0]),
            job_id=None if row[1] is None else as_int(row[1]),
            fired_at=as_moment(row[2]),
            manual=bool(row[3]),
            state=None if row[4] is None else JobState(str(row[4])),
            result=from_json(row[5]),
            error=None if row[6] is None else str(row[6]),
            duplicate_of=None if row[7] is None else as_int(row[7]),
        )
        for row in rows
    ]
