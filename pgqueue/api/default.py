"""The default app, and the functions that use it: what `import pgqueue` is mostly for."""

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar, Unpack, overload

from pgqueue.api.app import PgQueue, decorate
from pgqueue.api.clients import Clients
from pgqueue.api.handles import JobHandle
from pgqueue.api.queues import Queues
from pgqueue.api.schedules import Schedule, Schedules, Target
from pgqueue.api.task import ContextTask, Task, TaskWords
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.db.statements.adding import JobSpec

P = ParamSpec("P")
R = TypeVar("R")

_apps: list[PgQueue] = []


def default_app() -> PgQueue:
    """Give the app that tasks made by `pgqueue.task` belong to.

    It goes where PGQUEUE_DSN or libpq's own variables say, unless `set_default_app` was called.
    """
    if not _apps:
        _apps.append(PgQueue())
    return _apps[-1]


def set_default_app(app: PgQueue) -> None:
    """Let tasks made by `pgqueue.task`, before or after this, belong to another app.

    Raises:
        ConfigurationError: it is no app.
    """
    if not isinstance(app, PgQueue):
        raise ConfigurationError(f"the default app must be a PgQueue; got {shown(app)}")
    _apps[:] = [app]


def _clients() -> Clients:
    return default_app().clients


#: The queues of the default app.
queues: Final = Queues(_clients)
#: The schedules of the default app.
schedules: Final = Schedules(_clients)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *, context: Literal[True], **options: Unpack[TaskWords]
) -> Callable[[Callable[Concatenate[Any, P], R]], ContextTask[P, R]]: ...
@overload
def task(
    *, context: Literal[False] = False, **options: Unpack[TaskWords]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, *, context: bool = False, **options: Any) -> Any:
    """Make a function a task, which can be enqueued; calling it still calls the function.

    Used bare, `@task`, or with options, `@task(queue="mail", max_attempts=5)`.

    Args:
        function: the function, which may be a coroutine function.
        context: whether the worker gives the function the Context as its first parameter.
        options: `queue`, `priority`, `max_attempts`, `backoff`, `timeout`, `retry_on`,
            `give_up_on`, `expires`, `atomic`, `name`, `aliases`, `schedule`; see `TaskOptions`.

    Raises:
        ConfigurationError: an option is wrong, or a worker could not find or call the function.
        TaskAlreadyRegisteredError: the name is another function's.
    """
    return decorate(_clients, function, {"context": context, **options})


def enqueue_many(jobs: Iterable[JobSpec], *, connection: object = None) -> list[JobHandle]:
    """Enqueue many jobs with one statement; see `PgQueue.enqueue_many`."""
    return default_app().enqueue_many(jobs, connection=connection)


async def aenqueue_many(jobs: Iterable[JobSpec], *, connection: object = None) -> list[JobHandle]:
    """Enqueue many jobs with one statement; see `PgQueue.enqueue_many`."""
    return await default_app().aenqueue_many(jobs, connection=connection)


def copy_many(jobs: Iterable[JobSpec], *, connection: object = None) -> int:
    """Enqueue many jobs by COPY, without handles; see `PgQueue.copy_many`."""
    return default_app().copy_many(jobs, connection=connection)


async def acopy_many(jobs: Iterable[JobSpec], *, connection: object = None) -> int:
    """Enqueue many jobs by COPY, without handles; see `PgQueue.copy_many`."""
    return await default_app().acopy_many(jobs, connection=connection)


def schedule(task: Target, /, *args: Any, connection: object = None, **words: Any) -> Schedule:
    """Make a schedule, or change the one of this name; see `PgQueue.schedule`."""
    return default_app().schedule(task, *args, connection=connection, **words)


async def aschedule(
    task: Target, /, *args: Any, connection: object = None, **words: Any
) -> Schedule:
    """Make a schedule, or change the one of this name; see `PgQueue.schedule`."""
    return await default_app().aschedule(task, *args, connection=connection, **words)
