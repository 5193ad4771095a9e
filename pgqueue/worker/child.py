"""What runs in a child process: take batches, run their jobs in slots, answer in pieces.

One thread reads what the supervisor sends; each slot is a thread that runs one job at a time, the
first of them the main thread. Async tasks run on one event loop, their slot waiting for them.
Answers go at once when there is nothing left to do, else every few milliseconds.

The clock is imported by its own name here and beside: tasks patch modules.
"""

import contextlib
import itertools
import os
import queue
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from functools import partial
from time import monotonic

from pgqueue.api.registry import Registry
from pgqueue.core import failpoints
from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.core.outcome import Failed, Outcome, Succeeded, describe_exception
from pgqueue.db import leftovers
from pgqueue.worker.answers import Answers
from pgqueue.worker.atomic import Atomic, Ending, GivenBack, Stored, record_given_back
from pgqueue.worker.batching import Batches, Call
from pgqueue.worker.contexts import make_context
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import (
    Caller,
    Prepared,
    Ticket,
    UnknownTask,
    decide,
    delay_when_late,
    prepare,
    read_batch,
    record,
    record_state,
    run,
    when_cancelled,
)
from pgqueue.worker.frames import FrameReader, Kind, Slots, unpack_batch, unpack_ids
from pgqueue.worker.hygiene import Hygiene, end_cut_off
from pgqueue.worker.notes import Notes
from pgqueue.worker.slots import WAKE, Slot

#: Seconds between two answers of a busy child.
_PIECE = 0.005
#: Seconds after which the reader sends what a slot has left behind.
_LEFT = 0.02
#: Longest sleep of the reader, in seconds; poll() counts milliseconds in 31 bits.
_LONGEST_SLEEP = 3600.0


