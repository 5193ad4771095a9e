"""Schedules, as applications make, declare, look at and change them."""

import builtins
import datetime as dt
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from pgqueue.api.clients import Clients
from pgqueue.api.handles import JobHandle
from pgqueue.api.registry import Registry
from pgqueue.api.schedule_jobs import Target, job_of
from pgqueue.core import codec
from pgqueue.core.errors import (
    BadArgumentsError,
    ConfigurationError,
    ScheduleNotFoundError,
    shown,
    suggest,
)
from pgqueue.core.job import RunInfo, ScheduleInfo
from pgqueue.core.offsets import to_time
from pgqueue.core.planning import Due, Slots
from pgqueue.core.schedule import MAX_NAME_BYTES, Recurrence, check_schedule_name
from pgqueue.db.statements import schedules
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.ties import ties_of

T = TypeVar("T")

_WORDS: Final = frozenset(item.name for item in fields(Recurrence))
_MAX_PREVIEW: Final = 1000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stand for one schedule; holds no connection and nothing that grows old.

    Attributes:
        name: of the schedule.
    """

    name: str
    _clients: Clients = field(repr=False, compare=False)

    def info(self) -> ScheduleInfo:
        """Read the whole schedule, with the state and result of its last job.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        return self._found(self._clients.sync.run(schedules.get(self.name)))

    async def ainfo(self) -> ScheduleInfo:
        """Read the whole schedule; see `info`."""
        return self._found(await self._clients.asynchronous.run(schedules.get(self.name)))

    def pause(self) -> bool:
        """Make no jobs until it is resumed; gives whether it was not paused already.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        return self._found(self._clients.sync.run(schedules.pause(self.name)))

    async def apause(self) -> bool:
        """Make no jobs until it is resumed; see `pause`."""
        return self._found(await self._clients.asynchronous.run(schedules.pause(self.name)))

    def resume(self) -> bool:
        """Make jobs again, those left out that would have run meanwhile; gives whether it was
        paused. A schedule with an error is tried again at once.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        return self._found(self._clients.sync.run(schedules.resume(self.name)))

    async def aresume(self) -> bool:
        """Make jobs again; see `resume`."""
        return self._found(await self._clients.asynchronous.run(schedules.resume(self.name)))

    def run_now(self) -> JobHandle:
        """Make a job now, beside the plan, be the schedule paused or ended.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        job_id = self._found(self._clients.sync.run(schedules.run_now(self.name)))
        return JobHandle(job_id, "", self._clients)

    async def arun_now(self) -> JobHandle:
        """Make a job now, beside the plan; see `run_now`."""
        found = await self._clients.asynchronous.run(schedules.run_now(self.name))
        return JobHandle(self._found(found), "", self._clients)

    def delete(self) -> bool:
        """Delete the schedule and its history, not its jobs; gives whether there was one.

        One that code declares comes back when a worker with that code starts: pause it instead.
        """
        return self._clients.sync.run(schedules.delete(self.name))

    async def adelete(self) -> bool:
        """Delete the schedule and its history; see `delete`."""
        return await self._clients.asynchronous.run(schedules.delete(self.name))

    def preview(self, count: int = 5, *, after: dt.datetime | None = None) -> list[dt.datetime]:
        """Compute the next planned instants, of a paused one too.

        Args:
            count: at most so many, 1 to 1,000.
            after: those after this time; None for now.

        Raises:
            ScheduleNotFoundError: there is none of this name.
            ConfigurationError: its rule cannot be read.
        """
        check_count(count)
        now = self._clients.sync.run(schedules.now()) if after is None else to_time(after, "after")
        return upcoming(self.info(), count, now)

    async def apreview(
        self, count: int = 5, *, after: dt.datetime | None = None
    ) -> list[dt.datetime]:
        """Compute the next planned instants; see `preview`."""
        check_count(count)
        if after is None:
            now = await self._clients.asynchronous.run(schedules.now())
        else:
            now = to_time(after, "after")
        return upcoming(await self.ainfo(), count, now)

    def history(self, limit: int = 100) -> list[RunInfo]:
        """Read what became of the last slots, the newest first.

        Args:
            limit: at most so many, 1 to 1,000.
        """
        return self._clients.sync.run(schedules.history(self.name, check_count(limit, "limit")))

    async def ahistory(self, limit: int = 100) -> list[RunInfo]:
        """Read what became of the last slots; see `history`."""
        statement = schedules.history(self.name, check_count(limit, "limit"))
        return await self._clients.asynchronous.run(statement)

    def _found(self, found: T | None) -> T:
        if found is None:
            raise ScheduleNotFoundError(
                f"there is no schedule {shown(self.name)}; schedules that code declares come to be "
                "when a worker starts"
            )
        return found


class Schedules:
    """Find the schedules of one app."""

    __slots__ = ("_clients",)

    def __init__(self, clients: Callable[[], Clients]) -> None:
        self._clients = clients

    def get(self, name: str) -> Schedule:
        """Give a handle for a schedule; asks nobody whether there is one."""
        return Schedule(check_schedule_name(name), self._clients())

    def list(self) -> list[ScheduleInfo]:
        """Read all schedules, by name."""
        return self._clients().sync.run(schedules.list_schedules())

    async def alist(self) -> builtins.list[ScheduleInfo]:
        """Read all schedules, by name."""
        return await self._clients().asynchronous.run(schedules.list_schedules())

    def declare(self, registry: Registry, modules: Iterable[str] = ()) -> tuple[int, int]:
        """Make the schedules that tasks declare those of the database, as a worker does at start.

        Args:
            registry: the tasks.
            modules: those that were imported for their tasks, be there still any in them.

        Returns:
            How many are new or changed, and how many these modules declare no more.
        """
        return self._clients().sync.run(schedules.declare(declarations(registry, modules)))


class Scheduling:
    """What an app does about schedules; a part of `PgQueue`."""

    registry: Registry
    schedules: Schedules
    _clients: Clients

    def schedule(
        self, task: Target, /, *args: Any, connection: object = None, **words: Any
    ) -> Schedule:
        """Make a schedule, or change the one of this name.

        A pause stays, and so does what has run: a program may say the same at each start.

        Args:
            task: a task, one with options (`report.using(queue="slow")`), a job of one
                (`report.job(1)`), or the name of one.
            args: positional arguments of its jobs.
            connection: yours, as in `Task.using`.
            words: one of `every`, `cron`, `rrule` and `at`, and what else `Recurrence` takes; all
                others are keyword arguments of its jobs. `name` is that of the task unless given,
                and for other arguments than none a few characters more.

        Raises:
            ConfigurationError: an option is wrong, or the rule has no slot to come.
            PgQueueError: as in `Task.enqueue`.
        """
        recurrence, spec = self._read(task, args, words)
        self._clients.sync.run(_statement(recurrence, spec), connection)
        return Schedule(_name(recurrence, spec), self._clients)

    async def aschedule(
        self, task: Target, /, *args: Any, connection: object = None, **words: Any
    ) -> Schedule:
        """Make a schedule, or change the one of this name; see `schedule`."""
        recurrence, spec = self._read(task, args, words)
        await self._clients.asynchronous.run(_statement(recurrence, spec), connection)
        return Schedule(_name(recurrence, spec), self._clients)

    def _read(
        self, task: Target, args: tuple[Any, ...], words: Mapping[str, Any]
    ) -> tuple[Recurrence, JobSpec]:
        options = {name: value for name, value in words.items() if name in _WORDS}
        named = {name: value for name, value in words.items() if name not in _WORDS}
        recurrence = Recurrence.from_kwargs(**options)
        if recurrence.kind == "rrule" and not recurrence.preview(1, dt.datetime.now(dt.UTC)):
            raise ConfigurationError(f"rrule must have slots to come; got {shown(recurrence.text)}")
        kwargs = {**named, **recurrence.kwargs}
        try:
            spec = job_of(
                task, (*args, *recurrence.args), kwargs, recurrence.planned_kwarg, self.registry
            )
        except BadArgumentsError as error:
            # What is no option went to the task: it may have been meant as one.
            meant = next(filter(None, (suggest(name, _WORDS) for name in named)), "")
            raise BadArgumentsError(f"{error}{meant}") from None
        return recurrence, spec


def declarations(registry: Registry, modules: Iterable[str]) -> str:
    """Write the schedules that tasks declare, for `pgqueue.declare_schedules`.

    Args:
        registry: the tasks.
        modules: as of `Schedules.declare`; those of the tasks are added.

    Raises:
        ConfigurationError: two schedules have one name.
        BadArgumentsError: the arguments of one do not fit its task.
    """
    found: dict[str, dict[str, Any]] = {}
    looked_at = {module.partition(":")[0] for module in modules}
    for task in registry:
        looked_at.add(task.function.__module__)
        for one in task.options.schedule:
            spec = job_of(task, one.args, one.kwargs, one.planned_kwarg, registry)
            name = _name(one, spec)
            if name in found:
                raise ConfigurationError(
                    f"a schedule's name must be its own; {shown(name)} is declared twice; give one "
                    "of them another name="
                )
            found[name] = {
                **_words(one, spec),
                "module": task.function.__module__,
                "args": json.loads(spec.args),
                "kwargs": json.loads(spec.kwargs),
            }
    told = {"modules": sorted(looked_at), "schedules": [found[name] for name in sorted(found)]}
    return json.dumps(told)


def upcoming(info: ScheduleInfo, count: int, now: dt.datetime) -> list[dt.datetime]:
    """Compute the next planned instants of a schedule.

    Raises:
        ConfigurationError: its rule cannot be read.
    """
    due = Due(
        kind=info.kind,
        rule=info.rule,
        timezone=info.timezone,
        starts_at=info.starts_at,
        ends_at=info.ends_at,
        sticky=info.sticky,
        done_until=info.done_until,
        last_slot=info.last_slot,
    )
    left = count if info.repeats is None else min(count, info.repeats - info.runs)
    after = info.done_until if info.kind == "once" else max(info.done_until, now)
    return list(itertools.islice(Slots(due).walk(after), max(0, left)))


def check_count(value: object, name: str = "count") -> int:
    """Give back a number of slots or runs, or raise ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_PREVIEW:
        raise ConfigurationError(f"{name} must be between 1 and {_MAX_PREVIEW}; got {shown(value)}")
    return value


def _statement(recurrence: Recurrence, spec: JobSpec) -> Any:
    return schedules.schedule(_words(recurrence, spec), spec.args, spec.kwargs)


def _words(recurrence: Recurrence, spec: JobSpec) -> dict[str, Any]:
    options = spec.options
    found: dict[str, Any] = {
        **recurrence.words(),
        "name": _name(recurrence, spec),
        "task": spec.task,
        "queue": options.queue,
        "priority": options.priority,
        "expires": None if options.expires is None else options.expires.total_seconds(),
        "timeout": options.timeout,
        "max_attempts": options.max_attempts,
        "meta": None if options.meta is None else json.loads(codec.dumps(options.meta)),
        "options": ties_of(spec) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _name(recurrence: Recurrence, spec: JobSpec) -> str:
    """Name a schedule: as told, or as its task, and its arguments if there are any."""
    if recurrence.name is not None:
        return recurrence.name
    mark = ""
    if spec.args != "[]" or spec.kwargs != "{}":
        both = f"{spec.args} {spec.kwargs}".encode()
        mark = ":" + hashlib.blake2b(both, digest_size=4).hexdigest()
    return spec.task.encode()[: MAX_NAME_BYTES - len(mark)].decode(errors="ignore") + mark
