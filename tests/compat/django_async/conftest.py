"""Short names for the tests of django-async."""

from typing import Any

#: The module of the tasks.
TASKS = "tests.compat.project.market.tasks"


def again(job: Any) -> Any:
    """A job, read anew."""
    return type(job).objects.get(pk=job.pk)


def native(job: Any) -> Any:
    """The same job as the queue has it."""
    from pgqueue.django.models import JobOverview

    return JobOverview.objects.get(pk=job.pk)
