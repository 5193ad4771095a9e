"""The zygote as the supervisor sees it: started, asked for children, heard, ended.

There is one at a time, but for a reload: then the old one lives on until its last child has ended,
since children die with the process that forked them.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable

from pgqueue.core.errors import ConfigurationError
from pgqueue.worker import seed, zygote
from pgqueue.worker.children import ChildProcess, in_words, shared_memory
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.frames import Slots
from pgqueue.worker.seed import Seed

log = logging.getLogger("pgqueue.worker")

#: Seconds between two processes that write their stacks.
_STACKS_APART = 0.1


class ZygoteKilledError(ConfigurationError):
    """The zygote was killed by a signal while it imported the application; another may not be."""


class Nursery:
    """One zygote and its children.

    Args:
        config: what it imports, how its children run and log, and whether it asks for another
            zygote, by SIGHUP, when files of the application change.
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
        self._options = ["--threads", str(config.threads), "--log-level", config.log_level]
        self._options += [] if config.timeout is None else ["--timeout", repr(config.timeout)]
        self._options += ["--log-json"] if config.log_json else []
        self._options += ["--reload"] if config.reload else []
        self._reload = config.reload
        self._on_ended = on_ended
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._process: subprocess.Popen[bytes] | Seed | None = None
        self._control: socket.socket | None = None
        self._heard = bytearray()
        self._loaded: asyncio.Future[None] | None = None
        self._forking: deque[ChildProcess] = deque()
        self._forked: dict[int, ChildProcess] = {}
        #: The schedules that the application declares, once it is imported.
        self.declared: bytes | None = None

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
        ours = self._wake_seed() or self._start_anew()
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

    def _wake_seed(self) -> socket.socket | None:
        planted = seed.take()
        if planted is None:
            return None
        try:
            planted.wake([*self._options, "--", *self._apps], dict(os.environ))
        except OSError:
            # Somebody has killed it; another can be started.
            planted.control.close()
            planted.kill()
            planted.wait()
            return None
        self._process = planted
        return planted.control

    def _start_anew(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "pgqueue.worker.zygote",
                    "--fd", str(theirs.fileno()), "--parent", str(os.getpid()),
                    *self._options, "--", *self._apps,
                ],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

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

    def show_stacks(self, after: float) -> float:
        """Have the zygote and its children write to standard error where they are: one after the
        other, since each writes word for word.

        Args:
            after: seconds until the first of them.

        Returns:
            Seconds until the next nursery may have its turn.
        """
        loop = asyncio.get_running_loop()
        whose = [(pid, "child") for pid in self._forked]
        if self._process is not None and self.is_ready:
            whose.insert(0, (self._process.pid, "the process that forks,"))
        for pid, name in whose:
            loop.call_later(after, _show_stack, pid, name)
            after += _STACKS_APART
        return after

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
            if what in (zygote.BROKEN, zygote.DECLARED) and len(self._heard) < size + status:
                return
            if what == zygote.DECLARED:
                self.declared = bytes(self._heard[size : size + status])
                del self._heard[: size + status]
                continue
            if what == zygote.BROKEN:
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


def _show_stack(pid: int, name: str) -> None:
    log.warning("stacks of %s %d:", name, pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)
