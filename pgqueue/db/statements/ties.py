"""What ties the jobs of a schedule to others, as `pgqueue.schedules.options` holds it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pgqueue.core import codec
from pgqueue.core.composition import CALLBACKS, callbacks_of
from pgqueue.db.statements.adding import UNIQUENESS, JobSpec, line_of


def ties_of(job: JobSpec) -> dict[str, Any]:
    """Give the columns of a job's keys, limits, group and callbacks that are set, as JSON."""
    options = job.options
    found: dict[str, Any] = {
        "unique_key": job.unique_key,
        "group_id": options.group,
        **line_of(job),
        "max_running": options.max_running,
    }
    if job.unique_key is not None:
        found |= {"unique_while": options.unique_while, "on_duplicate": options.on_duplicate}
        if options.unique_for is not None:
            seconds = f"{options.unique_for.total_seconds():.6f}"
            found["unique_for"] = seconds.rstrip("0").rstrip(".") + "s"
    callbacks = callbacks_of(options)
    if callbacks:
        found["callbacks"] = codec.loads(codec.dumps(callbacks, path="$", name="callbacks"))
    return {name: value for name, value in found.items() if value is not None}


def with_ties(job: JobSpec, ties: Mapping[str, Any]) -> JobSpec:
    """Give a job these keys, limits, group and callbacks, and no others; see `ties_of`."""
    callbacks = ties.get("callbacks") or {}
    options = {name: ties.get(name) for name in (*UNIQUENESS, "max_running", "rate")}
    options |= {name: callbacks.get(name) for name in CALLBACKS}
    return replace(
        job,
        options=job.options.updated(**options, group=ties.get("group_id")),
        unique_key=ties.get("unique_key"),
        concurrency_key=ties.get("concurrency_key"),
        fair_key=ties.get("fair_key"),
        keys=None,
    )
