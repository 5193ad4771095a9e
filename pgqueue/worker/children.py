"""One child as the supervisor sees it: what it holds, how much more it should get, how it ended."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, field
from typing import Literal

from pgqueue.worker.frames import Answer, FrameReader, Kind, Slots, SlotState, pack, unpack_ids

#: Seconds of work that a child should hold: enough to hide the round trip of the next batch.
_AHEAD = 0.025
#: Seconds after which unstarted jobs behind a busy slot are asked back.
_STALE = 0.1
#: Seconds between the end of a soft timeout and the kill.
HARD_AFTER = 5.0
#: Seconds between two tries after many failures, and between two lines of the log about them.
_LONGEST_WAIT = 10.0
_SAY_EVERY = 60.0

Fate = Literal["crashed", "overdue", "cancelled", "interrupted", "unstarted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Casualty:
    """A job that a dead child held.

    Attributes:
        fate: `crashed` (it ran when the child died), `overdue` (the child was killed since this
            job went on after its limit), `cancelled` (or after somebody had asked it to stop),
            `interrupted` (it had begun, and is not to blame) or `unstarted`.
        slot: what its slot said, if it was running when the child died.
    """

    batch_no: int
    job_id: int
    fate: Fate
    slot: SlotState | None


@dataclass(slots=True, eq=False)
class ChildProcess:
    """One child as the supervisor sees it.

    Attributes:
        held: the batch of each job not answered yet, in the order they were sent.
        given: how many jobs it got and has not sent back unstarted.
        answered: how many of the jobs it started it has answered.
        mean_us: how long its jobs take, smoothed; None before the first.
        heard_at: when it last answered, or got a batch while it had nothing to do.
        asked_back: it was asked for what it has not started.
        cancels: when the patience with each job is over that was asked to stop.
        killed: why we killed it; empty if we did not.
        cut_off: it closed its socket and lived on, which what it ran must have done.
        greeted: it has said that it is ready, once.
        retiring: it gets no more jobs and ends when it has finished those it runs.
        lent: how many of its slots must stay free, since as many are busy in children that are
            being replaced.
        most: how many jobs it may get in its life; None for any number.
        wants: how many jobs more a call of a batch task waits for.
        worn: it asks to be replaced: tasks have left threads behind in it.
    """

    connection: socket.socket
    slots: Slots
    pid: int = 0
    ready: bool = False
    quitting: bool = False
    held: dict[int, int] = field(default_factory=dict)
    given: int = 0
    answered: int = 0
    mean_us: float | None = None
    heard_at: float = 0.0
    asked_back: bool = False
    cancels: dict[int, float] = field(default_factory=dict)
    killed: str = ""
    cut_off: bool = False
    greeted: bool = False
    retiring: bool = False
    lent: int = 0
    most: int | None = None
    worn: bool = False
    wants: int = 0
    out: bytearray = field(default_factory=bytearray)
    reader: FrameReader = field(default_factory=FrameReader)

    def send(self, frame: bytes) -> None:
        """Send a frame, now and when there is room; two full pipes must not wait for each other."""
        waiting = bool(self.out)
        self.out += frame
        if not waiting:
            self._write()

    def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self.out:
                sent = self.connection.send(self.out)
                del self.out[:sent]
        except BlockingIOError:
            loop.add_writer(self.connection, self._write)
            return
        except OSError:
            self.out.clear()
        loop.remove_writer(self.connection)

    def quit(self) -> None:
        """Tell it to give back what has not started, and to end."""
        self.quitting = True
        self.send(pack(Kind.QUIT))

    def kill(self, why: str) -> None:
        """Kill it; the zygote tells when it is dead."""
        self.killed = self.killed or why
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Give back what was shared with it."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.connection)
        loop.remove_writer(self.connection)
        self.connection.close()
        self.slots.close()

    def target(self, most: int) -> int:
        """How many jobs it should hold: its slots, and more the shorter its jobs are."""
        count = self.slots.count
        if self.lent:
            # Nothing ahead: the slots would take it.
            return max(0, count - self.lent)
        if self.mean_us is None:
            return count
        return max(count, min(2 * most, int(count * _AHEAD * 1_000_000 / max(self.mean_us, 10.0))))

    def room(self, most: int) -> int:
        """How many more jobs it should get now; it is refilled when half empty, so that batches
        stay large."""
        if not self.ready or self.quitting or self.retiring or self.asked_back:
            return 0
        if self.wants:
            missing = self.wants
        else:
            wanted = self.target(most)
            missing = wanted - len(self.held)
            if len(self.held) >= self.slots.count and missing * 2 < wanted:
                return 0
        if self.most is not None:
            missing = min(missing, self.most - self.given)
        return max(0, min(missing, most))

    @property
    def is_used_up(self) -> bool:
        """Whether it has got all the jobs that it may get."""
        return self.most is not None and self.given >= self.most

    def give(self, batch_no: int, ids: list[int]) -> None:
        """Note that it was sent a batch."""
        if not self.held:
            self.heard_at = time.monotonic()
        self.held.update(dict.fromkeys(ids, batch_no))
        self.wants = 0
        self.given += len(ids)

    def note(self, kind: Kind, body: bytes) -> bool:
        """Note what it asks for; gives whether it asks to be replaced."""
        if kind is Kind.WANT:
            [self.wants] = unpack_ids(body)
        self.worn = self.worn or kind is Kind.WORN
        return kind is Kind.WORN

    def take(self, answer: Answer) -> None:
        """Note an answer."""
        if not answer.ids:
            return  # what its jobs say of themselves
        self.wants = 0
        for job in answer.ids:
            self.held.pop(job, None)
            self.cancels.pop(job, None)
        self.heard_at = time.monotonic()
        self.answered += answer.started
        self.given -= len(answer.ids) - answer.started
        if answer.started:
            mean = answer.busy_us / answer.started
            old = self.mean_us
            self.mean_us = mean if old is None else 0.7 * old + 0.3 * mean
        if self.asked_back and len(self.held) <= self.slots.count:
            self.asked_back = False

    def ask_back(self, now: float) -> None:
        """Ask for what waits behind a long job, which must not hold the others."""
        waiting = len(self.held) - self.slots.count
        if waiting > 0 and not self.asked_back and now - self.heard_at > _STALE:
            self.asked_back = True
            self.mean_us = _STALE * 1_000_000
            self.send(pack(Kind.RETURN))

    def overstayed(self, now: float) -> str | None:
        """Tell why it must be killed: a job runs on after its limit, or though it was cancelled."""
        for slot in self.slots.read():
            if slot.deadline and now > slot.deadline + HARD_AFTER:
                return f"job {slot.job_id} went on {now - slot.deadline:.0f} s after its limit"
            if now > self.cancels.get(slot.job_id, now):
                return f"job {slot.job_id} went on after it was cancelled"
        return None

    def casualties(self) -> list[Casualty]:
        """Tell what became of the jobs it holds, now that it is dead."""
        running = {slot.job_id: slot for slot in self.slots.read()}
        # Jobs start in the order in which they were sent, so those started are the first ones.
        started = self.slots.started - self.answered
        return [
            Casualty(
                batch_no=batch_no,
                job_id=job_id,
                fate=self._fate(running.get(job_id), place < started),
                slot=running.get(job_id),
            )
            for place, (job_id, batch_no) in enumerate(self.held.items())
        ]

    def _fate(self, slot: SlotState | None, started: bool) -> Fate:
        if slot is None:
            return "interrupted" if started else "unstarted"
        if not self.killed or self.cut_off:
            return "crashed"
        now = time.monotonic()
        if now >= self.cancels.get(slot.job_id, now + 1):
            return "cancelled"
        overdue = slot.deadline and now >= slot.deadline + HARD_AFTER
        return "overdue" if overdue else "interrupted"


class Setbacks:
    """Failures of one kind in a row: how long to wait, and when to say so."""

    def __init__(self) -> None:
        self._row = 0
        self._until = 0.0
        self._said_at = -_SAY_EVERY
        self._said = False

    @property
    def wait(self) -> float:
        """Seconds until it should be tried again."""
        return max(0.0, self._until - time.monotonic()) if self._row else 0.0

    def add(self) -> bool:
        """Note a failure; give whether it should be said: once a minute."""
        now = time.monotonic()
        self._until = now + min(_LONGEST_WAIT, 2.0**self._row)
        self._row = min(self._row + 1, 16)
        if now - self._said_at < _SAY_EVERY:
            return False
        self._said_at, self._said = now, True
        return True

    def end(self) -> bool:
        """Note that it works; give whether that should be said, since the contrary was."""
        said, self._row, self._said = self._said, 0, False
        return said


def shared_memory(size: int) -> int:
    """Make a piece of memory that can be sent to another process, as a file descriptor."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("pgqueue-slots")
    else:
        fd, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(fd, size)
    return fd


def in_words(status: int) -> str:
    """Say how a process ended that we did not kill, from its status as of `os.waitpid`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return "killed by SIGKILL (possibly out of memory)"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        return f"killed by signal {number}"
    return f"exited with code {os.WEXITSTATUS(status)}"
