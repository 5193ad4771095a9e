"""The supervisor's side of the children: give them batches, take answers, know what they hold.

A child is known by its socket, the memory it shares and the jobs it has not answered yet. Nothing
here opens a payload or an answer.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from pgqueue.core.errors import ConfigurationError
from pgqueue.worker import zygote
from pgqueue.worker.children import HARD_AFTER, Casualty, ChildProcess, in_words, shared_memory
from pgqueue.worker.frames import (
    Answer,
    Kind,
    Slots,
    pack,
    pack_batch,
    pack_ids,
    unpack_answer,
)

log = logging.getLogger("pgqueue.worker")

#: Seconds after which unstarted jobs behind a busy slot are asked back.
_STALE = 0.1
#: Seconds until a child that died before it was ready is replaced.
_FORK_AGAIN = 1.0


class Pool:
    """The children of one worker.

    Args:
        apps: modules whose tasks they run.
        processes: how many children.
        threads: slots of each.
        max_batch: most jobs in one batch.
        on_answer: called with each answer.
        on_death: called with what a dead child held, and how it ended, in words.
        on_room: called when a child may take more.
    """

    def __init__(
        self,
        *,
        apps: Iterable[str],
        processes: int,
        threads: int,
        max_batch: int,
        on_answer: Callable[[Answer], None],
        on_death: Callable[[list[Casualty], str], None],
        on_room: Callable[[], None],
    ) -> None:
        self._apps = list(apps)
        self._processes = processes
        self._threads = threads
        self._max_batch = max_batch
        self._on_answer = on_answer
        self._on_death = on_death
        self._on_room = on_room
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._children: list[ChildProcess] = []
        self._forking: list[ChildProcess] = []
        self._heard = bytearray()
        self._loaded: asyncio.Future[None] | None = None
        self._restart: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def held(self) -> int:
        """How many jobs the children hold."""
        return sum(len(child.held) for child in self._children)

    @property
    def pids(self) -> list[int]:
        """Process ids of the children."""
        return [child.pid for child in self._children if child.pid]

    def holds(self) -> dict[int, int]:
        """Give the batch of every job that a child holds."""
        return {job: batch for child in self._children for job, batch in child.held.items()}

    async def start(self) -> None:
        """Import the application in the zygote and fork the children.

        Raises:
            ConfigurationError: the application cannot be imported.
        """
        await self._start_zygote()
        for _ in range(self._processes):
            self._fork()

    def hungriest(self) -> tuple[ChildProcess, int] | None:
        """Give the child with the most room, and how much."""
        best: tuple[ChildProcess, int] | None = None
        for child in self._children:
            room = child.room(self._max_batch)
            if room and (best is None or len(child.held) < len(best[0].held)):
                best = child, room
        return best

    def give(self, child: ChildProcess, batch_no: int, ids: list[int], payload: bytes) -> bool:
        """Hand a batch to a child; False when it died meanwhile."""
        if child not in self._children:
            return False
        if not child.held:
            child.heard_at = time.monotonic()
        child.held.update(dict.fromkeys(ids, batch_no))
        self._send(child, pack_batch(batch_no, len(ids), payload))
        return True

    def cancel(self, ids: Iterable[int]) -> None:
        """Tell the children that these jobs should stop."""
        asked = list(ids)
        for child in self._children:
            mine = [job for job in asked if job in child.held]
            if mine:
                self._send(child, pack(Kind.CANCEL, pack_ids(mine)))

    def disown(self, ids: Iterable[int]) -> None:
        """Forget jobs that are no longer ours; their answers will be refused."""
        for job in ids:
            for child in self._children:
                child.held.pop(job, None)

    def quit(self) -> None:
        """Tell the children to give back what has not started and to end."""
        self._closing = True
        for child in self._children:
            child.quitting = True
            self._send(child, pack(Kind.QUIT))

    def kill(self) -> None:
        """Kill all children and the zygote, now; what they held is reported as of dead ones."""
        self._closing = True
        for child in list(self._children):
            self._kill(child)
            self._drain(child)
            self._bury(child, "killed at the end of the worker")
        self._end_zygote()

    def restart(self) -> None:
        """Kill all children, whose jobs are no longer ours, and fork others."""
        for child in list(self._children):
            self._kill(child)
            self._bury(child, "killed since its jobs were given to others")

    def watch(self) -> None:
        """Look after deadlines, and after jobs that wait behind a long one.

        Raises:
            ConfigurationError: the application cannot be imported any more.
        """
        if self._restart is not None and self._restart.done():
            self._restart.result()
            self._restart = None
        now = time.monotonic()
        for child in list(self._children):
            for slot in child.slots.read():
                if slot.deadline and now > slot.deadline + HARD_AFTER:
                    log.warning(
                        "child %d killed: job %d went on %.0f s after its limit",
                        child.pid,
                        slot.job_id,
                        now - slot.deadline,
                    )
                    self._kill(child)
                    break
            waiting = len(child.held) - child.slots.count
            if waiting > 0 and not child.asked_back and now - child.heard_at > _STALE:
                # One long job must not hold the others behind it.
                child.asked_back = True
                child.mean_us = _STALE * 1_000_000
                self._send(child, pack(Kind.RETURN))

    # -- the zygote -------------------------------------------------------------------------

    async def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._loaded = asyncio.get_running_loop().create_future()
        self._zygote = subprocess.Popen(
            [
                sys.executable, "-m", "pgqueue.worker.zygote",
                "--fd", str(theirs.fileno()), "--parent", str(os.getpid()),
                "--threads", str(self._threads), "--", *self._apps,
            ],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self._control = ours
        self._heard.clear()
        asyncio.get_running_loop().add_reader(ours, self._hear)
        await self._loaded

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose_zygote()
            return
        self._heard += data
        size = zygote.REPORT.size
        while len(self._heard) >= size:
            what, pid, status = zygote.REPORT.unpack_from(self._heard)
            if what == zygote.BROKEN:
                if len(self._heard) < size + status:
                    return
                said = bytes(self._heard[size : size + status]).decode("utf-8", "replace")
                self._heard.clear()
                self._closing = True
                if self._loaded is not None and not self._loaded.done():
                    self._loaded.set_exception(
                        ConfigurationError(f"the application cannot be imported: {said}")
                    )
                return
            del self._heard[:size]
            self._take_report(what, pid, status)

    def _take_report(self, what: bytes, pid: int, status: int) -> None:
        if what == zygote.READY and self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(None)
        elif what == zygote.FORKED and self._forking:
            self._forking.pop(0).pid = pid
        elif what == zygote.ENDED:
            for child in list(self._children):
                if child.pid == pid:
                    self._drain(child)
                    self._bury(child, in_words(status))

    def _lose_zygote(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        status = self._zygote.wait() if self._zygote is not None else 0
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(
                ConfigurationError(
                    "the process that imports the application ended "
                    f"{'with exit code' if status >= 0 else 'by signal'} {abs(status)}"
                )
            )
            return
        # Children die with it (PR_SET_PDEATHSIG, and the end of their sockets elsewhere).
        for child in list(self._children):
            self._kill(child)
            self._drain(child)
            self._bury(child, "killed together with its parent process")
        self._forking.clear()
        if not self._closing:
            log.error("the process that forks children ended; starting another")
            self._restart = asyncio.ensure_future(self.start())

    def _end_zygote(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        if self._zygote is not None:
            try:
                self._zygote.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
            self._zygote = None

    # -- one child --------------------------------------------------------------------------

    def _fork(self) -> None:
        if self._control is None or self._closing:
            return
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        memory = shared_memory(Slots.size(self._threads))
        child = ChildProcess(connection=ours, slots=Slots(memory, self._threads))
        try:
            socket.send_fds(self._control, [b"F"], [theirs.fileno(), memory])
        finally:
            theirs.close()
            os.close(memory)
        self._children.append(child)
        self._forking.append(child)
        asyncio.get_running_loop().add_reader(ours, self._read, child)

    def _read(self, child: ChildProcess) -> None:
        try:
            data = child.connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # The zygote tells how it ended; until then it only gets nothing any more.
            child.ready = False
            with contextlib.suppress(ValueError, OSError):
                asyncio.get_running_loop().remove_reader(child.connection)
            return
        self._take(child, data)

    def _take(self, child: ChildProcess, data: bytes) -> None:
        for kind, body in child.reader.feed(data):
            if kind is Kind.HELLO:
                child.ready = child.greeted = True
            elif kind is Kind.ANSWER:
                answer = unpack_answer(body)
                for job in answer.ids:
                    child.held.pop(job, None)
                child.heard_at = time.monotonic()
                child.answered += answer.started
                if answer.started:
                    mean = answer.busy_us / answer.started
                    old = child.mean_us
                    child.mean_us = mean if old is None else 0.7 * old + 0.3 * mean
                if child.asked_back and len(child.held) <= child.slots.count:
                    child.asked_back = False
                self._on_answer(answer)
        self._on_room()

    def _drain(self, child: ChildProcess) -> None:
        """Take the answers that a child sent before it died."""
        with contextlib.suppress(OSError):
            while data := child.connection.recv(1 << 20):
                self._take(child, data)

    def _send(self, child: ChildProcess, frame: bytes) -> None:
        waiting = bool(child.out)
        child.out += frame
        if not waiting:
            self._write(child)

    def _write(self, child: ChildProcess) -> None:
        loop = asyncio.get_running_loop()
        try:
            while child.out:
                sent = child.connection.send(child.out)
                del child.out[:sent]
        except BlockingIOError:
            loop.add_writer(child.connection, self._write, child)
            return
        except OSError:
            child.out.clear()
        loop.remove_writer(child.connection)

    def _kill(self, child: ChildProcess) -> None:
        child.killed = True
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)

    def _bury(self, child: ChildProcess, how: str) -> None:
        if child not in self._children:
            return
        self._children.remove(child)
        loop = asyncio.get_running_loop()
        loop.remove_reader(child.connection)
        loop.remove_writer(child.connection)
        child.connection.close()
        casualties = child.casualties()
        child.slots.close()
        if not child.quitting or casualties:
            log.warning("child %d ended: %s; it held %d jobs", child.pid, how, len(casualties))
        self._on_death(casualties, how)
        if child.greeted:
            self._fork()
        else:
            # What kills it may kill the next one too.
            loop.call_later(_FORK_AGAIN, self._fill_up)

    def _fill_up(self) -> None:
        # A new zygote may have brought its own children meanwhile.
        if len(self._children) < self._processes:
            self._fork()
