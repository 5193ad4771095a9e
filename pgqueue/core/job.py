"""What a job, an attempt that failed, a worker and a queue look like when read back: values."""

import datetime as dt
from dataclasses import dataclass, field

from pgqueue.core.states import FINAL, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold one job as it stood when it was read.

    Attributes:
        args: positional arguments, decoded.
        kwargs: keyword arguments, decoded.
        attempt: executions begun so far; 0 before the first.
        lost: attempts that ended because their worker was lost; they do not count as failures.
        crashes: attempts that ended because their process died under them.
        max_attempts: None leaves it to the task.
        run_at: earliest start; None for at once.
        expires_at: latest start; None for never.
        timeout: longest run in seconds; None leaves it to the task.
        result: what the task returned, decoded; None until it has succeeded.
        error: the last error's first line; None without one.
        reason: why it waits or was cancelled; None without one.
        progress: how far it said it is, 0 to 1; None when it said nothing.
        progress_note: the line it said with that; None without one.
        unique_key: what no other live job has; None without one.
        concurrency_key: in whose line it runs; None without one.
        fair_key: in whose turn it is taken; None without one.
    """

    id: int
    task: str
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 0
    state: JobState
    attempt: int = 0
    lost: int = 0
    crashes: int = 0
    max_attempts: int | None = None
    run_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    timeout: float | None = None
    meta: dict[str, object] = field(default_factory=dict)
    created_at: dt.datetime
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    worker_id: int | None = None
    result: object = None
    error: str | None = None
    reason: str | None = None
    progress: float | None = None
    progress_note: str | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    fair_key: str | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the job has reached its end."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """Hold one failed attempt of a job: a row of `pgqueue.job_errors`."""

    attempt: int
    kind: str
    message: str
    traceback: str
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """Hold one line that a job has logged: a row of `pgqueue.job_logs`.

    Attributes:
        attempt: the execution that wrote it.
        level: `debug`, `info`, `warning` or `error`.
        at: when it was written down.
    """

    attempt: int
    level: str
    message: str
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Hold one worker as it last reported itself: a row of `pgqueue.workers`.

    Attributes:
        queues: the queues it takes, `*` for all.
        has_lock: whether its session still holds its advisory lock; without it, or without a
            heartbeat, it counts as lost.
        processes: children it runs.
        threads: slots in each child.
        version: the version of pgqueue it runs.
        is_leader: whether it promotes, rescues and prunes for all.
        is_lost: whether it has been silent for longer than its lease.
        running: jobs it holds.
        children: their process ids.
        replaced: how many of them have taken the place of another.
    """

    id: int
    name: str
    hostname: str
    pid: int
    queues: tuple[str, ...]
    started_at: dt.datetime
    heartbeat_at: dt.datetime
    has_lock: bool
    processes: int
    threads: int
    version: str
    is_leader: bool = False
    is_lost: bool = False
    running: int = 0
    children: tuple[int, ...] = ()
    replaced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """Hold one queue's counts: a row of `pgqueue.queue_stats`.

    Attributes:
        unknown_task: jobs among the scheduled ones that wait because no worker knew their task.
        resume_at: when a pause ends by itself; None for no pause, or one without end.
        first_waits: seconds since the job that is next was enqueued; None without one.
        retention_succeeded: how long succeeded jobs are kept; None for the default.
        retention_other: how long failed, cancelled and expired jobs are; None for the default.
        max_running: how many of its jobs may run at once; None for no limit.
        rate: how many may start in a time, as `100/60s`; None for no limit.
        max_pending: how many may wait; None for no limit.
    """

    queue: str
    ready: int
    scheduled: int
    blocked: int
    running: int
    paused: bool
    resume_at: dt.datetime | None = None
    first_waits: float | None = None
    unknown_task: int = 0
    retention_succeeded: dt.timedelta | None = None
    retention_other: dt.timedelta | None = None
    max_running: int | None = None
    rate: str | None = None
    max_pending: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleInfo:
    """Hold one schedule as it stood when it was read: a row of `pgqueue.schedule_overview`.

    Attributes:
        status: active, paused, error, ended, or undeclared: the code that declared it does so no
            more.
        kind: once, every, cron or rrule.
        rule: the interval or expression; empty for once.
        starts_at: the first slot of once and every.
        source: where it came from: api, code or sql.
        options: what else its jobs have: keys, limits, a group, callbacks, by columns of
            `pgqueue.jobs`.
        done_until: slots up to this instant are dealt with.
        next_slot: the next planned instant; None for none, or when it is not computed yet.
        next_run_at: the same and the jitter.
        runs: jobs made by plan.
        skipped: slots left out since the last job still lived, or another had their unique key.
        last_slot: the last slot dealt with.
        last_state: where its last job stands; None without one, or when that was pruned.
        error: why it cannot run; None when all is well.
    """

    id: int
    name: str
    status: str
    task: str
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 0
    kind: str
    rule: str
    timezone: str
    starts_at: dt.datetime
    ends_at: dt.datetime | None = None
    repeats: int | None = None
    jitter: dt.timedelta = dt.timedelta(0)
    catch_up: str = "once"
    max_catch_up: int = 1000
    overlap: str = "allow"
    sticky: bool = False
    planned_kwarg: str | None = None
    source: str = "sql"
    done_until: dt.datetime
    next_slot: dt.datetime | None = None
    next_run_at: dt.datetime | None = None
    runs: int = 0
    skipped: int = 0
    last_slot: dt.datetime | None = None
    last_fired_at: dt.datetime | None = None
    last_job_id: int | None = None
    last_state: JobState | None = None
    last_result: object = None
    last_error: str | None = None
    error: str | None = None
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Hold one slot of a schedule and what became of it: a row of `pgqueue.schedule_runs`.

    Attributes:
        slot: the planned instant.
        job_id: its job; None for a slot that was skipped.
        manual: whether somebody asked for it.
        state: where the job stands; None without one, or when it was pruned.
        duplicate_of: the job that had the unique key, so that the slot was skipped.
    """

    slot: dt.datetime
    job_id: int | None
    fired_at: dt.datetime
    manual: bool = False
    state: JobState | None = None
    result: object = None
    error: str | None = None
    duplicate_of: int | None = None
