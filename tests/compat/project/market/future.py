"""Handlers, as a project that used django-future has them."""

from typing import Any

from django.db import transaction

from pgqueue.compat.django_future import job_as_parameter
from tests.compat.project.market.models import Order

#: What the handlers were called with, in this process.
calls: list[Any] = []


def note(*args: Any, **kwargs: Any) -> Any:
    """Note a call; gives the first argument."""
    calls.append((args, kwargs))
    return args[0] if args else None


@job_as_parameter
def with_job(job: Any, *args: Any) -> None:
    """Note the job, as it is while it runs."""
    calls.append((repr(job), str(job), job.pk, job.execution_start, args))


@job_as_parameter
def again(job: Any, n: int = 5) -> None:
    """Reschedule itself once."""
    calls.append(n)
    if n < 6:
        job.reschedule("3d", kwargs={"n": n + 1})


@job_as_parameter
def again_at_once(job: Any) -> None:
    """Reschedule itself for now."""
    calls.append(job.pk)
    job.reschedule("0h")


@job_as_parameter
def again_and_fail(job: Any) -> None:
    """Reschedule itself, then fail."""
    job.reschedule("0h")
    raise ValueError("fail")


@job_as_parameter
def save_and_end(job: Any) -> None:
    """Change its own job."""
    job.args = ["changed"]
    job.save()


def order_on_commit(number: str) -> None:
    """Write an order when the job has committed."""
    transaction.on_commit(lambda: Order.objects.create(number=number))


async def later(number: str) -> str:
    """Answer as a coroutine."""
    return f"later {number}"


class Unprintable:
    """Something that JSON has no form for."""

    def __str__(self) -> str:
        return "a\x00b"


def unprintable() -> Unprintable:
    """Give it."""
    return Unprintable()
