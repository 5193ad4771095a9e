"""The backend of Django's Tasks framework: `TASKS["default"]["BACKEND"]` names it.

A job is written over Django's own connection, in whatever transaction that is in, by one query.
"""

import builtins
import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connections
from django.utils import timezone

from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.task import job_of
from pgqueue.core.errors import PgQueueError, TaskNotFoundError, shown, suggest
from pgqueue.core.job import FailedAttempt, Job
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.core.states import FINAL, JobState
from pgqueue.db.statements.adding import JobSpec
from pgqueue.django import conf, task_api
from pgqueue.django.adapter import SOMEBODY, Adapted, ResultNotJson, adapt
from pgqueue.django.pgtask import JOB_WORDS, TASK_WORDS, PgTask, said, task

__all__ = ["PgQueueBackend", "PgTask", "task"]

_Status = task_api.TaskResultStatus
#: Options of a task that are written down with each job; others of them the worker reads in the
#: code.
_SENT: Final = tuple(
    name for name in JOB_WORDS if name in TASK_WORDS and name not in ("timeout", "max_attempts")
)
_STATUS: Final = {
    JobState.RUNNING: _Status.RUNNING,
    JobState.SUCCEEDED: _Status.SUCCESSFUL,
    **dict.fromkeys(FINAL - {JobState.SUCCEEDED}, _Status.FAILED),
}
#: Words for what happened to an attempt, and errors of ours, as exceptions.
_KINDS: Final = {
    f"{ResultNotJson.__module__}.{ResultNotJson.__qualname__}": "builtins.TypeError",
    "JobTimeout": "pgqueue.JobTimeout",
    "ArgumentGone": "pgqueue.ArgumentGoneError",
    "BadArguments": "pgqueue.BadArgumentsError",
    "ResultNotSerializable": "pgqueue.NotSerializableError",
    "LeaseLost": "pgqueue.LeaseLostError",
    "Retry": "pgqueue.Retry",
}


