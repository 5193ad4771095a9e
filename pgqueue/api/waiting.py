"""Wait until something is over, without polling: say so, look, be woken, look again.

The end of a job is told to those who said that they wait for it. One that was just being written
down may have missed that, so there are three more looks soon after; and a slow one behind all that,
for a notification that got lost or a pooler that swallows them.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final, TypeVar

from pgqueue.api.clients import Clients
from pgqueue.core.errors import ResultTimeoutError
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.db.statements import results

T = TypeVar("T")

_SOON: Final = (0.0, 0.005, 0.025, 0.125)
#: Seconds between the slow looks, from the first to the last of them.
_SLOW: Final = (1.0, 2.0, 5.0)
#: Seconds for which the server is asked to tell, and after which it is asked again.
_TOLD_FOR: Final = 120.0
_ASKED_EVERY: Final = 60.0


def wait(
    clients: Clients,
    ids: Collection[int],
    look: Callable[[], T | None],
    timeout: Duration | None,
    what: str,
) -> T:
    """Wait until a look finds something.

    Args:
        ids: whose end is worth a look.
        look: gives what was waited for, None while it is not there.
        timeout: how long; None for ever.
        what: is waited for, in words.

    Raises:
        ResultTimeoutError: it was not there in time.
    """
    until = _until(timeout)
    found = look()
    if found is not None:
        return found
    # In a transaction of the caller's nobody hears that we wait, and what was enqueued in it never
    # ends; there it is not seen from outside.
    with clients.sync.outside() as is_outside:
        if is_outside and (found := look()) is not None:
            return found
        with clients.sync.ends.watch(ids) as woken:
            asked = float("-inf")
            for pause in _pauses():
                left = until - monotonic()
                if monotonic() - asked > _ASKED_EVERY:
                    asked = monotonic()
                    clients.sync.run(results.wait_for(ids, _TOLD_FOR))
                if woken.wait(max(0.0, min(pause, left))):
                    woken.clear()
                found = look()
                if found is not None:
                    return found
                # Not by how long it meant to wait: it may have been woken for nothing.
                if monotonic() >= until:
                    break
    raise ResultTimeoutError(f"{what} was not over within {_shown(timeout)}")


async def await_(
    clients: Clients,
    ids: Collection[int],
    look: Callable[[], Awaitable[T | None]],
    timeout: Duration | None,
    what: str,
) -> T:
    """Wait in a coroutine; see `wait`."""
    until = _until(timeout)
    found = await look()
    if found is not None:
        return found
    async with clients.asynchronous.outside() as is_outside:
        if is_outside and (found := await look()) is not None:
            return found
        ends = clients.asynchronous.ends
        async with ends.watch(ids) as woken:
            asked = float("-inf")
            for pause in _pauses():
                left = until - monotonic()
                if monotonic() - asked > _ASKED_EVERY:
                    asked = monotonic()
                    await clients.asynchronous.run(results.wait_for(ids, _TOLD_FOR))
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), max(0.0, min(pause, left)))
                    woken.clear()
                    # Where the connection was lost, somebody has to open another.
                    await ends.open()
                found = await look()
                if found is not None:
                    return found
                # Not by how long it meant to wait: it may have been woken for nothing.
                if monotonic() >= until:
                    break
    raise ResultTimeoutError(f"{what} was not over within {_shown(timeout)}")


def _pauses() -> Iterator[float]:
    return itertools.chain(_SOON, _SLOW, itertools.repeat(_SLOW[-1]))


def _until(timeout: Duration | None) -> float:
    return float("inf") if timeout is None else monotonic() + to_seconds(timeout, "timeout")


def _shown(timeout: Duration | None) -> str:
    return f"{to_seconds(timeout or 0, 'timeout'):g} seconds"
