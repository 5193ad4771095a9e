"""Enqueueing from coroutines, over the connection that synchronous code of the same request has."""

from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async

from pgqueue.compat.django_q.enqueueing import async_chain, async_task, schedule
from pgqueue.compat.django_q.iterations import async_iter
from pgqueue.compat.django_q.models import Schedule


async def aasync_task(func: Any, *args: Any, **kwargs: Any) -> str:
    """Enqueue a task from a coroutine; see `async_task`."""
    made: str = await sync_to_async(async_task)(func, *args, **kwargs)
    return made


async def aasync_iter(func: Any, args_iter: Sequence[Any], **kwargs: Any) -> str:
    """Enqueue a task for each of many arguments from a coroutine; see `async_iter`."""
    made: str = await sync_to_async(async_iter)(func, args_iter, **kwargs)
    return made


async def aasync_chain(chain: Sequence[Any], **options: Any) -> str:
    """Enqueue functions that run one after the other from a coroutine; see `async_chain`."""
    made: str = await sync_to_async(async_chain)(chain, **options)
    return made


async def aschedule(func: Any, *args: Any, **kwargs: Any) -> Schedule:
    """Make a schedule from a coroutine; see `schedule`."""
    made: Schedule = await sync_to_async(schedule)(func, *args, **kwargs)
    return made
