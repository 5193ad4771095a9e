"""What applications call: enqueue a task, many, or a chain; make a schedule; look what came out."""

from pgqueue.compat.django_q.asynchronous import (
    aasync_chain,
    aasync_iter,
    aasync_task,
    aschedule,
)
from pgqueue.compat.django_q.enqueueing import async_chain, async_task, schedule
from pgqueue.compat.django_q.iterations import async_iter
from pgqueue.compat.django_q.models import Schedule, Task
from pgqueue.compat.django_q.objects import AsyncTask, Chain, Iter
from pgqueue.compat.django_q.results import (
    count_group,
    count_group_cached,
    delete_cached,
    delete_group,
    delete_group_cached,
    fetch,
    fetch_cached,
    fetch_group,
    fetch_group_cached,
    queue_size,
    result,
    result_cached,
    result_group,
    result_group_cached,
)

__all__ = [
    "AsyncTask",
    "Chain",
    "Iter",
    "Schedule",
    "Task",
    "aasync_chain",
    "aasync_iter",
    "aasync_task",
    "aschedule",
    "async_chain",
    "async_iter",
    "async_task",
    "count_group",
    "count_group_cached",
    "delete_cached",
    "delete_group",
    "delete_group_cached",
    "fetch",
    "fetch_cached",
    "fetch_group",
    "fetch_group_cached",
    "queue_size",
    "result",
    "result_cached",
    "result_group",
    "result_group_cached",
    "schedule",
]
