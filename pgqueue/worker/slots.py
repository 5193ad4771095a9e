"""A slot of a child: the place where one job runs, and how that job is made to end."""

import asyncio
import ctypes
import threading
from typing import Any

from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import Prepared

_JOB_TIMEOUT = ctypes.py_object(JobTimeout)


class Slot:
    """One place where a job runs. Other threads interrupt it; `guard` stands between them.

    Args:
        number: its place in the memory shared with the supervisor.
        loop: where async tasks run.

    Attributes:
        thread_id: of the thread that serves it.
        ends: when the job's time is over.
        awaits: whether the job is on the event loop, or on its way there.
        late: whether its time was over while it was there.
        waits_for: the asyncio task, once the loop has begun it.
    """

    __slots__ = ("_loop", "awaits", "ends", "guard", "late", "number", "thread_id", "waits_for")

    def __init__(self, number: int, loop: EventLoop) -> None:
        self.number = number
        self._loop = loop
        self.guard = threading.Lock()
        self.thread_id = 0
        self.ends: float | None = None
        self.awaits = False
        self.late = False
        self.waits_for: asyncio.Task[Any] | None = None

    def limit(self, ends: float) -> None:
        """Let JobTimeout come from now on at any moment, once `ends` is past."""
        with self.guard:
            self.ends = ends

    def break_deadline(self, now: float) -> float | None:
        """Interrupt the job if its time is over; give when it will be, if that is to come."""
        with self.guard:
            ends = self.ends
            if ends is None or ends > now:
                return ends
            self.ends = None
            if self.awaits:
                self.late = True
                if self.waits_for is not None:
                    self._loop.call_soon(self.waits_for.cancel)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.thread_id), _JOB_TIMEOUT
                )
            return None

    def settle(self) -> None:
        """Let no JobTimeout arrive any more: what was raised and not delivered is taken back."""
        while True:
            try:
                with self.guard:
                    self.ends = None
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread_id), None)
                return
            except JobTimeout:
                continue

    def call(self, job: Prepared, context: Context | None) -> object:
        """Call the task's function, and wait for it if it runs on the event loop."""
        function = job.task.function
        first = () if context is None else (context,)
        if job.task.is_async:
            return self._await(function(*first, *job.args, **job.kwargs))
        return function(*first, *job.args, **job.kwargs)

    def _await(self, coroutine: Any) -> object:
        """Run a coroutine on the event loop of this process; its slot waits for it."""

        async def watched() -> tuple[object, BaseException | None]:
            with self.guard:
                self.waits_for = asyncio.current_task()
                late = self.late
            try:
                if late:
                    coroutine.close()
                    return None, asyncio.CancelledError()
                return await coroutine, None
            except BaseException as error:
                # A value, since asyncio lets SystemExit through, which would stop the loop.
                return None, error
            finally:
                with self.guard:
                    self.waits_for = None

        with self.guard:
            self.awaits, self.late = True, False
        result, error = self._loop.run(watched())
        with self.guard:
            self.awaits = False
        if error is None:
            return result
        if self.late and isinstance(error, asyncio.CancelledError):
            raise JobTimeout("the task was cancelled")
        raise error
