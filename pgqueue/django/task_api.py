"""Django's Tasks framework: Django's own from 6.0 on, else the backport `django-tasks`.

Every name that differs between them is settled here.
"""

import enum
import importlib
from typing import Any, Final

import django
from django.core.exceptions import ImproperlyConfigured

_ROOT: Final = "django.tasks" if django.VERSION >= (6,) else "django_tasks"


def _module(name: str = "") -> Any:
    try:
        return importlib.import_module(f"{_ROOT}{name}")
    except ImportError as error:
        raise ImproperlyConfigured(
            "Django before 6.0 has no Tasks framework; install its backport: pip install "
            '"pgqueue[django-tasks]", and add "django_tasks" to INSTALLED_APPS'
        ) from error


_base: Any = _module(".base")
_errors: Any = _module(".exceptions")
_signals: Any = _module(".signals")

Task: Any = _base.Task
TaskContext: Any = _base.TaskContext
TaskError: Any = _base.TaskError
TaskResult: Any = _base.TaskResult
TaskResultStatus: Any = _base.TaskResultStatus
BaseTaskBackend: Any = _module(".backends.base").BaseTaskBackend

InvalidTask: Any = getattr(_errors, "InvalidTask", None) or _errors.InvalidTaskError
TaskResultDoesNotExist: Any = _errors.TaskResultDoesNotExist

task_enqueued: Any = _signals.task_enqueued
task_started: Any = _signals.task_started
task_finished: Any = _signals.task_finished

_normalize_json: Any = (
    importlib.import_module("django.utils.json") if django.VERSION >= (6,) else _module(".utils")
).normalize_json


def normal(value: Any) -> Any:
    """Give a value as plain JSON, the way Django's rule has it; choices as their values.

    Raises:
        TypeError: there is something in it that is not JSON.
        ValueError: there are bytes in it that are not UTF-8.
    """
    return _normalize_json(without_enums(value))


def without_enums(value: Any) -> Any:
    """Put their values in the place of choices; Django's rule, which `TaskResult` applies by
    itself, takes them for the text that they are too."""
    kind = type(value)
    if kind is str or kind is int:
        return value
    if kind is list or kind is tuple:
        return [without_enums(item) for item in value]
    if kind is dict:
        return {without_enums(key): without_enums(item) for key, item in value.items()}
    return value.value if isinstance(value, enum.Enum) else value


def backends() -> Any:
    """Give the backends of TASKS, by alias."""
    return _module().task_backends
