"""Enqueue jobs, take them back, and look after them."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from django.db.models import Count, F, Q
from django.utils import timezone

from pgqueue.compat import coroutines, paths
from pgqueue.compat.django_async import plain, running, stats, utils
from pgqueue.compat.django_async.addresses import data_link
from pgqueue.compat.django_async.models import OPEN, Error, Group, Job, identity_of
from pgqueue.core.errors import shown

#: What stands behind kwargs, in the order in which it always did; manuals had another.
_ORDER: Final = ("priority", "run_after", "group", "meta")


def _get_now() -> dt.datetime:
    """Tell the time; a test may put another function in the place of this one."""
    now: dt.datetime = timezone.now()
    return now


def schedule(
    function: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> Job:
    """Enqueue a job, in whatever transaction there is.

    Args:
        function: it, or its name: `module.function` or `module.Class.method`.
        args: a list or tuple of JSON.
        kwargs: a dictionary of JSON.
        more: the options by position, in the order of the code of django-async, not of its manual:
            priority, run_after, group, meta. Better give them by name.
        options: `priority` (higher first, 5 by default), `run_after` (a datetime), `group` (one, or
            its reference) and `meta` (a dictionary of your own).

    Raises:
        PathNotAllowedError: the function may not be run by a job.
        TypeError: an argument is not JSON, or an option is wrong.
        ValidationError: jobs of the group are over.
    """
    coroutines.refuse("schedule()", "await sync_to_async(schedule)(…) there")
    words = _words(more, options)
    for what, value, kind in (("args", args, list | tuple), ("kwargs", kwargs, Mapping)):
        if value and not isinstance(value, kind):
            raise TypeError(
                f"{what} must be a {'list or tuple' if what == 'args' else 'dictionary'}; got a "
                f"value of type {type(value).__name__}"
            )
    name = utils.full_name(function)
    paths.check(utils.real_path(name))
    group = words["group"] or None
    if group is not None and not isinstance(group, Group):
        group = Group.latest_group_by_reference(str(group))
    job = Job(
        name=name,
        args=plain.dumps(args or []),
        kwargs=plain.dumps(kwargs or {}),
        meta=plain.dumps(words["meta"] or {}),
        scheduled=words["run_after"],
        priority=words["priority"],
        group=group,
    )
    job.save()
    return job


def _words(more: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    if len(more) > len(_ORDER):
        raise TypeError(
            f"schedule() takes at most {3 + len(_ORDER)} positional arguments; got {3 + len(more)}"
        )
    words: dict[str, Any] = dict(zip(_ORDER, more, strict=False))
    for name, value in options.items():
        if name not in _ORDER:
            raise TypeError(f"schedule() got an unexpected keyword argument {name!r}")
        if name in words:
            raise TypeError(f"schedule() got multiple values for argument {name!r}")
        words[name] = value
    words = {"priority": running.PRIORITY, "run_after": None, "group": None, "meta": None} | words
    priority = words["priority"]
    if isinstance(priority, bool) or not isinstance(priority, int):
        # Most likely in the order of the manual.
        raise TypeError(
            f"priority must be a whole number; got {shown(priority)}; give what comes after kwargs "
            "by name"
        )
    return words


def deschedule(function: Any, args: Any = None, kwargs: Any = None) -> None:
    """Cancel the jobs that call a function with these arguments, and are not over.

    One that runs already is not stopped.
    """
    job = Job(
        name=utils.full_name(function),
        args=plain.dumps(args or []),
        kwargs=plain.dumps(kwargs or {}),
    )
    Job.objects.filter(OPEN, identity=identity_of(job)).update(cancelled=_get_now())


def health(estimation_fn: Any = stats.estimate_rough_queue_completion) -> dict[str, Any]:
    """Tell how the queue is, as something that becomes JSON.

    Args:
        estimation_fn: estimates the seconds until the queue is empty.
    """
    executed = Job.objects.filter(executed__isnull=False)
    cancelled = Job.objects.filter(cancelled__isnull=False)
    counts = Job.objects.aggregate(
        all_jobs=Count("id"),
        all_executed=Count("executed"),
        all_cancelled=Count("cancelled"),
        all_open=Count("id", filter=OPEN),
    )
    return {
        "queue": {
            "all-jobs": counts["all_jobs"],
            "executed": counts["all_executed"],
            "executed-details": get_grouped_aggregate("executed"),
            "oldest-executed": data_link(executed.order_by("executed").first()),
            "most-recent-executed": data_link(executed.order_by("-executed").first()),
            "remaining": counts["all_open"],
            "not-executed": counts["all_open"],
            "not-executed-details": get_not_exeuted_details(),
            "cancelled": counts["all_cancelled"],
            "oldest-cancelled": data_link(cancelled.order_by("cancelled").first()),
            "most-recent-cancelled": data_link(cancelled.order_by("-cancelled").first()),
            "cancelled-details": get_grouped_aggregate("cancelled"),
            "estimated-completion-current-job": stats.estimate_current_job_completion(),
            "estimated-completion": estimation_fn(),
        },
        "errors": {"number": Error.objects.count()},
    }


def get_not_exeuted_details() -> dict[str, dict[str, int]]:
    """Count the jobs that are open, by name."""
    return _by_name(Job.objects.filter(OPEN))


def get_grouped_aggregate(jobs_type: str, complement: bool = False) -> dict[str, dict[str, int]]:
    """Count jobs by name.

    Args:
        jobs_type: `executed` or `cancelled`.
        complement: count those that are not.
    """
    return _by_name(Job.objects.filter(**{f"{jobs_type}__isnull": complement}))


def get_first(queryset: Any, default: Any = None) -> Any:
    """Give the first of a query, or something else where there is none."""
    found = list(queryset[:1])
    return found[0] if found else default


def remove_old_jobs(remove_jobs_before_days: float = 30, resched_hours: float = 8) -> None:
    """Delete jobs that were over so long ago, and enqueue the next look.

    Of groups only those are deleted, with their jobs, all of whose jobs are so old.

    Args:
        remove_jobs_before_days: how long ago.
        resched_hours: when to look again.
    """
    before = _get_now() - dt.timedelta(days=remove_jobs_before_days)
    old = Q(executed__lt=before) | Q(cancelled__lt=before)
    Job.objects.filter(old, group__isnull=True).delete()
    jobs_old = Q(jobs__executed__lt=before) | Q(jobs__cancelled__lt=before)
    groups = Group.objects.annotate(
        jobs_count=Count("jobs"), old_count=Count("jobs", filter=jobs_old)
    ).filter(jobs_count__gt=0, old_count=F("jobs_count"))
    Group.objects.filter(pk__in=list(groups.values_list("pk", flat=True))).delete()
    schedule(
        remove_old_jobs,
        args=[remove_jobs_before_days, resched_hours],
        run_after=_get_now() + dt.timedelta(hours=resched_hours),
    )


def _by_name(jobs: Any) -> dict[str, dict[str, int]]:
    counted = jobs.order_by("name").values_list("name").annotate(Count("id"))
    return {name: {"count": count} for name, count in counted}
