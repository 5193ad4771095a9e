"""Checks of what the calls of an app are given."""

from collections.abc import Mapping
from typing import Final

from pgqueue.core import codec
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown, suggest
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.options import check_queue, check_task_name
from pgqueue.core.states import JobState
from pgqueue.core.uniqueness import check_key
from pgqueue.db.statements.jobs import Match

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


def check_id(job_id: object, whose: str = "a job") -> int:
    """Give back an id, or raise ConfigurationError."""
    if not isinstance(job_id, int) or isinstance(job_id, bool) or not 0 <= job_id < 2**63:
        raise ConfigurationError(f"{whose}'s id must be a whole number; got {shown(job_id)}")
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


def match_of(
    *,
    task: str | None = None,
    args: object = None,
    kwargs: object = None,
    queue: str | None = None,
    unique_key: str | None = None,
    concurrency_key: str | None = None,
    older_than: Duration | None = None,
    group: object = None,
) -> Match:
    """Say which jobs are meant.

    Raises:
        ConfigurationError: nothing is given, or something is wrong.
        BadArgumentsError: args or kwargs are none.
        NotSerializableError: args or kwargs cannot be stored, so no job has them.
    """
    given = (task, args, kwargs, queue, unique_key, concurrency_key, older_than, group)
    if all(value is None for value in given):
        raise ConfigurationError(
            "cancel_matching() must be told what to match: task, args, kwargs, queue, unique_key, "
            "concurrency_key, older_than or group"
        )
    check_call(() if args is None else args, kwargs)
    return Match(
        task=None if task is None else check_task_name(task, "task"),
        args=None
        if not isinstance(args, list | tuple)
        else codec.dumps(list(args), path="$.args").decode(),
        kwargs=None
        if not isinstance(kwargs, Mapping)
        else codec.dumps(dict(kwargs), path="$.kwargs").decode(),
        queue=None if queue is None else check_queue(queue),
        unique_key=None if unique_key is None else check_key(unique_key, "unique_key"),
        concurrency_key=None
        if concurrency_key is None
        else check_key(concurrency_key, "concurrency_key"),
        older_than=None if older_than is None else to_seconds(older_than, "older_than"),
        group_id=None if group is None else check_id(getattr(group, "id", group), "a group"),
    )
