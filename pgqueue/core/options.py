"""Every option of a task and of an enqueue, with its rules: the only validation there is.

Python, the command line and SQL use the same words; what is wrong is said here, in one sentence,
before anything is sent.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from pgqueue.core import codec
from pgqueue.core.backoff import Backoff, validate_backoff
from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import to_delay_or_time, to_delta, to_seconds, to_time
from pgqueue.core.schedule import Recurrence, declared

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
MAX_WEIGHT: Final = 1_000

_WEIGHTED = re.compile(r"(.*)\*([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Hold what `@task(...)` says about every job of a task.

    Attributes:
        queue: where its jobs go.
        priority: -32768 to 32767, higher first.
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
        name: the task's name; None for `module.function`.
        aliases: older names that mean this task too.
        schedule: when it recurs, made by `every`, `cron` or `rrule`; or a list of those.

    Raises:
        ConfigurationError: an option is wrong; durations may be given in any form.
    """

    queue: str = DEFAULT_QUEUE
    priority: int = 0
    max_attempts: int = 1
    backoff: Backoff = "exponential"
    timeout: float | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()
    expires: dt.timedelta | None = None
    context: bool = False
    atomic: bool = False
    name: str | None = None
    aliases: tuple[str, ...] = ()
    schedule: tuple[Recurrence, ...] = ()

    def __post_init__(self) -> None:
        """Check every option and give it its plain form."""
        check_queue(self.queue)
        check_priority(self.priority)
        check_max_attempts(self.max_attempts)
        _put(self, "backoff", validate_backoff(self.backoff))
        if self.timeout is not None:
            _put(self, "timeout", check_timeout(self.timeout))
        _put(self, "retry_on", _exceptions(self.retry_on, "retry_on"))
        _put(self, "give_up_on", _exceptions(self.give_up_on, "give_up_on"))
        if self.expires is not None:
            _put(self, "expires", to_delta(self.expires, "expires"))
        if type(self.context) is not bool:
            raise ConfigurationError(f"context must be True or False; got {shown(self.context)}")
        if type(self.atomic) is not bool:
            raise ConfigurationError(f"atomic must be True or False; got {shown(self.atomic)}")
        if self.name is not None:
            check_task_name(self.name)
        _put(self, "aliases", _aliases(self.aliases))
        _put(self, "schedule", declared(self.schedule))

    @classmethod
    def from_kwargs(cls, **options: object) -> Self:
        """Make options from words; one that is not known is an error with the nearest known."""
        return cls(**_known(cls, options, "task option"))

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

    @classmethod
    def from_kwargs(cls, **options: object) -> Self:
        """Make options from words; one that is not known is an error with the nearest known."""
        return cls(**_known(cls, options, "option"))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueList:
    """Say which queues a worker takes from, and how it chooses between them.

    Attributes:
        names: in the order given; `*` stands for every queue that is not named.
        weights: one a name when any weight was given: queues are chosen by chance in this
            proportion. Empty: strictly in order.
    """

    names: tuple[str, ...]
    weights: tuple[int, ...] = ()

    @property
    def has_all(self) -> bool:
        """Tell whether every queue is taken from."""
        return ALL_QUEUES in self.names

    def __str__(self) -> str:
        """Write it as `parse_queues` reads it."""
        if not self.weights:
            return ",".join(self.names)
        pairs = zip(self.names, self.weights, strict=True)
        return ",".join(f"{name}*{weight}" for name, weight in pairs)


