"""A slot of a child: the place where one job runs, and how that job is made to end."""

import asyncio
import contextvars
import ctypes
import signal
import threading
from collections import deque
from collections.abc import Callable, Container
from typing import Any

from pgqueue.api.framework import Framework, current
from pgqueue.core import failpoints
from pgqueue.core.batch import BatchJob
from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.core.outcome import Cancel
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import Prepared, Ticket
from pgqueue.worker.filling import filled_of
from pgqueue.worker.hygiene import end_copies

#: Makes a system call of the main thread return, so that Python sees the exception that waits.
#: Nobody is told of it where nobody listens: its default is to be ignored.
WAKE = signal.SIGURG

#: Seconds between two attempts to wake a thread: one may come just before the system call.
_WAKE_EVERY = 0.2
_JOB_TIMEOUT = ctypes.py_object(JobTimeout)


class Slot:
    """One place where a job runs. Other threads interrupt it; `guard` stands between them.

    Args:
        number: its place in the memory shared with the supervisor.
        loop: where async tasks run.
        cancelled: the jobs that were asked to stop; they are in it before `cancel` is called.

    Attributes:
        thread_id: of the thread that serves it.
        job_id: what runs in it; 0 for nothing.
        ahead: what it has taken from the inbox, and will run next.
        begun: when the job began, where it may have a limit.
        limitable: whether it is under way, and may be told when to end.
        ends: when the job's time is over.
        told: whether JobTimeout was raised in it, and may not have arrived yet.
        awaits: whether the job is on the event loop, or on its way there.
        late: whether its time was over while it was there.
        asked: whether it was asked to stop while it was there.
        waits_for: the asyncio task, once the loop has begun it.
        interrupt: ends what the job may wait for in C code, where JobTimeout cannot reach it: a
            statement of an atomic task's transaction. Called in a thread of its own.
    """

    __slots__ = (
        "_cancelled", "_loop", "ahead", "asked", "awaits", "begun", "ends", "guard", "interrupt",
        "interrupting", "job_id", "late", "limitable", "number", "thread_id", "told", "waits_for",
    )  # fmt: skip

    def __init__(self, number: int, loop: EventLoop, cancelled: Container[int]) -> None:
        self.number = number
        self._loop = loop
        self._cancelled = cancelled
        self.guard = threading.Lock()
        self.thread_id = 0
        self.job_id = 0
        self.ahead: deque[Ticket] = deque()
        self.begun = 0.0
        self.limitable = False
        self.ends: float | None = None
        self.told = False
        self.awaits = False
        self.late = False
        self.asked = False
        self.waits_for: asyncio.Task[Any] | None = None
        self.interrupt: Callable[[], None] | None = None
        self.interrupting: threading.Thread | None = None

    def next_ahead(self) -> Ticket | None:
        """Give what it has taken from the inbox already; others may ask for that back."""
        if not self.ahead:
            return None
        try:
            return self.ahead.popleft()
        except IndexError:
            return None

    def limit(self, ends: float | None) -> None:
        """Let JobTimeout come from now on at any moment, once `ends` is past; None for no limit
        yet."""
        with self.guard:
            self.limitable = True
            self.ends = ends

    def move(self, job_id: int, ends: float, *, nearer: bool) -> float | None:
        """Let JobTimeout come later, or earlier; give when, None for a job that is past its limit,
        or that has none and shall not have more time than it had."""
        with self.guard:
            if not self.limitable or self.job_id != job_id:
                return None
            if self.ends is None:
                if not nearer or self.told or self.late:
                    return None
                self.ends = ends
            else:
                self.ends = min(self.ends, ends) if nearer else max(self.ends, ends)
            return self.ends

    def break_deadline(self, now: float) -> float | None:
        """Interrupt the job if its time is over; give when to call again, if at all."""
        with self.guard:
            if self.told:
                return self._wake(now)
            ends = self.ends
            if ends is None or ends > now:
                return ends
            self.ends = None
            if self.awaits:
                self.late = True
                if self.waits_for is not None:
                    self._loop.call_soon(self.waits_for.cancel)
                return None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread_id), _JOB_TIMEOUT)
            self.told = True
            if self.interrupt is not None:
                self.interrupting = threading.Thread(target=self.interrupt, daemon=True)
                self.interrupting.start()
            return self._wake(now)

    def _wake(self, now: float) -> float | None:
        # Only the main thread looks after a signal; others sit in their system call until the
        # supervisor kills the process.
        if self.number:
            return None
        signal.pthread_kill(self.thread_id, WAKE)
        return now + _WAKE_EVERY

    def cancel(self, ids: Container[int]) -> None:
        """Cancel the coroutine that runs here if its job is one of these; once, since the second
        time it would be torn out of its cleaning up. A function looks for itself."""
        with self.guard:
            if self.awaits and not self.asked and self.job_id in ids:
                self.asked = True
                if self.waits_for is not None and not self.late:
                    self._loop.call_soon(self.waits_for.cancel)

    def settle(self) -> None:
        """Let no JobTimeout arrive any more: what was raised and not delivered is taken back."""
        while True:
            try:
                with self.guard:
                    self.limitable = False
                    self.ends = None
                    self.told = False
                    self.late = False
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread_id), None)
                break
            except JobTimeout:
                continue
        if self.interrupting is not None:
            # Lest it hit the statement that comes next.
            self.interrupting.join()
            self.interrupting = None

    def call(self, job: Prepared, context: Context | None) -> object:
        """Call the task's function, and wait for it if it runs on the event loop."""
        if failpoints.on:
            failpoints.hit("child_before_fn")
        framework = current()
        if framework is not None:
            return self._call_within(framework, job, context)
        function = job.task.function
        first = () if context is None else (context,)
        if job.task.is_async:
            return self._await(function(*first, *job.args, **job.kwargs))
        try:
            # What it sets in context variables is gone with it, as it is for a coroutine.
            return contextvars.copy_context().run(function, *first, *job.args, **job.kwargs)
        finally:
            end_copies()

    def _call_within(self, framework: Framework, job: Prepared, context: Context | None) -> object:
        function = job.task.function
        first = () if context is None else (context,)
        try:
            with framework.around():
                filled = filled_of(framework.fill, job)
                if filled is not None:
                    return filled.merged(self._call_batch(framework, job, filled.items))
                args, kwargs = framework.fill(job.args, job.kwargs)
                if job.task.is_async:
                    return self._await(framework.on_loop(function, (*first, *args), kwargs))
                return contextvars.copy_context().run(function, *first, *args, **kwargs)
        finally:
            end_copies()

    def _call_batch(self, framework: Framework, job: Prepared, items: list[BatchJob]) -> object:
        if not items:
            return None
        if job.task.is_async:
            return self._await(framework.on_loop(job.task.function, (items,), {}))
        return contextvars.copy_context().run(job.task.function, items)

    def _await(self, coroutine: Any) -> object:
        """Run a coroutine on the event loop of this process; its slot waits for it."""

        async def watched() -> tuple[object, BaseException | None]:
            with self.guard:
                self.waits_for = asyncio.current_task()
                stop = self.late or self.asked
            try:
                if stop:
                    coroutine.close()
                    return None, asyncio.CancelledError()
                return await coroutine, None
            except BaseException as error:
                # A value, since asyncio lets SystemExit through, which would stop the loop.
                return None, error
            finally:
                end_copies()
                with self.guard:
                    self.waits_for = None

        with self.guard:
            self.awaits, self.late = True, False
            self.asked = self.job_id in self._cancelled
        result, error = self._loop.run(watched())
        with self.guard:
            self.awaits = False
        if error is None:
            return result
        if isinstance(error, asyncio.CancelledError):
            if self.asked:
                raise Cancel
            if self.late:
                raise JobTimeout("the task was cancelled")
        raise error
