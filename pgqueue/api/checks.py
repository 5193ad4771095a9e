"""Checks of what the calls of an app are given."""

from collections.abc import Mapping
from typing import Final

from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown, suggest
from pgqueue.core.states import JobState

_MAX_LIMIT: Final = 10_000


def check_call(args: object, kwargs: object) -> None:
    """Pass when these may be the arguments of a call."""
    if not isinstance(args, list | tuple):
        raise BadArgumentsError(
            f"args must be a list or tuple of positional arguments; got {type(args).__name__}"
        )
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise BadArgumentsError(
            f"kwargs must be a mapping of keyword arguments; got {type(kwargs).__name__}"
        )


def check_id(job_id: object) -> int:
    """Give back an id, or raise ConfigurationError."""
    if not isinstance(job_id, int) or isinstance(job_id, bool) or not 0 <= job_id < 2**63:
        raise ConfigurationError(f"a job's id must be a whole number; got {shown(job_id)}")
    return job_id


def check_page(state: object, before: object, limit: object) -> None:
    """Pass when these choose a page of jobs."""
    if state is not None and state not in list(JobState):
        near = suggest(state, JobState) if isinstance(state, str) else ""
        raise ConfigurationError(
            f"state must be one of {', '.join(JobState)}; got {shown(state)}{near}"
        )
    if before is not None:
        check_id(before)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"limit must be between 1 and {_MAX_LIMIT}; got {shown(limit)}")
