"""Hold what runs in this thread to a limit, where no supervisor and no reader see to it."""

import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import Caller, Prepared
from pgqueue.worker.slots import WAKE, Slot

T = TypeVar("T")


def limited(limit: "Limit", call: Caller) -> Caller:
    """Let a caller hold each job to its limit."""

    def calling(job: Prepared, context: Context | None) -> object:
        return limit.run(job.timeout, lambda: call(job, context))

    return calling


class Limit:
    """The limit of one call: JobTimeout is raised in it when its time is over.

    In the main thread that ends a system call too; in others it comes when that returns. Nothing
    here ends a call that does not come back from C code.

    Args:
        loop: where coroutines run that the call waits for in its slot; None for one of its own.
        job_id: of the job that it is.
    """

    def __init__(self, loop: EventLoop | None = None, job_id: int = 0) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        self.slot = Slot(0 if is_main else 1, loop or EventLoop(), frozenset())
        self.slot.job_id = job_id
        self.slot.thread_id = threading.get_ident()
        self._moved = threading.Event()
        self._over = False
        self._watch: threading.Thread | None = None
        self._before: Any = None

    def run(self, seconds: float | None, body: Callable[[], T]) -> T:
        """Call a function; None for no limit, until `move` says otherwise.

        Raises:
            JobTimeout: its time is over.
            BaseException: what it raises itself.
        """
        ended = False
        try:
            try:
                self.slot.limit(None if seconds is None else monotonic() + seconds)
                if seconds is not None:
                    self._see_to_it()
                found = body()
                ended = True
            finally:
                self.slot.settle()
        except JobTimeout:
            # It may have come between the end of the call and here.
            self.slot.settle()
            if not ended:
                raise
        finally:
            self._stop()
        return found

    def move(self, seconds: float, nearer: bool) -> float | None:
        """Let it have at least, or at most, so many seconds from now; see `Slot.move`."""
        ends = self.slot.move(self.slot.job_id, monotonic() + seconds, nearer=nearer)
        if ends is not None:
            self._see_to_it()
        return ends

    def _see_to_it(self) -> None:
        if self._watch is None:
            if not self.slot.number and threading.get_ident() == self.slot.thread_id:
                # Somebody must listen, or the signal wakes nobody.
                self._before = signal.signal(WAKE, lambda _number, _frame: None)
            self._watch = threading.Thread(
                target=self._break_deadline, name="pgqueue-limit", daemon=True
            )
            self._watch.start()
        self._moved.set()

    def _break_deadline(self) -> None:
        while not self._over:
            self._moved.clear()
            now = monotonic()
            ends = self.slot.break_deadline(now)
            self._moved.wait(None if ends is None else max(0.0, ends - now))

    def _stop(self) -> None:
        self._over = True
        if self._watch is None:
            return
        self._moved.set()
        self._watch.join()
        if self._before is not None:
            signal.signal(WAKE, self._before)
