"""Every option of a task and of an enqueue, with its rules: the only validation there is.

Python, the command line and SQL use the same words; what is wrong is said here, in one sentence,
before anything is sent.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from pgqueue.core import checking, codec, composition
from pgqueue.core.backoff import Backoff, validate_backoff
from pgqueue.core.composition import Callback
from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.limits import check_line
from pgqueue.core.offsets import to_delay_or_time, to_delta, to_seconds, to_time
from pgqueue.core.schedule import Recurrence, declared
from pgqueue.core.uniqueness import (
    ON_DUPLICATE,
    WHILE,
    check_key,
    check_names,
    check_period,
    check_word,
)

DEFAULT_QUEUE: Final = "default"
#: Stands for every queue; is no queue name.
ALL_QUEUES: Final = "*"
MAX_QUEUE_BYTES: Final = 200
MAX_TASK_BYTES: Final = 500
MIN_PRIORITY: Final = -32_768
MAX_PRIORITY: Final = 32_767
MAX_ATTEMPTS: Final = 32_767
#: The longest timeout, in seconds: a year.
MAX_TIMEOUT: Final = 365.0 * 86_400
#: The most jobs of one call of a batch task.
MAX_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Hold what `@task(...)` says about every job of a task.

    Attributes:
        queue: where its jobs go.
        priority: -32768 to 32767, higher first.
        priority_step: added to a job's priority each time an attempt fails and another follows;
            -1 lets it fall behind others that do not fail.
        max_attempts: 1 to 32767; 1 means that a job that raises is not tried again.
        backoff: seconds, `"constant"`, `"linear"`, `"exponential"`, or a callable that gets the
            attempt that failed and gives seconds or a timedelta.
        timeout: longest run in seconds, or None.
        retry_on: exception classes that are tried again.
        give_up_on: exception classes that are not, even when `retry_on` has them.
        expires: latest start, counted from run_at, or None.
        context: whether the first parameter is the Context.
        atomic: whether what the function writes over `context.connection`, or over Django's
            connection, commits together with the finish of its job.
        unique: names of arguments; at most one live job is made for the same values of them. True
            for all arguments, False for no such limit.
        unique_while: `"live"`, until the job is over, or `"waiting"`, until a worker takes it for
            the first time; None for `"live"`.
        unique_for: so long after it was enqueued no other is made either, even when the job has
            succeeded or failed by then; None for no longer.
        on_duplicate: what a duplicate does: `"ignore"` (nothing is enqueued), `"replace"` (it takes
            the place of the waiting job), `"reschedule"` (the waiting job gets its time), or
            `"error"`; None for `"ignore"`.
        on_success, on_failure, on_finish: the job to enqueue when a job of the task has succeeded;
            has failed or expired; is over, however: a task, a job of one, or a task's name.
        concurrency: names of arguments; of the jobs with the same values of them at most
            `max_running` run at once, the others wait in line. True for all arguments.
        max_running: how many of them may, 1 by default: then they run strictly one after the other.
        rate: how many jobs of the task may start in a time, as `"100/m"`; with `concurrency`, of
            those with the same values, of which then any number may run at once.
        fair_by: names of arguments; a queue's jobs with different values of them are taken in turn,
            so that nobody's many jobs keep the others waiting. Not with `concurrency` or `rate`.
        batch: the most jobs that one call is given, 1 to 1000; above 1 the function gets one list
            of `BatchJob` as its only argument.
        batch_wait: seconds for which a call that is not full waits for more jobs.
        name: the task's name; None for `module.function`.
        aliases: older names that mean this task too.
        schedule: when it recurs, made by `every`, `cron` or `rrule`; or a list of those.

    Raises:
        ConfigurationError: an option is wrong; durations may be given in any form.
    """

    queue: str = DEFAULT_QUEUE
    priority: int = 0
    priority_step: int = 0
    max_attempts: int = 1
    backoff: Backoff = "exponential"
    timeout: float | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()
    expires: dt.timedelta | None = None
    context: bool = False
    atomic: bool = False
    unique: tuple[str, ...] | bool = False
    unique_while: str | None = None
    unique_for: dt.timedelta | None = None
    on_duplicate: str | None = None
    on_success: Callback | None = None
    on_failure: Callback | None = None
    on_finish: Callback | None = None
    concurrency: tuple[str, ...] | bool = False
    max_running: int | None = None
    rate: str | None = None
    fair_by: tuple[str, ...] | str | bool = False
    batch: int = 1
    batch_wait: float = 0.05
    name: str | None = None
    aliases: tuple[str, ...] = ()
    schedule: tuple[Recurrence, ...] = ()

    def __post_init__(self) -> None:
        """Check every option and give it its plain form."""
        check_queue(self.queue)
        check_priority(self.priority)
        checking.whole(self.priority_step, "priority_step", MIN_PRIORITY, MAX_PRIORITY)
        check_max_attempts(self.max_attempts)
        _put(self, "backoff", validate_backoff(self.backoff))
        if self.timeout is not None:
            _put(self, "timeout", check_timeout(self.timeout))
        _put(self, "retry_on", checking.exceptions(self.retry_on, "retry_on"))
        _put(self, "give_up_on", checking.exceptions(self.give_up_on, "give_up_on"))
        if self.expires is not None:
            _put(self, "expires", to_delta(self.expires, "expires"))
        if type(self.context) is not bool:
            raise ConfigurationError(f"context must be True or False; got {shown(self.context)}")
        if type(self.atomic) is not bool:
            raise ConfigurationError(f"atomic must be True or False; got {shown(self.atomic)}")
        checking.whole(self.batch, "batch", 1, MAX_BATCH)
        _put(self, "batch_wait", _batch_wait(self.batch_wait))
        if self.batch > 1 and (self.context or self.atomic):
            raise ConfigurationError(
                "a batch task must have neither context nor atomic; each of its jobs says what it "
                "is"
            )
        _put(self, "unique", check_names(self.unique, "unique"))
        _put_uniqueness(self)
        if not self.unique:
            _refuse_without_key(self, "unique=")
        for name, value in composition.checked_callbacks(self).items():
            _put(self, name, value)
        _put(self, "concurrency", check_names(self.concurrency, "concurrency"))
        check_line(self.max_running, self.rate)
        if self.max_running is not None and not (self.concurrency or self.rate):
            raise ConfigurationError("max_running limits a key; give concurrency= with it")
        names = (self.fair_by,) if isinstance(self.fair_by, str) else self.fair_by
        _put(self, "fair_by", check_names(names, "fair_by"))
        if self.fair_by and (self.concurrency or self.rate):
            raise ConfigurationError("fair_by and concurrency exclude each other; so does a rate")
        if self.name is not None:
            check_task_name(self.name)
        _put(self, "aliases", _aliases(self.aliases))
        _put(self, "schedule", declared(self.schedule))

    @classmethod
    def from_kwargs(cls, **options: object) -> Self:
        """Make options from words; one that is not known is an error with the nearest known."""
        made = cls(**_known(cls, options, "task option"))
        if made.batch == 1 and "batch_wait" in options:
            raise ConfigurationError("batch_wait waits for a batch; give batch= with it")
        return made

    def retries(self, exc: BaseException) -> bool:
        """Tell whether an exception of this class is tried again, attempts permitting."""
        return isinstance(exc, self.retry_on) and not isinstance(exc, self.give_up_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """Hold what `.using(...)` says about one job; None leaves it to the task.

    Attributes:
        queue: where the job goes.
        priority: -32768 to 32767, higher first.
        run_at: earliest start: an aware datetime, in UTC, or a delay that is added to the
            server's clock.
        expires_at: latest start as an aware datetime, in UTC.
        expires: latest start, counted from run_at; not both.
        timeout: longest run in seconds.
        max_attempts: 1 to 32767.
        meta: a JSON object of the application's own.
        unique_key: at most one live job has it, whatever its task: text of 1 to 1000 bytes.
        unique_while, unique_for, on_duplicate: as of `TaskOptions`.
        group: the group the job is a member of, or its id.
        after: jobs, or their ids, that the job runs after.
        run_if: what must have become of them: `"succeeded"` (the default; else it is cancelled),
            `"finished"` (whatever became of them) or `"failed"` (one has not succeeded; else it
            is skipped).
        results: how it is given their results: `"args"`, one argument each before its own, or
            `"list"`, all of them as its first argument; None for not at all.
        on_success, on_failure, on_finish: as of `TaskOptions`.
        concurrency_key: at most `max_running` jobs that have it run at once, whatever their task;
            text of 1 to 1000 bytes.
        max_running: how many, 1 by default; any number with a rate.
        rate: how many jobs of the key, without one of the task, may start in a time: `"100/m"`.
        fair_key: jobs of a queue are taken in turn, one of each key; text of 1 to 1000 bytes; not
            with a concurrency_key.

    Raises:
        ConfigurationError: an option is wrong; times and durations may be given in any form.
        NotSerializableError: `meta` cannot be written as JSON.
    """

    queue: str | None = None
    priority: int | None = None
    run_at: dt.timedelta | dt.datetime | None = None
    expires_at: dt.datetime | None = None
    expires: dt.timedelta | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    meta: dict[str, object] | None = None
    unique_key: str | None = None
    unique_while: str | None = None
    unique_for: dt.timedelta | None = None
    on_duplicate: str | None = None
    group: int | None = None
    after: tuple[int, ...] = ()
    run_if: str | None = None
    results: str | None = None
    on_success: Callback | None = None
    on_failure: Callback | None = None
    on_finish: Callback | None = None
    concurrency_key: str | None = None
    max_running: int | None = None
    rate: str | None = None
    fair_key: str | None = None

    def __post_init__(self) -> None:
        """Check every option that is set and give it its plain form."""
        if self.queue is not None:
            check_queue(self.queue)
        if self.priority is not None:
            check_priority(self.priority)
        if self.run_at is not None:
            _put(self, "run_at", to_delay_or_time(self.run_at, "run_at"))
        if self.expires_at is not None:
            _put(self, "expires_at", to_time(self.expires_at, "expires_at"))
        if self.expires is not None:
            if self.expires_at is not None:
                raise ConfigurationError(
                    "expires and expires_at exclude each other; give only one of them"
                )
            _put(self, "expires", to_delta(self.expires, "expires"))
        if self.timeout is not None:
            _put(self, "timeout", check_timeout(self.timeout))
        if self.max_attempts is not None:
            check_max_attempts(self.max_attempts)
        if self.meta is not None:
            _put(self, "meta", _meta(self.meta))
        for name in ("unique_key", "concurrency_key", "fair_key"):
            if getattr(self, name) is not None:
                check_key(getattr(self, name), name)
        check_line(self.max_running, self.rate)
        _put_uniqueness(self)
        for name, value in composition.checked(self).items():
            _put(self, name, value)

    @classmethod
    def from_kwargs(cls, **options: object) -> Self:
        """Make options from words; one that is not known is an error with the nearest known."""
        return cls(**_known(cls, options, "option"))

    def check_keyless(self) -> None:
        """Pass when nothing is said about a unique key that a job without one could not mean.

        Raises:
            ConfigurationError: something is.
        """
        if self.unique_while or self.unique_for or self.on_duplicate:
            _refuse_without_key(self, "unique_key=")

    def updated(self, **options: object) -> Self:
        """Give a copy with more options set: what `.using(...).using(...)` means.

        A new `expires` takes the place of an old `expires_at`, and the other way round.
        """
        new = _known(type(self), options, "option")
        if new.get("expires") is not None:
            new.setdefault("expires_at", None)
        if new.get("expires_at") is not None:
            new.setdefault("expires", None)
        old = {item.name: getattr(self, item.name) for item in fields(self)}
        return type(self)(**old | new)


def check_queue(value: object) -> str:
    """Give back a queue name, or raise ConfigurationError."""
    name = checking.text(value, "queue", MAX_QUEUE_BYTES)
    if name == ALL_QUEUES:
        raise ConfigurationError("queue must be one queue's name; '*' stands for every queue")
    return name


def check_task_name(value: object, option: str = "name") -> str:
    """Give back a task name, or raise ConfigurationError."""
    return checking.text(value, option, MAX_TASK_BYTES)


def check_priority(value: object) -> int:
    """Give back a priority, or raise ConfigurationError."""
    return checking.whole(value, "priority", MIN_PRIORITY, MAX_PRIORITY)


def check_max_attempts(value: object) -> int:
    """Give back a number of attempts, or raise ConfigurationError."""
    return checking.whole(value, "max_attempts", 1, MAX_ATTEMPTS)


def check_timeout(value: object) -> float:
    """Give a timeout in seconds, or raise ConfigurationError."""
    seconds = to_seconds(value, "timeout")
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ConfigurationError(
            f"timeout must be above 0 and at most 365 days; got {shown(value)}"
        )
    return seconds


def _put_uniqueness(options: TaskOptions | EnqueueOptions) -> None:
    if options.unique_while is not None:
        check_word(options.unique_while, "unique_while", WHILE)
    if options.unique_for is not None:
        _put(options, "unique_for", check_period(options.unique_for))
    if options.on_duplicate is not None:
        check_word(options.on_duplicate, "on_duplicate", ON_DUPLICATE)


def _refuse_without_key(options: TaskOptions | EnqueueOptions, key: str) -> None:
    for name in ("unique_while", "unique_for", "on_duplicate"):
        if getattr(options, name) is not None:
            raise ConfigurationError(f"{name} says how a key is kept; give {key} with it")


def _batch_wait(value: object) -> float:
    seconds = to_seconds(value, "batch_wait")
    if seconds > 60:
        raise ConfigurationError(f"batch_wait must be at most 60 seconds; got {shown(value)}")
    return seconds


def _put(target: object, name: str, value: object) -> None:
    # A frozen dataclass is finished in its __post_init__ only this way.
    object.__setattr__(target, name, value)


def _known(cls: type[Any], options: Mapping[str, object], what: str) -> dict[str, Any]:
    known = [item.name for item in fields(cls)]
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"unknown {what} {shown(name)}{suggest(name, known)}; known are {', '.join(known)}"
            )
    return dict(options)


def _aliases(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list | set | frozenset):
        raise ConfigurationError(f"aliases must be a tuple of task names; got {shown(value)}")
    return tuple(check_task_name(item, "aliases") for item in value)


def _meta(value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise ConfigurationError(f"meta must be a dictionary; got {shown(value)}")
    codec.dumps(value, path="$.meta", name="meta")
    return dict(value)
