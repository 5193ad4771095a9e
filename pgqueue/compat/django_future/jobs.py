"""Scheduling jobs, and running those that are due."""

import datetime as dt
import importlib
import logging
from collections.abc import Callable
from typing import Any, Final

from django.apps import apps
from django.utils import timezone
from django.utils.module_loading import module_has_submodule

from pgqueue.api.default import default_app
from pgqueue.compat import here, serving
from pgqueue.compat.django_future import conf, running
from pgqueue.compat.django_future.marks import STICKY_JOBS, job_as_parameter, sticky_job
from pgqueue.compat.django_future.models import ScheduledJob, schedule_job
from pgqueue.compat.django_future.utils import parse_timedelta, to_moment

__all__ = [
    "STICKY_JOBS",
    "ScheduledJob",
    "expire_jobs",
    "import_app_jobs",
    "job_as_parameter",
    "parse_timedelta",
    "run_jobs",
    "schedule_job",
    "schedule_sticky_jobs",
    "start_scheduled_jobs",
    "sticky_job",
]

log: Final = logging.getLogger("pgqueue.compat.django_future")


class JobsInProgressError(ValueError):
    """Say that jobs are running, where only one run at a time is wanted."""


def run_jobs(
    delete_completed: bool = False, ignore_errors: bool = False, now: dt.datetime | None = None
) -> None:
    """Run the jobs that are due, by the start of their time slots, each in its own transaction.

    Safe beside others that do so, and beside workers: each job is run by one of them.

    Args:
        delete_completed: delete the jobs that succeed.
        ignore_errors: go on when a job fails.
        now: the time it is, in the current time zone where it has none; None for now.

    Raises:
        JobsInProgressError: a job is running, and `ONE_RUN_AT_A_TIME` is set.
        Exception: what the first job that failed has raised; the jobs behind it wait.
    """
    if conf.get("ONE_RUN_AT_A_TIME") and ScheduledJob.objects.filter(status="running").exists():
        raise JobsInProgressError("jobs in progress found; aborting")
    moment = timezone.now() if now is None else to_moment(now)
    expire_jobs(moment if conf.get("EXPIRE_BY_NOW") else timezone.now())
    schedule_sticky_jobs()
    start_scheduled_jobs(None if now is None else moment, delete_completed, ignore_errors)


def expire_jobs(dt: dt.datetime) -> None:
    """Mark the jobs whose time slot has ended by a time and that never began."""
    ScheduledJob.objects.filter(status="scheduled", time_slot_end__lte=to_moment(dt)).update(
        status="expired"
    )


def import_app_jobs() -> None:
    """Import the module `jobs` of every app that has one; one that cannot be imported is logged."""
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "jobs"):
            try:
                importlib.import_module(f"{app.name}.jobs")
            except Exception:
                log.exception("the module %s.jobs cannot be imported; its jobs are left", app.name)


def schedule_sticky_jobs() -> None:
    """Schedule a job for each handler under `sticky_job` of which none is scheduled."""
    import_app_jobs()
    for handler in STICKY_JOBS:
        _schedule_sticky(handler)


def start_scheduled_jobs(
    dt: dt.datetime | None, delete_completed: bool = False, ignore_errors: bool = False
) -> None:
    """Run the jobs that are scheduled for a time or before; see `run_jobs`."""
    moment = timezone.now() if dt is None else to_moment(dt)
    due = ScheduledJob.objects.filter(
        status="scheduled", time_slot_start__lte=moment, time_slot_end__gt=moment
    )
    ids = list(due.order_by("time_slot_start", "id").values_list("id", flat=True))
    ran = here.run(
        [conf.QUEUE],
        ids=ids,
        now=None if dt is None else moment,
        stop_at_error=not ignore_errors,
        after=_delete_completed if delete_completed else None,
    )
    if not ignore_errors and ran and ran[-1].has_failed and ran[-1].error is not None:
        raise ran[-1].error


def _delete_completed(ran: here.Ran) -> None:
    if ran.state == "succeeded":
        ScheduledJob.objects.filter(pk=ran.job_id).delete()


def _schedule_sticky(handler: Callable[..., Any]) -> None:
    name = f"{handler.__module__}.{handler.__name__}"
    if ScheduledJob.objects.filter(callable_name=name, status="scheduled").exists():
        return
    running.check(name)
    task = serving.name_for(conf.PREFIX, name)
    # Two runs at once make one job.
    default_app().enqueue(
        task,
        queue=conf.QUEUE,
        run_at=dt.datetime.now(dt.UTC),
        expires="7d",
        unique_key=task,
        unique_while="waiting",
        meta={conf.PREFIX: {}},
    )
