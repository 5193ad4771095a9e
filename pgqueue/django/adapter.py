"""A task of Django's framework as the worker runs it: with its context, its signals, its errors."""

import inspect
from traceback import format_exception
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.task import Task
from pgqueue.core.context import Context
from pgqueue.core.options import TaskOptions
from pgqueue.core.outcome import Cancel, Retry, Snooze, TaskControl
from pgqueue.django import task_api
from pgqueue.django.contexts import PgTaskContext
from pgqueue.django.pgtask import said_of_task

_Status = task_api.TaskResultStatus
#: Attempts are counted by the workers that made them, of which only the last is known.
SOMEBODY = "unknown"


class ResultNotJson(TypeError):
    """Say that what a task returned is not JSON; not tried again, it has had its effects."""


class Adapted(Task[..., Any]):
    """One of Django's tasks in our registry.

    Attributes:
        declared: as it stands in its module.
    """

    def __init__(self, declared: Any, defaults: dict[str, Any]) -> None:
        words = {**defaults, **said_of_task(declared)}
        give_up_on = words.pop("give_up_on", ())
        several = give_up_on if isinstance(give_up_on, tuple | list) else (give_up_on,)
        options = TaskOptions.from_kwargs(
            **words,
            queue=declared.queue_name,
            priority=int(declared.priority),
            context=True,
            give_up_on=(*several, ResultNotJson),
        )
        self.declared = declared
        super().__init__(_runner(self), options, declared.module_path, _clients)


def adapt(declared: Any, defaults: dict[str, Any]) -> Adapted:
    """Give one of Django's tasks as ours, registered when its function is first seen.

    Args:
        declared: the task; later ones of the same function are taken for its `using()`.
        defaults: options for a task that does not say.
    """
    name = declared.module_path
    found = registry.get(name) if name in registry else None
    if isinstance(found, Adapted) and found.declared.func is declared.func:
        return found
    made = Adapted(declared, defaults)
    registry.add(made)
    return made


def _clients() -> Any:
    return default_app().clients


def _runner(adapted: Adapted) -> Any:
    """Make the function that the worker calls with its own context."""
    function = adapted.declared.func

    def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        attempt = _Attempt(adapted, context, args, kwargs)
        first = (attempt.context(attempt.read()),) if attempt.wants else ()
        attempt.begin()
        task_api.task_started.send_robust(attempt.sender, task_result=attempt.result)
        try:
            value = attempt.normal(function(*first, *args, **kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if attempt.fail(error):
                task_api.task_finished.send_robust(attempt.sender, task_result=attempt.result)
            raise
        attempt.succeed(value)
        task_api.task_finished.send_robust(attempt.sender, task_result=attempt.result)
        return value

    async def arun(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        attempt = _Attempt(adapted, context, args, kwargs)
        first: tuple[Any, ...] = ()
        if attempt.wants:
            result = await sync_to_async(attempt.read, thread_sensitive=True)()
            first = (attempt.context(result),)
        attempt.begin()
        await task_api.task_started.asend_robust(attempt.sender, task_result=attempt.result)
        try:
            value = attempt.normal(await function(*first, *args, **kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if attempt.fail(error):
                await task_api.task_finished.asend_robust(
                    attempt.sender, task_result=attempt.result
                )
            raise
        attempt.succeed(value)
        await task_api.task_finished.asend_robust(attempt.sender, task_result=attempt.result)
        return value

    made: Any = arun if inspect.iscoroutinefunction(function) else run
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(function, name))
    made.__signature__ = _signature(function, adapted.declared.takes_context)
    return made


def _signature(function: Any, takes_context: bool) -> inspect.Signature:
    """Give the signature with our context in front, in the place of Django's."""
    own = inspect.Parameter("pgqueue_context", inspect.Parameter.POSITIONAL_ONLY)
    parameters = list(inspect.signature(function).parameters.values())
    return inspect.Signature([own, *parameters[bool(takes_context) :]])


class _Attempt:
    """One run of a task, and its result as receivers of signals see it."""

    def __init__(
        self, adapted: Adapted, context: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._adapted = adapted
        self._context = context
        declared = adapted.declared
        self.backend = task_api.backends()[declared.backend]
        self.sender = type(self.backend)
        self.wants = bool(declared.takes_context)
        self.result = task_api.TaskResult(
            task=declared,
            id=str(context.job_id),
            status=_Status.RUNNING,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=declared.backend,
            errors=[],
            worker_ids=[],
        )

    def read(self) -> Any:
        """Read what is known of the job: one query, for a task that takes its context."""
        self.result = self.backend.get_result(self.result.id)
        return self.result

    def context(self, result: Any) -> Any:
        """Make what the task gets as its first argument."""
        return PgTaskContext(task_result=result, job=self._context)

    def begin(self) -> None:
        """Note that it runs, whatever was read."""
        now = timezone.now()
        attempts = [SOMEBODY] * (self._context.attempt - len(self.result.worker_ids))
        self.set(
            status=_Status.RUNNING,
            started_at=self.result.started_at or now,
            last_attempted_at=now,
            worker_ids=[*attempts, *self.result.worker_ids],
        )

    def normal(self, value: Any) -> Any:
        """Give what the task returned as plain JSON."""
        try:
            return task_api.normal(value)
        except (TypeError, ValueError) as error:
            raise ResultNotJson(f"what the task returned cannot be stored: {error}") from error

    def succeed(self, value: Any) -> None:
        """Note that it has returned."""
        self.set(status=_Status.SUCCESSFUL, finished_at=timezone.now(), _return_value=value)

    def fail(self, error: BaseException) -> bool:
        """Note that it has raised; gives whether that was its last attempt."""
        ends = self._ends(error)
        if not isinstance(error, TaskControl):
            kind = TypeError if isinstance(error, ResultNotJson) else type(error)
            self.result.errors.append(
                task_api.TaskError(
                    exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
                    traceback="".join(format_exception(error)),
                )
            )
        if ends:
            self.set(status=_Status.FAILED, finished_at=timezone.now())
        else:
            self.set(status=_Status.READY)
        return ends

    def set(self, **values: Any) -> None:
        """Set what is frozen."""
        for name, value in values.items():
            object.__setattr__(self.result, name, value)

    def _ends(self, error: BaseException) -> bool:
        context = self._context
        if isinstance(error, Cancel) or context.cancelled:
            return True
        if isinstance(error, Snooze):
            return False
        is_last = context.attempt - context.lost >= context.max_attempts
        return is_last or not (isinstance(error, Retry) or self._adapted.options.retries(error))
