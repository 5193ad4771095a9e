"""The tasks of the shop, which a worker finds by itself."""

import logging
from typing import Any

from django.db import connection, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from pgqueue import BatchJob, Context, task
from pgqueue.django import task as django_task
from tests.django_app.store.models import Order, Parcel

log = logging.getLogger("store")


@task
def pay(order: Order) -> int:
    """Pay an order."""
    order.paid = True
    order.save()
    return order.total


@task(max_attempts=5, backoff=0)
def ship(order: Order, parcels: list[Parcel]) -> list[str]:
    """Ship parcels of an order."""
    return [str(parcel.key) for parcel in parcels if parcel.order_id == order.pk]


@task(atomic=True)
def close(order: Order) -> bool:
    """Pay within the transaction that finishes the job."""
    Order.objects.filter(pk=order.pk).update(paid=True)
    return connection.in_atomic_block


@task
async def look(order: Order) -> int:
    """Look at an order on the event loop."""
    found = await Order.objects.aget(pk=order.pk)
    return found.total


@task
def speak() -> list[str]:
    """Say a word of Django's in the language that is active, then in another."""
    words = [_("Yes")]
    translation.activate("fr")
    return [*words, _("Yes")]


@task
def backend_pid() -> int:
    """Give the process that serves Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@task
def whisper(word: str) -> None:
    """Say a word in the log."""
    log.info("the word is %s", word)


@task(context=True)
def fail_in_statement(context: Context) -> None:
    """Break the transaction that is under way, if any."""
    Order.objects.create(pk=context.job_id)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


@task
def break_connection() -> None:
    """Leave a statement that failed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


@task
def follow(order: Order, more: int) -> None:
    """Enqueue another like it."""
    if more:
        follow.enqueue(order, more - 1)


@django_task(queue_name="mail", priority=5)
def add(one: int, other: int = 1) -> int:
    """Add."""
    return one + other


@django_task(takes_context=True)
def tell(context: Any, word: str) -> dict[str, Any]:
    """Tell what the context knows."""
    result = context.task_result
    return {
        "attempt": context.attempt,
        "id": result.id,
        "status": result.status,
        "word": word,
        "enqueued": result.enqueued_at is not None,
    }


@django_task(takes_context=True)
def report(context: Any, total: int) -> list[Any]:
    """Say how far it is, line by line."""
    for number in range(total):
        context.log(f"row {number}")
    context.log("nearly done", "warning")
    context.progress(0.75, "three quarters")
    context.check_cancelled()
    left = context.extend_timeout("1h")
    return [context.cancelled, left is not None and left > 3000, context.job.queue]


@django_task(max_attempts=3, backoff=0, takes_context=True, retry_on=[LookupError])
def stumble(context: Any, times: int) -> int:
    """Fail for so many times."""
    if context.attempt <= times:
        raise LookupError(f"attempt {context.attempt}")
    return context.attempt


@django_task
async def aadd(one: int, other: int) -> int:
    """Add on the event loop."""
    return one + other


@django_task(atomic=True)
def atomically(total: int) -> bool:
    """Write within the transaction that finishes the job."""
    Order.objects.create(total=total)
    return connection.in_atomic_block


@django_task
def unstorable() -> object:
    """Return what is not JSON."""
    return object()


#: What `hear` was told.
heard: list[dict[str, Any]] = []


@django_task
def hear(what: dict[str, Any]) -> None:
    """Hear how something has ended."""
    heard.append(what)


@django_task(unique=("one",))
def once(one: int) -> int:
    """Be there once for each argument."""
    return one


@django_task(concurrency=("name",), max_running=2, on_success=hear)
def keyed(name: str, number: int) -> int:
    """Run two of a name at once."""
    return number


@django_task(fair_by="name")
def shared(name: str) -> str:
    """Take turns."""
    return name


@task(batch=10)
def total(jobs: list[BatchJob]) -> list[int]:
    """Give the totals of orders."""
    return [job.args[0].total for job in jobs]
