"""What waits for the database must not be called in a coroutine: say so, and what to call."""

import asyncio
import os

from django.core.exceptions import SynchronousOnlyOperation


def refuse(what: str, instead: str) -> None:
    """Pass, but in a coroutine.

    Args:
        what: was called, and what it does.
        instead: what to call there.

    Raises:
        SynchronousOnlyOperation: this is one, and DJANGO_ALLOW_ASYNC_UNSAFE is not set.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        raise SynchronousOnlyOperation(
            f"{what} waits for the database, and must not be called in a coroutine; {instead}"
        )
