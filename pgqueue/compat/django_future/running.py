"""How a job is run: what its callable is, what it gets, and what is kept of what it returns."""

import contextlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, transaction

from pgqueue.compat import paths, pickles, serving
from pgqueue.compat.django_future import conf
from pgqueue.core.context import Context
from pgqueue.core.describe import storable
from pgqueue.core.errors import shown
from pgqueue.django import conf as queue

#: Characters of a return value that are kept.
_LONGEST: Final = 200_000


def run(context: Context, /, *args: Any, **kwargs: Any) -> str | None:
    """Run a job that a worker has taken; what `serving` calls.

    Returns:
        What is kept as its return value.
    """
    with _transaction():
        value = call(
            _job_of(context),
            pickles.unpack(list(args), task=context.task, queue=conf.QUEUE),
            pickles.unpack(kwargs, task=context.task, queue=conf.QUEUE),
        )
    return None if value is None else storable(str(value), _LONGEST)


def call(job: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call what a job names, in this process.

    Args:
        job: a ScheduledJob.

    Returns:
        What it returned.

    Raises:
        PathNotAllowedError: it may not be run.
        Exception: what it raised.
    """
    function = find(job)
    first: list[Any] = []
    if getattr(function, "job_as_parameter", False):
        first.append(job)
    if "." in job.callable_name and (found := job.content_object) is not None:
        first.append(found)
    value = function(*first, *args, **kwargs)
    return async_to_sync(_result)(value) if inspect.isawaitable(value) else value


def find(job: Any) -> Callable[..., Any]:
    """Give what a job names: a function, or without a dot a method of its object.

    Raises:
        PathNotAllowedError: it may not be run.
        PathNotFoundError: there is no such function.
        AttributeError: the object has no such method, or there is no object.
    """
    name = job.callable_name
    if "." in name:
        return paths.resolve(name)
    _check_method(name)
    found = job.content_object
    if found is not None and hasattr(type(found), name):
        paths.resolve(_path(type(found), name))
        method: Callable[..., Any] = getattr(found, name)
        return method
    if callable(getattr(found, name)):
        raise paths.PathNotAllowedError(
            f"{shown(name)} may not be run by a job: it is not of the class of the content object"
        )
    raise TypeError(f"{shown(name)} of the content object is no method")


def check(name: str, model: type | None = None) -> None:
    """Pass where a job may name this.

    Args:
        model: the class of the content object; None for none.

    Raises:
        PathNotAllowedError: it may not.
    """
    if "." in name:
        paths.check(name)
        return
    _check_method(name)
    if model is not None:
        paths.check(_path(model, name))


def _path(model: type, name: str) -> str:
    """Give the path of a method, by which it is allowed or not: Django's own are not."""
    return f"{model.__module__}.{model.__qualname__}.{name}"


def _check_method(name: str) -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise paths.PathNotAllowedError(
            f"{shown(name)} may not be run by a job: a name without a dot is that of a method of "
            "the content object, and does not begin with an underscore; give a path such as "
            "'shop.tasks.send' for a function"
        )


def _transaction() -> AbstractContextManager[Any]:
    """Begin a transaction of the application's, where the job's own is in another database."""
    if queue.database() == DEFAULT_DB_ALIAS:
        return contextlib.nullcontext()
    made: AbstractContextManager[Any] = transaction.atomic()
    return made


def _job_of(context: Context) -> Any:
    model = apps.get_model("django_future", "ScheduledJob")
    found = model.objects.filter(pk=context.job_id).first()
    if found is not None:
        return found
    # Enqueued without this facade, as by SQL.
    return model(id=context.job_id, callable_name=serving.path_in(context.task), status="running")


async def _result(value: Any) -> Any:
    return await value
