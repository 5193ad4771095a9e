"""Helpers for tests."""

import functools
from collections.abc import Callable
from typing import Any

from pgqueue.compat.django_async.models import Job


def clear_queue(func: Callable[..., Any]) -> Callable[..., Any]:
    """Delete all jobs before each call of a function."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        Job.objects.all().delete()
        return func(*args, **kwargs)

    return wrapper