class Child:
    """Run jobs until the supervisor says otherwise or is gone.

    Args:
        connection: the socket to the supervisor.
        slots: the memory shared with it; its count is the number of slots.
        registry: the tasks this process knows.
        timeout: seconds for jobs whose task and producer say nothing; None for no limit.
    """

    def __init__(
        self,
        connection: socket.socket,
        slots: Slots,
        registry: Registry,
        timeout: float | None = None,
    ) -> None:
        self._connection = connection
        self._shared = slots
        self._registry = registry
        self._timeout = timeout
        self._answers = Answers(connection)
        self._notes = Notes(self._answers.send, self._nudge_reader)
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        #: Running jobs that were asked to stop.
        self._cancelled: set[int] = set()
        loop = EventLoop()
        self._slots = [Slot(number, loop, self._cancelled) for number in range(slots.count)]
        self._others: list[threading.Thread] = []
        self._atomic = Atomic(loop)
        self._batches = Batches(registry, self._inbox, self._answers, self._start)
        self._started = itertools.count(1)
        self._nudge, self._nudged = os.pipe()
        #: The worker whose child this is; one that registers anew gets other children.
        self._worker_id = 0

    def main(self) -> None:
        """Run until told to quit. Called in the main thread of the child."""
        signal.signal(WAKE, lambda _number, _frame: None)
        self._hygiene = Hygiene(
            self._connection.fileno(), len(self._slots), self._is_alone, self._answers.worn
        )
        self._answers.hello()
        threading.Thread(target=self._read, name="pgqueue-reader", daemon=True).start()
        self._serve(self._slots[0])
        for other in self._others:
            other.join()

    def _nudge_reader(self) -> None:
        os.write(self._nudged, b".")

    def _is_alone(self, number: int) -> bool:
        return not any(slot.job_id for slot in self._slots if slot.number != number)

    # -- the reader -------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._read_on()
        except BaseException:
            # A child that hears nothing any more would keep its jobs for ever.
            traceback.print_exc()
            os._exit(70)

    def _read_on(self) -> None:
        answers = self._answers
        frames = FrameReader()
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(self._nudge, select.POLLIN)
        while True:
            wait = self._break_deadlines()
            if answers.waiting or not self._inbox.empty():
                # Two slots leave outcomes behind: one saw a job, which the other took.
                wait = _LEFT if wait is None else min(wait, _LEFT)
            if (due := self._notes.due_in) is not None:
                wait = due if wait is None else min(wait, due)
            if wait is not None:
                wait = max(1.0, 1000.0 * min(wait, _LONGEST_SLEEP))
            ready = poll.poll(wait)
            if answers.waiting and monotonic() - answers.last_sent > _PIECE:
                answers.flush()
            self._notes.flush_due()
            for fd, _event in ready:
                if fd == self._nudge:
                    os.read(self._nudge, 4096)
                    continue
                try:
                    data = self._connection.recv(1 << 20)
                except ConnectionError:
                    data = b""
                except OSError:
                    end_cut_off()
                if not data:
                    # The supervisor is gone; what runs here is nobody's any more.
                    os._exit(0)
                for kind, body in frames.feed(data):
                    self._handle(kind, body)

    def _handle(self, kind: Kind, body: bytes) -> None:
        match kind:
            case Kind.BATCH:
                batch_no, self._worker_id, payload = unpack_batch(body)
                for ticket in read_batch(batch_no, payload):
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
                self._cancel(set(unpack_ids(body)))
            case Kind.QUIT:
                self._give_back()
                for _ in self._slots:
                    self._inbox.put(None)
            case _:
                pass

    def _give_back(self) -> None:
        self._answers.give_back(ticket for ticket in self._empty_inbox() if ticket is not None)
        self._answers.flush()

    def _empty_inbox(self) -> list[Ticket | None]:
        found: list[Ticket | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._inbox.get_nowait())
        for slot in self._slots:
            while (ticket := slot.next_ahead()) is not None:
                found.append(ticket)
        return found

    def _cancel(self, ids: set[int]) -> None:
        """Stop jobs: what waits here goes back unstarted, which ends it, since somebody asked for
        its end; what runs is told."""
        waiting = self._empty_inbox()
        gone = [ticket for ticket in waiting if ticket is not None and ticket.job_id in ids]
        for ticket in waiting:
            if ticket is None or ticket.job_id not in ids:
                self._inbox.put(ticket)
        if gone:
            self._answers.give_back(gone)
            self._answers.flush()
        # First this, then the slots: a job that just begins looks here before it does.
        self._cancelled.update(ids - {ticket.job_id for ticket in gone})
        for slot in self._slots:
            slot.cancel(ids)

    def _break_deadlines(self) -> float | None:
        """Raise JobTimeout in slots whose time is over; give the seconds until the next one."""
        soonest: float | None = None
        now = monotonic()
        for slot in self._slots[: len(self._others) + 1]:
            ends = slot.break_deadline(now)
            if ends is not None:
                soonest = ends if soonest is None else min(soonest, ends)
        return None if soonest is None else soonest - now

    # -- the slots --------------------------------------------------------------------------

    def _serve(self, slot: Slot) -> None:
        slot.thread_id = threading.get_ident()
        leftovers.watch()
        get, answers, batches = self._inbox.get, self._answers, self._batches.tasks
        while (ticket := slot.next_ahead() or get()) is not None:
            self._start()
            try:
                if ticket.task in batches:
                    self._work_batch(slot, self._batches.gather(slot, ticket))
                else:
                    self._work(slot, ticket)
            except BaseException as error:
                # A fault of ours; the job says so, and its neighbours go on.
                self._shared.leave(slot.number)
                failed = Failed(error=describe_exception(error))
                answers.tell(ticket, record(ticket.job_id, failed, 0), 0)
            slot.job_id = 0
            now = monotonic()
            if self._inbox.empty() or now - answers.last_sent > _PIECE:
                answers.flush()
        answers.flush()

    def _start(self) -> None:
        self._shared.set_started(next(self._started))

    def _work(self, slot: Slot, ticket: Ticket) -> None:
        job_id = slot.job_id = ticket.job_id
        if job_id in self._cancelled:
            # It left the inbox just before the request came.
            self._answers.tell(ticket, record_state(job_id, "unstarted"), 0)
            self._cancelled.discard(job_id)
            return
        job = prepare(ticket, self._registry, self._timeout)
        if isinstance(job, UnknownTask):
            self._answers.tell(ticket, record_state(job_id, "unknown_task"), 0)
            return
        if isinstance(job, Failed):
            self._answers.tell(ticket, record(job_id, job, 0), 0)
            return
        if job.task.options.batch > 1:
            # Its module was imported just now.
            self._batches.add(job.task)
            self._work_batch(slot, self._batches.gather(slot, ticket))
            return
        begun = monotonic()
        ending: Ending
        if job.task.options.atomic:
            # Without its limit yet, which counts from when the task has its transaction.
            self._shared.enter(slot.number, job_id, begun, 0.0, -1.0)
            ending = self._atomic.run(slot, job, self._worker_id, partial(self._run, slot, job))
        else:
            ending = self._run(slot, job)
        self._notes.flush_of(ticket)
        us = int((monotonic() - begun) * 1_000_000)
        self._hygiene.after(
            slot.number, job_id, ticket.task, us, not isinstance(ending, Succeeded | Stored)
        )
        self._shared.leave(slot.number)
        self._tell(ticket, ending, us)

    def _tell(self, ticket: Ticket, ending: Ending, us: int) -> None:
        job_id = ticket.job_id
        if job_id in self._cancelled:
            ending = when_cancelled(ending)
            self._cancelled.discard(job_id)
        match ending:
            case Stored():
                self._answers.tell_stored(ticket, us)
            case GivenBack():
                self._answers.tell(
                    ticket, record_given_back(job_id, ending), us, unsure=ending.unsure
                )
            case Succeeded(result=b"null"):
                self._answers.tell(ticket, None, us)
            case _:
                self._answers.tell(ticket, record(job_id, ending, us), us)

    def _work_batch(self, slot: Slot, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            if ticket.job_id in self._cancelled:
                self._answers.tell(ticket, record_state(ticket.job_id, "unstarted"), 0)
        left = [ticket for ticket in tickets if ticket.job_id not in self._cancelled]
        self._cancelled.difference_update(ticket.job_id for ticket in tickets)
        call = Call.of(left, self._registry, self._timeout, self._answers)
        if not call.jobs:
            return
        whole = call.as_job(self._cancelled.__contains__)
        slot.job_id = whole.ticket.job_id
        begun = monotonic()
        outcome = self._run(slot, whole, wrap=call.remembering)
        us = int((monotonic() - begun) * 1_000_000)
        self._hygiene.after(
            slot.number, slot.job_id, whole.ticket.task, us, type(outcome) is not Succeeded
        )
        self._shared.leave(slot.number)
        for job, ending in zip(call.jobs, call.outcomes(outcome), strict=True):
            self._tell(job.ticket, ending, us // len(call.jobs))

    def _run(
        self,
        slot: Slot,
        job: Prepared,
        connection: object = None,
        wrap: Callable[[Caller], Caller] | None = None,
    ) -> Outcome:
        """Call the function and decide.

        Args:
            connection: of an atomic task's transaction.
            wrap: makes another caller of the slot's.
        """
        job_id = job.ticket.job_id
        context = make_context(
            job,
            lambda: job_id in self._cancelled,
            connection,
            sink=self._notes,
            move=partial(self._move, slot, job),
        )
        call: Caller = slot.call if wrap is None else wrap(slot.call)
        begun = monotonic()
        if job.timeout is None and context is None:
            self._shared.enter(slot.number, job_id, begun, 0.0, -1.0)
            outcome = run(job, context, call)
        else:
            outcome = self._run_limited(slot, job, context, call, begun)
        if failpoints.on:
            failpoints.hit("child_after_fn")
        return outcome

    def _move(self, slot: Slot, job: Prepared, seconds: float, nearer: bool) -> float | None:
        """Let a job have at least, or at most, so many seconds from now."""
        ends = slot.move(job.ticket.job_id, monotonic() + seconds, nearer=nearer)
        if ends is not None:
            self._show_limit(slot, job, ends)
        return ends

    def _show_limit(self, slot: Slot, job: Prepared, ends: float) -> None:
        """Tell the supervisor, and the reader, when a job is to end."""
        after = delay_when_late(job)
        self._shared.enter(
            slot.number, job.ticket.job_id, slot.begun, ends, -1.0 if after is None else after
        )
        self._nudge_reader()

    def _run_limited(
        self, slot: Slot, job: Prepared, context: Context | None, call: Caller, begun: float
    ) -> Outcome:
        """Run a job that has a timeout, or may get one: the reader raises JobTimeout in it when its
        time is over, and the supervisor kills this process if that does not help."""
        slot.begun = begun
        outcome: Outcome | None = None
        try:
            if job.timeout is None:
                self._shared.enter(slot.number, job.ticket.job_id, begun, 0.0, -1.0)
                slot.limit(None)
            else:
                slot.limit(begun + job.timeout)
                self._show_limit(slot, job, begun + job.timeout)
            outcome = run(job, context, call)
            slot.settle()
        except JobTimeout as late:
            # It came after the task had ended; it comes once only.
            slot.settle()
            outcome = outcome or decide(job, late)
        return outcome
