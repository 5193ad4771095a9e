"""A task: a function that can be enqueued. Calling it still calls the function."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from pgqueue.api.adding import aadd, add
from pgqueue.api.clients import Clients
from pgqueue.api.flows import Flow, aenqueue_flow, enqueue_flow
from pgqueue.api.groups import GroupHandle, GroupWords
from pgqueue.api.handles import JobHandle
from pgqueue.api.specs import spec_of
from pgqueue.api.words import JobWords
from pgqueue.core.batch import any_call
from pgqueue.core.binding import Signature
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown
from pgqueue.core.options import DEFAULT_QUEUE, EnqueueOptions, TaskOptions
from pgqueue.core.uniqueness import UNKNOWN, key_of
from pgqueue.db.callers import check_connection
from pgqueue.db.statements.adding import JobSpec

P = ParamSpec("P")
R = TypeVar("R")


class BoundTask(Generic[P]):
    """A task with options and a connection for the jobs that are made from it.

    `Task.using` makes it; it may be kept and used many times.
    """

    __slots__ = (
        "_clients",
        "_concurrency",
        "_connection",
        "_fair_by",
        "_name",
        "_options",
        "_signature",
        "_unique",
    )

    def __init__(
        self,
        name: str,
        signature: Signature,
        options: EnqueueOptions,
        clients: Callable[[], Clients],
        connection: object = None,
        unique: tuple[str, ...] | bool = False,
        concurrency: tuple[str, ...] | bool = False,
        fair_by: tuple[str, ...] | bool = False,
    ) -> None:
        self._name = name
        self._signature = signature
        self._options = options
        self._clients = clients
        self._connection = connection
        self._unique = unique
        self._concurrency = concurrency
        self._fair_by = fair_by

    def __repr__(self) -> str:
        return f"<pgqueue task {self._name} with options>"

    def using(self, *, connection: object = None, **options: Unpack[JobWords]) -> "BoundTask[P]":
        """Give the same with more options; see `Task.using`."""
        made = self._alone(self._options.updated(**_set(options)) if options else self._options)
        if connection is not None:
            made._connection = check_connection(connection)
        return made

    def _alone(self, options: EnqueueOptions) -> "BoundTask[P]":
        """Give the same with other options in the place of its own."""
        return BoundTask(
            self._name,
            self._signature,
            options,
            self._clients,
            self._connection,
            self._unique,
            self._concurrency,
            self._fair_by,
        )

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec:
        """Make a job to be enqueued with others; see `Task.job`."""
        try:
            return self._spec(args, kwargs)
        except BadArgumentsError as error:
            # In a chain, a flow or as a callback it may get more.
            if not self._signature.fits_with_results(args, kwargs):
                raise
            spec = self._spec(args, kwargs, check=False)
            return replace(spec, complaint=str(error), is_unique=bool(self._unique))

    def map(
        self, items: Iterable[object], *, name: str | None = None, **words: Unpack[GroupWords]
    ) -> GroupHandle:
        """Enqueue a job for each item; see `Task.map`."""
        return enqueue_flow(self._clients(), self._flow(items, name, words), self._connection)

    async def amap(
        self, items: Iterable[object], *, name: str | None = None, **words: Unpack[GroupWords]
    ) -> GroupHandle:
        """Enqueue a job for each item; see `Task.map`."""
        flow = self._flow(items, name, words)
        return await aenqueue_flow(self._clients(), flow, self._connection)

    def _flow(self, items: Iterable[object], name: str | None, words: GroupWords) -> Flow:
        flow = Flow(name, **words)
        flow._may_be_empty = True
        for item in items:
            flow.add(self._spec(item if isinstance(item, tuple) else (item,), {}))
        return flow

    def as_callback(self) -> dict[str, Any]:
        """Give it in the form of `pgqueue.jobs.callbacks`."""
        return self.job().as_callback()  # type: ignore[call-arg]  # what ended is its argument

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job; see `Task.enqueue`."""
        return add(self._clients(), self._spec(args, kwargs), self._connection)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job from a coroutine; see `Task.enqueue`."""
        return await aadd(self._clients(), self._spec(args, kwargs), self._connection)

    def _spec(
        self, args: tuple[object, ...], kwargs: dict[str, object], *, check: bool = True
    ) -> JobSpec:
        unique, line = self._options.unique_key, self._options.concurrency_key
        turn = self._options.fair_key
        if check:
            full = (*self._results(), *args) if self._options.results else args
            self._signature.check(full, kwargs)
            if self._unique and unique is None:
                unique = key_of(self._name, self._signature.arguments(full, kwargs), self._unique)
            if self._concurrency or self._fair_by:
                line, turn = self._keys(full, kwargs)
        complain = partial(_complain, self._signature, args, kwargs)
        keys = (
            partial(self._late_keys, args, kwargs) if self._concurrency or self._fair_by else None
        )
        return spec_of(
            self._name, args, kwargs, self._options, unique, complain,
            concurrency_key=line, fair_key=turn, keys=keys,
        )  # fmt: skip

    def _keys(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[str | None, str | None]:
        """Give the concurrency key and the fair key of a call that fits."""
        line, turn = self._options.concurrency_key, self._options.fair_key
        if self._concurrency and line is None:
            line = key_of(self._name, self._signature.arguments(args, kwargs), self._concurrency)
        if self._fair_by and turn is None and line is None:
            turn = key_of("", self._signature.arguments(args, kwargs), self._fair_by)
        return line, turn

    def _late_keys(
        self, args: tuple[object, ...], kwargs: dict[str, object], results: int
    ) -> tuple[str | None, str | None]:
        """Give the keys of a call that is given so many more arguments when it starts."""
        return self._keys((*[UNKNOWN] * results, *args), kwargs)

    def _results(self) -> tuple[None, ...]:
        """Stand for the results of other jobs that come before the arguments."""
        return (None,) * (1 if self._options.results == "list" else len(self._options.after))


class Task(Generic[P, R]):
    """A function that can be enqueued; `@task` makes it.

    Calling it calls the function, here and now.

    Attributes:
        name: what its jobs say; `module.function` unless one was given.
        function: the function.
        options: what `@task(...)` said.
        signature: what a call must fit, without the Context.
        is_async: whether the function is a coroutine function.
    """

    # No __slots__: functools.update_wrapper() copies the function's own attributes.
    __name__: str

    def __init__(
        self,
        function: Callable[..., R],
        options: TaskOptions,
        name: str,
        clients: Callable[[], Clients],
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.function = function
        self.options = options
        if options.batch > 1:
            # Its function gets a list of jobs, which may have any arguments.
            self.signature = Signature(any_call, name=name)
        else:
            self.signature = Signature(function, context=options.context, name=name)
        self.is_async = inspect.iscoroutinefunction(function)
        # What the worker applies itself (timeout, max_attempts, backoff) is not sent: a change of
        # the code then holds for the jobs that wait already.
        self._bound: BoundTask[P] = BoundTask(
            name,
            self.signature,
            EnqueueOptions(
                queue=None if options.queue == DEFAULT_QUEUE else options.queue,
                priority=options.priority or None,
                expires=options.expires,
                unique_while=options.unique_while,
                unique_for=options.unique_for,
                on_duplicate=options.on_duplicate,
                on_success=options.on_success,
                on_failure=options.on_failure,
                on_finish=options.on_finish,
                max_running=options.max_running,
                rate=options.rate,
            ),
            clients,
            unique=_argument_names("unique", name, self.signature, options.unique),
            concurrency=_argument_names("concurrency", name, self.signature, options.concurrency),
            fair_by=_argument_names("fair_by", name, self.signature, options.fair_by),
        )
        if self.is_async:
            _mark_async(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pgqueue task {self.name}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job that calls the function with these arguments.

        Raises:
            BadArgumentsError: the function cannot be called so.
            NotSerializableError: an argument cannot be stored, by its JSON path.
            ConnectionLostError: pgqueue's own connection could not be opened, or broke; then
                nobody knows whether the job was stored.
            DuplicateJobError: another job has its unique key, and `on_duplicate` is `"error"`.
            QueueFullError: too many jobs wait in its queue.
            RefusedJobError: the server refused the job.
            SchemaError: pgqueue is not installed in the database, or an older one is.
        """
        return self._bound.enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job from a coroutine; see `enqueue`."""
        return await self._bound.aenqueue(*args, **kwargs)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec:
        """Make a job to be enqueued with others, by `enqueue_many()` or `copy_many()`.

        Raises:
            BadArgumentsError: the function cannot be called so.
            NotSerializableError: an argument cannot be stored, by its JSON path.
        """
        return self._bound.job(*args, **kwargs)

    def map(
        self, items: Iterable[object], *, name: str | None = None, **words: Unpack[GroupWords]
    ) -> GroupHandle:
        """Enqueue a job for each item, as one group, with one statement.

        Args:
            items: an argument each; a tuple is several of them.
            name: of the group.
            words: of the group, as of `pgqueue.group`.

        Returns:
            The group; its `results()` are in the order of the items. Of no items it has ended.

        Raises:
            PgQueueError: as in `enqueue`.
        """
        return self._bound.map(items, name=name, **words)

    async def amap(
        self, items: Iterable[object], *, name: str | None = None, **words: Unpack[GroupWords]
    ) -> GroupHandle:
        """Enqueue a job for each item; see `map`."""
        return await self._bound.amap(items, name=name, **words)

    def as_callback(self) -> dict[str, Any]:
        """Give it in the form of `pgqueue.jobs.callbacks`."""
        return self._bound.as_callback()

    def using(self, *, connection: object = None, **options: Unpack[JobWords]) -> BoundTask[P]:
        """Give the task with options for the jobs that are made from it.

        Args:
            connection: yours, in whose transaction the job is written: of psycopg or asyncpg, or a
                connection or session of SQLAlchemy. None for pgqueue's own.
            options: `queue`, `priority`, `run_at`, `expires` or `expires_at`, `timeout`,
                `max_attempts`, `meta`, `unique_key`, `unique_while`, `unique_for`, `on_duplicate`,
                `group`, `after`, `run_if`, `results`, `on_success`, `on_failure`, `on_finish`,
                `concurrency_key`, `max_running`, `rate`, `fair_key`; see `EnqueueOptions`.

        Raises:
            ConfigurationError: an option is wrong or not known, or the connection is.
            NotSerializableError: `meta` cannot be stored.
        """
        return self._bound.using(connection=connection, **options)


class ContextTask(Task[P, R]):
    """A task whose first parameter, the Context, is given by the worker."""

    def __call__(  # type: ignore[override]  # a direct call gives the Context itself
        self, context: Any, /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return self.function(context, *args, **kwargs)


def clients_of(task: Task[Any, Any]) -> Clients:
    """Give the clients of a task's app, over which its jobs are enqueued."""
    return task._bound._clients()


def job_of(
    task: Task[Any, Any],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    options: EnqueueOptions,
) -> JobSpec:
    """Make a job of a task with these options alone, and the keys that the task makes.

    Raises:
        PgQueueError: as `Task.job`.
    """
    return task._bound._alone(options)._spec(args, kwargs)


def _complain(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], results: int
) -> str:
    return signature.complaint(results, args, kwargs)


def _argument_names(
    option: str, task: str, signature: Signature, names: tuple[str, ...] | str | bool
) -> tuple[str, ...] | bool:
    for name in names if isinstance(names, tuple) else ():
        if not signature.accepts(name):
            raise ConfigurationError(
                f"{option} must name arguments of {task}(); it has none named {shown(name)}"
            )
    return names if isinstance(names, tuple) else bool(names)


def _set(options: JobWords) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _mark_async(task: Task[Any, Any]) -> None:
    # So that inspect.iscoroutinefunction() says of the task what it says of the function. Python
    # 3.11 has no public way to.
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(task)