class PgQueueBackend(task_api.BaseTaskBackend):
    """Django's tasks as jobs of the queue.

    OPTIONS may name the `database` (an alias; the default is that of PGQUEUE), and `max_attempts`,
    `backoff`, `timeout` and other options of `@pgqueue.task` for tasks that do not say.
    """

    task_class = PgTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:
        """Pass when a task can be a job.

        Raises:
            InvalidTask: it cannot.
        """
        if isinstance(task.run_after, dt.timedelta):
            # Django knows a time only; its rules are for the rest.
            replace(task, run_after=None)
        else:
            super().validate_task(task)
        adapted = adapt(task, self._defaults())
        if adapted.options.atomic and adapted.is_async:
            raise task_api.InvalidTask(
                "an atomic task must be a plain function; Django's transactions are for sync code"
            )

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Write a job, by one query over Django's connection.

        Of a duplicate, for which nothing is written, the result is that of the job that has its
        unique key, read by another query.

        Raises:
            InvalidTask: the task cannot be a job.
            TypeError: the arguments are not JSON, or do not fit the function; no query was made.
            DuplicateJobError: another job has its unique key, and `on_duplicate` is `"error"`.
            QueueFullError: too many jobs wait in its queue.
        """
        self.validate_task(task)
        result = self._result(task, args, kwargs)
        found, at = default_app().clients.sync.enqueue_dated(
            self._spec(task, result.args, result.kwargs), self._connection()
        )
        object.__setattr__(result, "id", str(found.id))
        object.__setattr__(result, "enqueued_at", _moment(at))
        if found.duplicate:
            # Nothing was enqueued; the job that has the key may be on its way.
            with contextlib.suppress(task_api.TaskResultDoesNotExist):
                result = self.get_result(found.id)
            return result
        task_api.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: Any) -> Any:
        """Read a job, by one query.

        Raises:
            TaskResultDoesNotExist: there is no such job, or it is not of Django's tasks.
        """
        number = str(result_id)
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise task_api.TaskResultDoesNotExist(result_id)
        found = default_app().clients.sync.get_history(int(number), self._connection())
        declared = None if found is None else _declared(found[0].task)
        if found is None or declared is None:
            raise task_api.TaskResultDoesNotExist(result_id)
        return self._stored(declared, *found)

    def check(self, **kwargs: Any) -> Iterator[checks.CheckMessage]:
        """Check OPTIONS; connects to nothing."""
        if not apps.is_installed("pgqueue.django"):
            yield checks.Error(
                f"the backend {shown(self.alias)} of TASKS needs the app of the queue",
                hint='Add "pgqueue.django" to INSTALLED_APPS.',
                id="pgqueue.E007",
            )
        known = ("database", *TASK_WORDS)
        for name in self.options:
            if name not in known:
                yield checks.Error(
                    f"the backend {shown(self.alias)} of TASKS has no option {shown(name)}"
                    f"{suggest(str(name), known)}",
                    hint=f"Its OPTIONS are {', '.join(known)}.",
                    id="pgqueue.E008",
                )
        try:
            TaskOptions.from_kwargs(**self._defaults())
        except PgQueueError as error:
            yield checks.Error(
                f"the backend {shown(self.alias)} of TASKS: {error}",
                hint="Its OPTIONS are those of @pgqueue.task.",
                id="pgqueue.E009",
            )
        alias = self.options.get("database")
        if alias is not None and alias != conf.database():
            yield checks.Warning(
                f"the backend {shown(self.alias)} of TASKS writes jobs to the database "
                f"{shown(alias)}, and workers of this project take them from "
                f"{shown(conf.database())}",
                hint="Leave the option database out, and set PGQUEUE['DATABASE'].",
                id="pgqueue.W003",
            )

    def _defaults(self) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name in TASK_WORDS}

    def _connection(self) -> Any:
        alias = self.options.get("database")
        return None if alias is None else connections[alias]

    def _spec(self, task: Any, args: list[Any], kwargs: dict[str, Any]) -> JobSpec:
        adapted = adapt(task, self._defaults())
        try:
            # One with a time is of one job.
            options = (_kept_options if task.run_after is None else _options)(adapted, task)
        except TypeError:  # it has no hash, as with meta or a list of exceptions
            options = _options(adapted, task)
        return job_of(adapted, tuple(args), kwargs, options)

    def _result(self, task: Any, args: Any, kwargs: Any, **values: Any) -> Any:
        blank = {
            "id": "",
            "status": _Status.READY,
            "enqueued_at": None,
            "started_at": None,
            "finished_at": None,
            "last_attempted_at": None,
            "errors": [],
            "worker_ids": [],
        }
        return task_api.TaskResult(
            task=task,
            args=task_api.without_enums(args),
            kwargs=task_api.without_enums(kwargs),
            backend=self.alias,
            **{**blank, **values},
        )

    def _stored(self, declared: Any, job: Job, failed: list[FailedAttempt]) -> Any:
        status = _STATUS.get(job.state, _Status.READY)
        times = [attempt.at for attempt in failed]
        last = job.started_at or (times[-1] if times else None)
        workers = [SOMEBODY] * job.attempt
        if workers and job.worker_id is not None:
            workers[-1] = str(job.worker_id)
        result = self._result(
            self._task(declared, job),
            list(job.args),
            job.kwargs,
            id=str(job.id),
            status=status,
            enqueued_at=_moment(job.created_at),
            # Of the first attempt only its end is kept, where there were more.
            started_at=_moment(min([*times, last]) if last is not None else None),
            finished_at=_moment(job.finished_at),
            last_attempted_at=_moment(last),
            errors=_errors(job, failed, status),
            worker_ids=workers,
        )
        object.__setattr__(result, "_return_value", job.result)
        return result

    def _task(self, declared: Any, job: Job) -> Any:
        """Give the task with what this job was enqueued with."""
        waits_again = job.state is JobState.SCHEDULED and job.reason != "delayed"
        try:
            return replace(
                declared,
                backend=self.alias,
                queue_name=job.queue,
                priority=job.priority,
                run_after=None if waits_again else _moment(job.run_at),
            )
        except task_api.InvalidTask:
            # Enqueued with other settings than there are now.
            return declared


def _options(adapted: Adapted, task: Any) -> EnqueueOptions:
    """Give what the row of a job says beyond its arguments."""
    same = said(adapted.declared, TASK_WORDS)
    words = {
        # What the worker reads in the code is not sent: a change holds for jobs that wait.
        name: value
        for name, value in said(task, JOB_WORDS).items()
        if name not in same or same[name] is not value or name in _SENT
    }
    for name in _SENT:
        words.setdefault(name, getattr(adapted.options, name))
    if "expires_at" in words:
        words.pop("expires")
    return EnqueueOptions.from_kwargs(
        queue=task.queue_name,
        priority=int(task.priority) or None,
        run_at=_aware(task.run_after),
        **words,
    )


_kept_options = lru_cache(maxsize=512)(_options)


def _declared(name: str) -> Any:
    try:
        found = registry.get(name)
    except TaskNotFoundError:
        return None
    return found.declared if isinstance(found, Adapted) else None


def _errors(job: Job, failed: list[FailedAttempt], status: Any) -> list[Any]:
    errors = [
        task_api.TaskError(
            exception_class_path=_class_path(attempt.kind),
            # Ended as Python ends it.
            traceback=(attempt.traceback or f"{attempt.kind}: {attempt.message}").rstrip() + "\n",
        )
        for attempt in failed
    ]
    if status == _Status.FAILED and (not errors or job.state is not JobState.FAILED):
        cancelled = job.state is JobState.CANCELLED
        errors.append(
            task_api.TaskError(
                exception_class_path="pgqueue.Cancel" if cancelled else "pgqueue.PgQueueError",
                traceback=job.error or str(job.state),
            )
        )
    return errors


def _class_path(kind: str) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    if "." in kind:
        return kind
    # A class of Python's own; or a word for what became of the process.
    is_class = isinstance(getattr(builtins, kind, None), type)
    return f"builtins.{kind}" if is_class else "pgqueue.PgQueueError"


def _aware(when: dt.datetime | dt.timedelta | None) -> dt.datetime | dt.timedelta | None:
    if isinstance(when, dt.datetime) and timezone.is_naive(when):
        aware: dt.datetime = timezone.make_aware(when, timezone.get_default_timezone())
        return aware
    return when


def _moment(when: dt.datetime | None) -> dt.datetime | None:
    """Give a time as the project has them: without USE_TZ, naive and local."""
    if when is None or settings.USE_TZ:
        return when
    naive: dt.datetime = timezone.make_naive(when, timezone.get_default_timezone())
    return naive
