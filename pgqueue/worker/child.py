"""What runs in a child process: take batches, run their jobs in slots, answer in pieces.

One thread reads what the supervisor sends; each slot is a thread that runs one job at a time, the
first of them the main thread. Async tasks run on one event loop, their slot waiting for them.
Answers go at once when there is nothing left to do, else every few milliseconds.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import queue
import select
import socket
import threading
import time
import traceback
from typing import Any

from pgqueue.api.registry import Registry
from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.core.outcome import Failed, Outcome, Succeeded, describe_exception
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import (
    Caller,
    Prepared,
    Ticket,
    UnknownTask,
    decide,
    delay_when_late,
    make_context,
    prepare,
    read_batch,
    record,
    record_state,
    run,
)
from pgqueue.worker.frames import (
    Answer,
    FrameReader,
    Kind,
    Slots,
    pack,
    pack_answer,
    unpack_batch,
    unpack_ids,
)

#: Seconds between two answers of a busy child.
_PIECE = 0.005
#: Seconds after which the reader sends what a slot has left behind.
_LEFT = 0.02
#: Longest sleep of the reader, in seconds; poll() counts milliseconds in 31 bits.
_LONGEST_SLEEP = 3600.0
_JOB_TIMEOUT = ctypes.py_object(JobTimeout)


class _Slot:
    """One place where a job runs. All but `number` and `thread_id` is guarded by `guard`.

    Attributes:
        ends: when the job's time is over.
        awaits: whether the job is on the event loop, or on its way there.
        late: whether its time was over while it was there.
        waits_for: the asyncio task, once the loop has begun it.
    """

    __slots__ = ("awaits", "ends", "guard", "late", "number", "thread_id", "waits_for")

    def __init__(self, number: int) -> None:
        self.number = number
        self.guard = threading.Lock()
        self.thread_id = 0
        self.ends: float | None = None
        self.awaits = False
        self.late = False
        self.waits_for: asyncio.Task[Any] | None = None


class _Pieces:
    """Outcomes that wait to be sent, by batch."""

    __slots__ = ("busy", "done", "ids", "started", "took", "written")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.started = 0
        self.busy = 0
        self.done: list[int] = []
        self.took: list[int] = []
        self.written: list[bytes] = []

    def document(self, batch_no: int) -> bytes:
        return b'{"batch":%d,"ok":"{%s}","us":"{%s}","rest":[%s]}' % (
            batch_no,
            ",".join(map(str, self.done)).encode(),
            ",".join(map(str, self.took)).encode(),
            b",".join(self.written),
        )


class Child:
    """Run jobs until the supervisor says otherwise or is gone.

    Args:
        connection: the socket to the supervisor.
        slots: the memory shared with it; its count is the number of slots.
        registry: the tasks this process knows.
    """

    def __init__(self, connection: socket.socket, slots: Slots, registry: Registry) -> None:
        self._connection = connection
        self._shared = slots
        self._registry = registry
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._slots = [_Slot(number) for number in range(slots.count)]
        self._others: list[threading.Thread] = []
        self._started = itertools.count(1)
        self._pieces: dict[int, _Pieces] = {}
        self._sending = threading.Lock()
        self._last_sent = 0.0
        self._cancelled: set[int] = set()
        self._loop = EventLoop()
        self._nudge, self._nudged = os.pipe()

    def main(self) -> None:
        """Run until told to quit. Called in the main thread of the child."""
        self._send(pack(Kind.HELLO))
        threading.Thread(target=self._read, name="pgqueue-reader", daemon=True).start()
        self._serve(self._slots[0])
        for other in self._others:
            other.join()

    # -- the reader -------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._read_on()
        except BaseException:
            # A child that hears nothing any more would keep its jobs for ever.
            traceback.print_exc()
            os._exit(70)

    def _read_on(self) -> None:
        frames = FrameReader()
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(self._nudge, select.POLLIN)
        while True:
            wait = self._break_deadlines()
            if self._pieces or not self._inbox.empty():
                # Two slots leave outcomes behind: one saw a job, which the other took.
                wait = _LEFT if wait is None else min(wait, _LEFT)
            if wait is not None:
                wait = max(1.0, 1000.0 * min(wait, _LONGEST_SLEEP))
            ready = poll.poll(wait)
            if self._pieces and time.monotonic() - self._last_sent > _PIECE:
                self._flush()
            for fd, _event in ready:
                if fd == self._nudge:
                    os.read(self._nudge, 4096)
                    continue
                try:
                    data = self._connection.recv(1 << 20)
                except OSError:
                    data = b""
                if not data:
                    # The supervisor is gone; what runs here is nobody's any more.
                    os._exit(0)
                for kind, body in frames.feed(data):
                    self._handle(kind, body)

    def _handle(self, kind: Kind, body: bytes) -> None:
        match kind:
            case Kind.BATCH:
                for ticket in read_batch(*unpack_batch(body)):
                    # A request that came too late for an attempt before is not meant for this one.
                    self._cancelled.discard(ticket.job_id)
                    self._inbox.put(ticket)
                while len(self._others) + 1 < len(self._slots) and self._inbox.qsize():
                    slot = self._slots[len(self._others) + 1]
                    other = threading.Thread(
                        target=self._serve,
                        args=(slot,),
                        name=f"pgqueue-slot-{slot.number}",
                        daemon=True,
                    )
                    self._others.append(other)
                    other.start()
            case Kind.RETURN:
                self._give_back()
            case Kind.CANCEL:
                self._cancelled.update(unpack_ids(body))
            case Kind.QUIT:
                self._give_back()
                for _ in self._slots:
                    self._inbox.put(None)
            case _:
                pass

    def _give_back(self) -> None:
        with contextlib.suppress(queue.Empty), self._sending:
            while True:
                ticket = self._inbox.get_nowait()
                if ticket is not None:
                    piece = self._piece(ticket.batch_no)
                    piece.ids.append(ticket.job_id)
                    piece.written.append(record_state(ticket.job_id, "unstarted"))
        self._flush()

    def _break_deadlines(self) -> float | None:
        """Raise JobTimeout in slots whose time is over; give the seconds until the next one."""
        soonest: float | None = None
        now = time.monotonic()
        for slot in self._slots[: len(self._others) + 1]:
            with slot.guard:
                ends = slot.ends
                if ends is None:
                    continue
                if ends > now:
                    soonest = ends if soonest is None else min(soonest, ends)
                    continue
                slot.ends = None
                if slot.awaits:
                    slot.late = True
                    if slot.waits_for is not None:
                        self._loop.call_soon(slot.waits_for.cancel)
                else:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(slot.thread_id), _JOB_TIMEOUT
                    )
        return None if soonest is None else soonest - now

    # -- the slots --------------------------------------------------------------------------

    def _serve(self, slot: _Slot) -> None:
        slot.thread_id = threading.get_ident()
        get, registry = self._inbox.get, self._registry
        while (ticket := get()) is not None:
            self._shared.set_started(next(self._started))
            try:
                self._work(slot, ticket, registry)
            except BaseException as error:
                # A fault of ours; the job says so, and its neighbours go on.
                self._shared.leave(slot.number)
                failed = Failed(error=describe_exception(error))
                self._tell(ticket, record(ticket.job_id, failed, 0), 0)
            now = time.monotonic()
            if self._inbox.empty() or now - self._last_sent > _PIECE:
                self._flush()
        self._flush()

    def _work(self, slot: _Slot, ticket: Ticket, registry: Registry) -> None:
        job = prepare(ticket, registry)
        if isinstance(job, UnknownTask):
            self._tell(ticket, record_state(ticket.job_id, "unknown_task"), 0)
            return
        if isinstance(job, Failed):
            self._tell(ticket, record(ticket.job_id, job, 0), 0)
            return
        job_id = ticket.job_id
        context = make_context(job, lambda: job_id in self._cancelled)
        begun = time.monotonic()
        call = self._caller(slot)
        if job.timeout is None:
            self._shared.enter(slot.number, job_id, begun, 0.0, -1.0)
            outcome = run(job, context, call)
        else:
            outcome = self._run_limited(slot, job, context, call, begun)
        self._shared.leave(slot.number)
        us = int((time.monotonic() - begun) * 1_000_000)
        self._cancelled.discard(job_id)
        if type(outcome) is Succeeded and outcome.result == b"null":
            self._tell(ticket, None, us)
        else:
            self._tell(ticket, record(job_id, outcome, us), us)

    def _run_limited(
        self, slot: _Slot, job: Prepared, context: Context | None, call: Caller, begun: float
    ) -> Outcome:
        """Run a job that has a timeout: the reader raises JobTimeout in it when its time is over,
        and the supervisor kills this process if that does not help."""
        ends = begun + (job.timeout or 0.0)
        after = delay_when_late(job)
        self._shared.enter(
            slot.number, job.ticket.job_id, begun, ends, -1.0 if after is None else after
        )
        outcome: Outcome | None = None
        try:
            # From here on it may come at any moment.
            with slot.guard:
                slot.ends = ends
            os.write(self._nudged, b".")
            outcome = run(job, context, call)
            _settle(slot)
        except JobTimeout as late:
            # It came after the task had ended; it comes once only.
            _settle(slot)
            outcome = outcome or decide(job, late)
        return outcome

    def _caller(self, slot: _Slot) -> Caller:
        def call(job: Prepared, context: Context | None) -> object:
            function = job.task.function
            first = () if context is None else (context,)
            if job.task.is_async:
                return self._await(slot, function(*first, *job.args, **job.kwargs))
            return function(*first, *job.args, **job.kwargs)

        return call

    def _await(self, slot: _Slot, coroutine: Any) -> object:
        """Run a coroutine on the event loop of this process; its slot waits for it."""

        async def watched() -> tuple[object, BaseException | None]:
            with slot.guard:
                slot.waits_for = asyncio.current_task()
                late = slot.late
            try:
                if late:
                    coroutine.close()
                    return None, asyncio.CancelledError()
                return await coroutine, None
            except BaseException as error:
                # A value, since asyncio lets SystemExit through, which would stop the loop.
                return None, error
            finally:
                with slot.guard:
                    slot.waits_for = None

        with slot.guard:
            slot.awaits, slot.late = True, False
        result, error = self._loop.run(watched())
        with slot.guard:
            slot.awaits = False
        if error is None:
            return result
        if slot.late and isinstance(error, asyncio.CancelledError):
            raise JobTimeout("the task was cancelled")
        raise error

    # -- the answers ------------------------------------------------------------------------

    def _tell(self, ticket: Ticket, written: bytes | None, us: int) -> None:
        with self._sending:
            piece = self._piece(ticket.batch_no)
            piece.ids.append(ticket.job_id)
            piece.started += 1
            piece.busy += us
            if written is None:
                piece.done.append(ticket.job_id)
                piece.took.append(us)
            else:
                piece.written.append(written)

    def _piece(self, batch_no: int) -> _Pieces:
        found = self._pieces.get(batch_no)
        if found is None:
            found = self._pieces[batch_no] = _Pieces()
        return found

    def _flush(self) -> None:
        with self._sending:
            pieces, self._pieces = self._pieces, {}
            self._last_sent = time.monotonic()
            for batch_no, piece in pieces.items():
                self._send(
                    pack_answer(
                        Answer(
                            batch_no=batch_no,
                            ids=piece.ids,
                            started=piece.started,
                            busy_us=piece.busy,
                            document=piece.document(batch_no),
                        )
                    )
                )

    def _send(self, frame: bytes) -> None:
        try:
            self._connection.sendall(frame)
        except OSError:
            os._exit(0)


def _settle(slot: _Slot) -> None:
    """Let no JobTimeout arrive any more: what was raised and not delivered is taken back."""
    while True:
        try:
            with slot.guard:
                slot.ends = None
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(slot.thread_id), None)
            return
        except JobTimeout:
            continue