def parse_queues(value: str | Iterable[str]) -> QueueList:
    """Read which queues a worker takes from.

    Args:
        value: `"mail,default*2"`, or an iterable of such items (for names with a comma): names
            in order, or with weights when any has one (the others count 1); `*` is every queue.

    Raises:
        ConfigurationError: no name, a name twice, a bad name or weight.
    """
    if not isinstance(value, Iterable):
        raise ConfigurationError(f"queues must be names; got {shown(value)}")
    items = value.split(",") if isinstance(value, str) else list(value)
    names: list[str] = []
    weights: list[int | None] = []
    for item in items:
        name, weight = _weighted(item)
        if name != ALL_QUEUES:
            check_queue(name)
        if name in names:
            raise ConfigurationError(f"queues must differ; got {shown(name)} twice")
        names.append(name)
        weights.append(weight)
    if not names:
        raise ConfigurationError("queues must name at least one queue, or * for all")
    if all(weight is None for weight in weights):
        return QueueList(names=tuple(names))
    return QueueList(names=tuple(names), weights=tuple(weight or 1 for weight in weights))


def check_queue(value: object) -> str:
    """Give back a queue name, or raise ConfigurationError."""
    name = _text(value, "queue", MAX_QUEUE_BYTES)
    if name == ALL_QUEUES:
        raise ConfigurationError("queue must be one queue's name; '*' stands for every queue")
    return name


def check_task_name(value: object, option: str = "name") -> str:
    """Give back a task name, or raise ConfigurationError."""
    return _text(value, option, MAX_TASK_BYTES)


def check_priority(value: object) -> int:
    """Give back a priority, or raise ConfigurationError."""
    return _whole(value, "priority", MIN_PRIORITY, MAX_PRIORITY)


def check_max_attempts(value: object) -> int:
    """Give back a number of attempts, or raise ConfigurationError."""
    return _whole(value, "max_attempts", 1, MAX_ATTEMPTS)


def check_timeout(value: object) -> float:
    """Give a timeout in seconds, or raise ConfigurationError."""
    seconds = to_seconds(value, "timeout")
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ConfigurationError(
            f"timeout must be above 0 and at most 365 days; got {shown(value)}"
        )
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


def _text(value: object, option: str, most: int) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{option} must be a non-empty string; got {shown(value)}")
    # Cut before encoding, so that a huge name costs nothing; a character is at least one byte.
    try:
        size = len(value[: most + 1].encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{option} must be text without lone surrogates") from None
    if size > most:
        raise ConfigurationError(f"{option} must be at most {most} bytes; got {shown(value)}")
    if "\0" in value:
        raise ConfigurationError(f"{option} must be text without NUL; got {shown(value)}")
    return value


def _whole(value: object, option: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{option} must be a whole number; got {shown(value)}")
    if not least <= value <= most:
        raise ConfigurationError(f"{option} must be between {least} and {most}; got {shown(value)}")
    return value


def _exceptions(value: object, option: str) -> tuple[type[BaseException], ...]:
    items = (value,) if isinstance(value, type) else value
    if not isinstance(items, tuple | list | set | frozenset):
        raise ConfigurationError(
            f"{option} must be an exception class or a tuple of them; got {shown(value)}"
        )
    for item in items:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ConfigurationError(f"{option} must hold exception classes; got {shown(item)}")
    return tuple(items)


def _aliases(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list | set | frozenset):
        raise ConfigurationError(f"aliases must be a tuple of task names; got {shown(value)}")
    return tuple(check_task_name(item, "aliases") for item in value)


def _meta(value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise ConfigurationError(f"meta must be a dictionary; got {shown(value)}")
    codec.dumps(value, path="$.meta", name="meta")
    return dict(value)


def _weighted(item: object) -> tuple[str, int | None]:
    if not isinstance(item, str):
        raise ConfigurationError(f"queues must be names; got {shown(item)}")
    text = item.strip()
    match = _WEIGHTED.fullmatch(text)
    if match is None:
        if text.endswith(ALL_QUEUES) and text != ALL_QUEUES:
            raise ConfigurationError(
                f"queues must be given as name or name*weight; got {shown(text)}"
            )
        return text, None
    name, weight = match[1], int(match[2])
    if not 1 <= weight <= MAX_WEIGHT:
        raise ConfigurationError(
            f"a queue's weight must be between 1 and {MAX_WEIGHT}; got {shown(text)}"
        )
    return name, weight
