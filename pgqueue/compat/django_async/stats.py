"""Estimates of how long the queue still takes, in seconds."""

import datetime as dt
from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Max, Q, Sum
from django.utils import timezone

from pgqueue.compat.django_async.models import OPEN, Group, Job, estimate

_RAN = ExpressionWrapper(F("executed") - F("started"), output_field=DurationField())
_WAITED = ExpressionWrapper(F("started") - F("scheduled"), output_field=DurationField())
_UNGROUPED = Q(executed__isnull=False, cancelled__isnull=True, group__isnull=True)


def _get_now() -> dt.datetime:
    """Tell the time; a test may put another function in the place of this one."""
    now: dt.datetime = timezone.now()
    return now


def estimate_rough_queue_completion() -> float:
    """Multiply what a job has taken on average in the last 24 hours, from the time it was scheduled
    for, with the number of those that wait."""
    recent = Job.objects.filter(executed__gt=_get_now() - dt.timedelta(days=1)).aggregate(
        all_jobs=Count("id"), ran=Sum(_RAN), waited=Sum(_WAITED)
    )
    waiting = Job.objects.filter(OPEN, started__isnull=True).count()
    spent = _seconds(recent["ran"]) + _seconds(recent["waited"])
    return round(float(waiting * spent / (recent["all_jobs"] or 1)), 2)


def estimate_current_job_completion() -> float:
    """Tell how long the job that runs still takes, by the average of those of its name; of several
    the longest, 0 for none."""
    running = list(Job.objects.filter(OPEN, started__isnull=False).values_list("name", "started"))
    if not running:
        return 0
    averages = dict(
        Job.objects.filter(_UNGROUPED, name__in={name for name, _ in running})
        .values_list("name")
        .annotate(took=Avg(_RAN))
        .order_by()
    )
    now = _get_now()
    left = [
        _seconds(averages.get(name)) - (now - started).total_seconds() for name, started in running
    ]
    return round(float(max(left)), 2)


def estimate_queue_completion() -> float:
    """Add up groups, the job that runs, and for each name what its jobs take on average."""
    total = 0.0
    groups = Group.objects.annotate(
        all_jobs=Count("jobs"),
        all_executed=Count("jobs__executed"),
        all_cancelled=Count("jobs__cancelled"),
        latest=Max("jobs__executed"),
    ).values_list("created", "all_jobs", "all_executed", "all_cancelled", "latest")
    for created, jobs, executed, cancelled, latest in groups:
        whole, _, _ = estimate(
            created, jobs=jobs, executed=executed, cancelled=cancelled, latest=latest
        )
        total += _seconds(whole)
    return round(total + estimate_current_job_completion() + _estimate_completion_ungrouped(), 2)


def _estimate_completion_ungrouped() -> float:
    names = (
        Job.objects.filter(group__isnull=True)
        .values_list("name")
        .annotate(
            all_ran=Sum(_RAN, filter=_UNGROUPED),
            all_executed=Count("id", filter=_UNGROUPED),
            all_waiting=Count("id", filter=OPEN & Q(started__isnull=True)),
        )
        .order_by()
    )
    return sum(
        float(_seconds(ran) / (executed or 1) * waiting) for _name, ran, executed, waiting in names
    )


def _seconds(span: Any) -> float:
    return 0.0 if span is None else float(span.total_seconds())
