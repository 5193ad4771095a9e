"""A task: a function that can be enqueued. Calling it still calls the function."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, ParamSpec, TypedDict, TypeVar, Unpack

import orjson

from pgqueue.api.clients import Clients
from pgqueue.api.handles import JobHandle
from pgqueue.core import codec, tagged
from pgqueue.core.backoff import Backoff
from pgqueue.core.binding import Signature
from pgqueue.core.errors import NotSerializableError
from pgqueue.core.offsets import Duration, When
from pgqueue.core.options import DEFAULT_QUEUE, EnqueueOptions, TaskOptions
from pgqueue.core.schedule import Recurrence
from pgqueue.db.callers import check_connection
from pgqueue.db.statements.adding import JobSpec

_OBJECT: Final = f'"{tagged.TAG}":"{tagged.OBJECT_TAG}"'.encode()
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')

P = ParamSpec("P")
R = TypeVar("R")


class TaskWords(TypedDict, total=False):
    """The options of `@task(...)`; see `TaskOptions`."""

    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff | Duration
    timeout: Duration | None
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    give_up_on: type[BaseException] | tuple[type[BaseException], ...]
    expires: Duration | None
    atomic: bool
    name: str | None
    aliases: tuple[str, ...]
    schedule: Recurrence | Sequence[Recurrence]


class JobWords(TypedDict, total=False):
    """The options of one job; see `EnqueueOptions`."""

    queue: str | None
    priority: int | None
    run_at: When | None
    expires_at: object
    expires: Duration | None
    timeout: Duration | None
    max_attempts: int | None
    meta: dict[str, Any] | None


class BoundTask(Generic[P]):
    """A task with options and a connection for the jobs that are made from it.

    `Task.using` makes it; it may be kept and used many times.
    """

    __slots__ = ("_clients", "_connection", "_name", "_options", "_signature")

    def __init__(
        self,
        name: str,
        signature: Signature,
        options: EnqueueOptions,
        clients: Callable[[], Clients],
        connection: object = None,
    ) -> None:
        self._name = name
        self._signature = signature
        self._options = options
        self._clients = clients
        self._connection = connection

    def __repr__(self) -> str:
        return f"<pgqueue task {self._name} with options>"

    def using(self, *, connection: object = None, **options: Unpack[JobWords]) -> "BoundTask[P]":
        """Give the same with more options; see `Task.using`."""
        return BoundTask(
            self._name,
            self._signature,
            self._options.updated(**_set(options)) if options else self._options,
            self._clients,
            self._connection if connection is None else check_connection(connection),
        )

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec:
        """Make a job to be enqueued with others; see `Task.job`."""
        return self._spec(args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job; see `Task.enqueue`."""
        spec = self._spec(args, kwargs)
        clients = self._clients()
        return JobHandle(clients.sync.enqueue(spec, self._connection), self._name, clients)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        """Enqueue a job from a coroutine; see `Task.enqueue`."""
        spec = self._spec(args, kwargs)
        clients = self._clients()
        job_id = await clients.asynchronous.enqueue(spec, self._connection)
        return JobHandle(job_id, self._name, clients)

    def _spec(self, args: tuple[object, ...], kwargs: dict[str, object]) -> JobSpec:
        self._signature.check(args, kwargs)
        return spec_of(self._name, args, kwargs, self._options)


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
            ),
            clients,
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

    def using(self, *, connection: object = None, **options: Unpack[JobWords]) -> BoundTask[P]:
        """Give the task with options for the jobs that are made from it.

        Args:
            connection: yours, in whose transaction the job is written: of psycopg or asyncpg, or a
                connection or session of SQLAlchemy. None for pgqueue's own.
            options: `queue`, `priority`, `run_at`, `expires` or `expires_at`, `timeout`,
                `max_attempts`, `meta`; see `EnqueueOptions`.

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


def spec_of(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], options: EnqueueOptions
) -> JobSpec:
    """Encode the arguments of a job.

    Raises:
        NotSerializableError: one of them cannot be stored, or all together are too large.
    """
    positional = codec.dumps(list(args), path="$.args") if args else b"[]"
    named = codec.dumps(kwargs, path="$.kwargs") if kwargs else b"{}"
    if _OBJECT in positional or _OBJECT in named:
        options = _with_objects(options, positional, named)
    meta = b"" if options.meta is None else codec.dumps(options.meta, path="$.meta", name="meta")
    if len(positional) + len(named) + len(meta) > codec.MAX_BYTES // 2:
        _check_size(positional, named, meta)
    return JobSpec(task=name, args=positional.decode(), kwargs=named.decode(), options=options)


def _with_objects(options: EnqueueOptions, *parts: bytes) -> EnqueueOptions:
    """Note in the job's meta which rows it was given: an index finds it there."""
    names = tagged.object_names([orjson.loads(part) for part in parts])
    return options.updated(meta={**(options.meta or {}), tagged.OBJECTS: names})


def _check_size(*parts: bytes) -> None:
    """Refuse here what the server would: there it would spoil the caller's transaction.

    The server counts JSON as it writes it, with a space behind each comma and colon.
    """
    size = 0
    for part in parts:
        bare = _STRING.sub(b"", part)
        size += len(part) + bare.count(b",") + bare.count(b":")
    if size > codec.MAX_BYTES:
        raise NotSerializableError(
            f"arguments and meta must be at most {codec.MAX_BYTES} bytes of JSON together, written "
            f"with a space behind each comma and colon; got {size}; store the data elsewhere and "
            "pass its id"
        )


def _set(options: JobWords) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _mark_async(task: Task[Any, Any]) -> None:
    # So that inspect.iscoroutinefunction() says of the task what it says of the function. Python
    # 3.11 has no public way to.
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(task)
