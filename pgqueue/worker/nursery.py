"""The zygote as the supervisor sees it: started, asked for children, heard, ended.

There is one at a time, but for a reload: then the old one lives on until its last child has ended,
since children die with the process that forked them.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable

from pgqueue.core.errors import ConfigurationError
from pgqueue.worker import zygote
from pgqueue.worker.children import ChildProcess, in_words, shared_memory
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.frames import Slots


class ZygoteKilledError(ConfigurationError):
    """The zygote was killed by a signal while it imported the application; another may not be."""


class Nursery:
    """One zygote and its children.

    Args:
        config: the modules that it imports, the slots of each child, what its children give to jobs
            that name no limit; and whether it asks for another zygote, by SIGHUP, when files of the
            application change.
        on_ended: called with a child and its status as of `os.waitpid`.
        on_refused: called with a child that could not be forked, and why.
        on_lost: called with this and its children when the zygote is gone, and they with it.
    """

    def __init__(
        self,
        *,
        config: WorkerConfig,
        on_ended: Callable[[ChildProcess, int], None],
        on_refused: Callable[[ChildProcess, str], None],
        on_lost: Callable[["Nursery", list[ChildProcess]], None],
    ) -> None:
        self._apps = config.apps
        self._threads = config.threads
        self._timeout = config.timeout
        self._reload = config.reload
        self._on_ended = on_ended
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._heard = bytearray()
        self._loaded: asyncio.Future[None] | None = None
        self._forking: deque[ChildProcess] = deque()
        self._forked: dict[int, ChildProcess] = {}

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked for children."""
        loaded = self._loaded is not None and self._loaded.done()
        return self._control is not None and loaded

    @property
    def is_empty(self) -> bool:
        """Whether it has no children."""
        return not (self._forking or self._forked)

    async def start(self) -> None:
        """Start the zygote and wait until it has imported the application.

        Raises:
            ConfigurationError: the application cannot be imported.
            OSError: there is no room for another process.
        """
        ours, theirs = socket.socketpair()
        more = [] if self._timeout is None else ["--timeout", repr(self._timeout)]
        more += ["--reload"] if self._reload else []
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "pgqueue.worker.zygote",
                    "--fd", str(theirs.fileno()), "--parent", str(os.getpid()),
                    "--threads", str(self._threads), *more, "--", *self._apps,
                ],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        loop.add_reader(ours, self._hear)
        try:
            await self._loaded
        except BaseException:
            self.end(now=True)
            raise

    def fork(self) -> ChildProcess:
        """Ask for a child.

        Raises:
            OSError: there is no room for what it needs here, or the zygote is gone.
        """
        if self._control is None:
            raise OSError("the process that forks children is gone")
        ours, theirs = socket.socketpair()
        memory = -1
        slots: Slots | None = None
        try:
            memory = shared_memory(Slots.size(self._threads))
            slots = Slots(memory, self._threads)
            socket.send_fds(self._control, [b"F"], [theirs.fileno(), memory])
        except BaseException:
            ours.close()
            if slots is not None:
                slots.close()
            raise
        finally:
            theirs.close()
            if memory >= 0:
                os.close(memory)
        ours.setblocking(False)
        child = ChildProcess(connection=ours, slots=slots)
        self._forking.append(child)
        return child

    def look_away(self) -> None:
        """Have it watch files no more: another does."""
        if self._reload and self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(zygote.LOOK_AWAY)

    def show_stacks(self) -> None:
        """Have the zygote and its children write to standard error where they are."""
        pids = list(self._forked)
        if self._process is not None and self.is_ready:
            pids.append(self._process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    def end(self, *, now: bool = False) -> None:
        """End the zygote; children it still has end as well.

        Args:
            now: kill it, instead of letting it find out and tidy up.
        """
        self._close()
        if self._process is None:
            return
        if now:
            self._process.kill()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    # -- what it says -----------------------------------------------------------------------

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
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
                self._fail(f"the application cannot be imported: {said}")
                return
            del self._heard[:size]
            self._take(what, pid, status)

    def _take(self, what: bytes, pid: int, status: int) -> None:
        if what == zygote.READY and self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(None)
        elif what == zygote.FORKED and self._forking:
            child = self._forking.popleft()
            child.pid = pid
            self._forked[pid] = child
        elif what == zygote.REFUSED and self._forking:
            self._on_refused(self._forking.popleft(), os.strerror(status))
        elif what == zygote.ENDED:
            ended = self._forked.pop(pid, None)
            if ended is not None:
                self._on_ended(ended, status)

    def _fail(self, why: str) -> None:
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(ConfigurationError(why))

    def _lose(self) -> None:
        self._close()
        status = 0
        if self._process is not None:
            try:
                status = self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                # It has closed its socket and lives: nobody can use it any more.
                self._process.kill()
                status = self._process.wait()
            self._process = None
        if self._loaded is not None and not self._loaded.done():
            why = f"the process that imports the application {_ending(status)}"
            self._loaded.set_exception(
                ZygoteKilledError(why) if status < 0 else ConfigurationError(why)
            )
            return
        children = [*self._forked.values(), *self._forking]
        self._forking.clear()
        self._forked.clear()
        self._on_lost(self, children)

    def _close(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None


def _ending(status: int) -> str:
    """Say how it ended, from the return code of `subprocess`."""
    return in_words(-status if status < 0 else status << 8)
