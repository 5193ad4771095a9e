"""The decorators: they mark functions, and load nothing."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: What `sticky_job` was put on, in order.
STICKY_JOBS: Final[list[Callable[..., Any]]] = []


def job_as_parameter(f: F) -> F:
    """Let a handler get its job, a `ScheduledJob`, as its first argument."""
    f.job_as_parameter = True  # type: ignore[attr-defined]
    return f


def sticky_job(f: F) -> F:
    """Let one job of a handler be waiting whenever `run_jobs` begins.

    It is for handlers in the module `jobs` of an app, which `run_jobs` imports.
    """
    if f not in STICKY_JOBS:
        STICKY_JOBS.append(f)
    return f
