"""The default app, and the functions that use it: what `import pgqueue` is mostly for."""

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar, Unpack, overload

from pgqueue.api.app import PgQueue
from pgqueue.api.clients import Clients
from pgqueue.api.decorating import decorate
from pgqueue.api.flows import Flow, chained, use_default
from pgqueue.api.groups import GroupHandle, GroupWords
from pgqueue.api.handles import JobHandle
from pgqueue.api.queues import Queues
from pgqueue.api.schedule_jobs import Target
from pgqueue.api.schedules import Schedule, Schedules
from pgqueue.api.task import ContextTask, Task
from pgqueue.api.words import TaskWords
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


use_default(_clients)

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
        options: `queue`, `priority`, `priority_step`, `max_attempts`, `backoff`, `timeout`,
            `retry_on`, `give_up_on`, `expires`, `atomic`, `unique`, `unique_while`, `unique_for`,
            `on_duplicate`, `concurrency`, `max_running`, `rate`, `fair_by`, `on_success`,
            `on_failure`, `on_finish`, `batch`, `batch_wait`, `name`, `aliases`, `schedule`; see
            `TaskOptions`.

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


def group(
    name: str | None = None,
    *,
    parent: object = None,
    connection: object = None,
    **words: Unpack[GroupWords],
) -> GroupHandle:
    """Make a group of jobs: `with pgqueue.group("import") as g: load.using(group=g).enqueue(1)`.

    It is open until `close()`, or the end of the `with`.

    Args:
        name: for people; need not be the only one of that name.
        parent: a group, or its id, that this one is a member of, where it counts as one.
        connection: yours, as in `Task.using`.
        words: `on_success`, `on_failure`, `on_finish`: a task, a job of one, or a task's name, to
            enqueue when the group ends with all its jobs succeeded; with one failed or expired;
            however it ends. And `meta`, a JSON object.

    Raises:
        ConfigurationError: a word is wrong.
        RefusedJobError: the server refused it, as a parent that has ended.
    """
    return default_app().group(name, parent=parent, connection=connection, **words)


async def agroup(
    name: str | None = None,
    *,
    parent: object = None,
    connection: object = None,
    **words: Unpack[GroupWords],
) -> GroupHandle:
    """Make a group of jobs; see `group`."""
    return await default_app().agroup(name, parent=parent, connection=connection, **words)


def chain(*jobs: JobSpec, name: str | None = None, **words: Unpack[GroupWords]) -> Flow:
    """Make a flow in which each job runs after the one before, and is given its result.

    Args:
        jobs: what `task.job(…)` made; the result of the one before is the first argument, where the
            task can be called so, and may be left out.
        name: of the flow, for people.
        words: as of `Flow`.

    Raises:
        BadArgumentsError: a task cannot be called so.
        ConfigurationError: a word is wrong.
    """
    return chained(jobs, name, words)
