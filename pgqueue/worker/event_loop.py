"""The event loop of a child: async tasks of all its slots run on it, in a thread of its own."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoop:
    """An event loop that begins with the first coroutine and never ends."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait here for what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have a callback called there."""
        self._running().call_soon_threadsafe(callback)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A task that patches the module time must not make the others wait for ever.
                self._loop.time = monotonic  # type: ignore[method-assign]
                # Its threads stay, and are told from those that tasks leave behind by their name.
                self._loop.set_default_executor(
                    concurrent.futures.ThreadPoolExecutor(thread_name_prefix="pgqueue-executor")
                )
                threading.Thread(
                    target=_run_on, args=(self._loop,), name="pgqueue-loop", daemon=True
                ).start()
            return self._loop


def _run_on(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        # A SystemExit of a task inside a task goes through the loop; the next turn goes on.
        with contextlib.suppress(BaseException):
            loop.run_forever()
