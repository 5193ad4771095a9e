"""One child as the supervisor sees it: what it holds, how much more it should get, how it ended."""

import contextlib
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, field
from typing import Literal

from pgqueue.worker.frames import FrameReader, Slots, SlotState

#: Seconds of work that a child should hold: enough to hide the round trip of the next batch.
_AHEAD = 0.025
#: Seconds between the end of a soft timeout and the kill.
HARD_AFTER = 5.0

Fate = Literal["crashed", "overdue", "interrupted", "unstarted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Casualty:
    """A job that a dead child held.

    Attributes:
        fate: `crashed` (it ran when the child died), `overdue` (the child was killed since this
            job went on after its limit), `interrupted` (it had begun, and is not to blame) or
            `unstarted`.
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
        answered: how many of the jobs it started it has answered.
        mean_us: how long its jobs take, smoothed; None before the first.
        heard_at: when it last answered, or got a batch while it had nothing to do.
        asked_back: it was asked for what it has not started.
        killed: by us.
        greeted: it has said that it is ready, once.
    """

    connection: socket.socket
    slots: Slots
    pid: int = 0
    ready: bool = False
    quitting: bool = False
    held: dict[int, int] = field(default_factory=dict)
    answered: int = 0
    mean_us: float | None = None
    heard_at: float = 0.0
    asked_back: bool = False
    killed: bool = False
    greeted: bool = False
    out: bytearray = field(default_factory=bytearray)
    reader: FrameReader = field(default_factory=FrameReader)

    def target(self, most: int) -> int:
        """How many jobs it should hold: its slots, and more the shorter its jobs are."""
        count = self.slots.count
        if self.mean_us is None:
            return count
        return max(count, min(2 * most, int(count * _AHEAD * 1_000_000 / max(self.mean_us, 10.0))))

    def room(self, most: int) -> int:
        """How many more jobs it should get now; it is refilled when half empty, so that batches
        stay large."""
        if not self.ready or self.quitting or self.asked_back:
            return 0
        wanted = self.target(most)
        missing = wanted - len(self.held)
        if len(self.held) >= self.slots.count and missing * 2 < wanted:
            return 0
        return max(0, min(missing, most))

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
        if not self.killed:
            return "crashed"
        overdue = slot.deadline and time.monotonic() >= slot.deadline + HARD_AFTER
        return "overdue" if overdue else "interrupted"


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
    """Say how a process ended, from its status as of `os.waitpid`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        return f"killed by signal {number}"
    return f"exited with code {os.WEXITSTATUS(status)}"
