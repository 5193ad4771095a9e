"""Look at what was enqueued."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pgqueue.api.app import PgQueue
from pgqueue.api.default import default_app
from pgqueue.api.framework import current
from pgqueue.core.errors import ArgumentGoneError
from pgqueue.core.job import Job
from pgqueue.core.states import JobState

_MOST: Final = 10_000


def enqueued(
    task: object = None,
    *,
    args: Sequence[object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    queue: str | None = None,
    state: JobState | str | None = None,
    app: PgQueue | None = None,
) -> list[Job]:
    """Read the jobs that were enqueued, the first one first, whatever became of them.

    Args:
        task: only those of this task, or of the one of this name.
        args: only those with these positional arguments; in Django, model instances are equal to
            what stands for them.
        kwargs: only those with these keyword arguments.
        queue: only those of this queue.
        state: only those that stand there.
        app: whose jobs; None for the default app's.
    """
    found = (app or default_app()).jobs(
        task=None if task is None else name_of(task), queue=queue, state=state, limit=_MOST
    )
    return [job for job in reversed(found) if _fits(job, args, kwargs)]


def assert_enqueued(
    task: object,
    *,
    args: Sequence[object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    queue: str | None = None,
    state: JobState | str | None = None,
    count: int | None = None,
    app: PgQueue | None = None,
) -> Job:
    """Pass when there is such a job; gives the last of them.

    Args:
        task: the task, or its name.
        args: its positional arguments; None for any.
        kwargs: its keyword arguments; None for any.
        queue: its queue; None for any.
        state: where it stands; None for anywhere.
        count: how many there must be; None for any number but zero.
        app: whose jobs; None for the default app's.

    Raises:
        AssertionError: there is none, or another number of them.
    """
    found = enqueued(task, args=args, kwargs=kwargs, queue=queue, state=state, app=app)
    if found and count in (None, len(found)):
        return found[-1]
    others = enqueued(app=app)
    of_task = sum(1 for job in others if job.task == name_of(task))
    names = ", ".join(dict.fromkeys(job.task for job in others)) or "none"
    raise AssertionError(
        f"expected {'a job' if count is None else f'{count} jobs'} of {name_of(task)} with what "
        f"was asked for; found {len(found)}, and {of_task} of that task in all; tasks with jobs: "
        f"{names}"
    )


def assert_not_enqueued(
    task: object,
    *,
    args: Sequence[object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    queue: str | None = None,
    app: PgQueue | None = None,
) -> None:
    """Pass when there is no such job; see `assert_enqueued`.

    Raises:
        AssertionError: there is one.
    """
    found = enqueued(task, args=args, kwargs=kwargs, queue=queue, app=app)
    if found:
        raise AssertionError(
            f"expected no job of {name_of(task)} with what was asked for; found {len(found)}"
        )


def name_of(task: object) -> str:
    """Give the name of a task, of Django's framework too, or of one that is named."""
    if isinstance(task, str):
        return task
    return str(getattr(task, "module_path", None) or getattr(task, "name", task))


def _fits(job: Job, args: Sequence[object] | None, kwargs: Mapping[str, object] | None) -> bool:
    if args is None and kwargs is None:
        return True
    own_args: list[Any] = list(job.args)
    own_kwargs = job.kwargs
    framework = current()
    if framework is not None:
        try:
            own_args, own_kwargs = framework.fill(own_args, own_kwargs)
        except ArgumentGoneError:
            return False
    return (args is None or list(args) == own_args) and (
        kwargs is None or dict(kwargs) == own_kwargs
    )
