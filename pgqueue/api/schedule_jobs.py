"""The job that a schedule makes again and again, from a task and its arguments."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any, Final

from pgqueue.api.registry import Registry
from pgqueue.api.specs import spec_of
from pgqueue.api.task import BoundTask, Task
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown
from pgqueue.core.options import EnqueueOptions, check_task_name
from pgqueue.db.statements.adding import JobSpec

#: What a schedule may be made of: a task, one with options, a job of one, or its name.
Target = Task[Any, Any] | BoundTask[Any] | JobSpec | str

_MOMENT: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LATER: Final = dt.datetime(2000, 1, 2, tzinfo=dt.UTC)
#: What stands for the planned instant in a key, see `pgqueue.schedules.options`.
_PLANNED: Final = "{planned_at}"


def job_of(
    task: Target,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    planned_kwarg: str | None,
    registry: Registry,
) -> JobSpec:
    """Make the job of a schedule, its arguments checked and encoded.

    The keyword argument that gets the planned instant is given one for the check only.
    """
    if isinstance(task, str):
        name = check_task_name(task, "task")
        if name not in registry:
            return spec_of(name, args, kwargs, EnqueueOptions())
        task = registry.get(name)
    if isinstance(task, JobSpec):
        if args or kwargs:
            raise ConfigurationError("a job has its arguments already; give them to job() only")
        spec = task
    elif isinstance(task, Task | BoundTask):
        told = {} if planned_kwarg is None else {planned_kwarg: _MOMENT}
        spec = task.job(*args, **kwargs, **told)
        if planned_kwarg is not None:
            named = json.loads(spec.kwargs)
            del named[planned_kwarg]
            spec = replace(
                spec,
                kwargs=json.dumps(named),
                **_keys_of(spec, task.job(*args, **kwargs, **{planned_kwarg: _LATER})),
            )
    else:
        raise ConfigurationError(f"a schedule needs a task, a job or a name; got {shown(task)}")
    if spec.complaint:
        raise BadArgumentsError(spec.complaint)
    options = spec.options
    if options.run_at is not None or options.expires_at is not None or options.after:
        raise ConfigurationError(
            "a schedule's jobs are due when it says; leave run_at, expires_at and after out"
        )
    return spec


def _keys_of(spec: JobSpec, other: JobSpec) -> dict[str, Any]:
    """Give the keys of a job, with the planned instant in those that are made of it."""
    return {
        name: f"{getattr(spec, name)}:{_PLANNED}"
        for name in ("unique_key", "concurrency_key", "fair_key")
        if getattr(spec, name) != getattr(other, name)
    }
