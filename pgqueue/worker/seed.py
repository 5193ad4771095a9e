"""A process forked while this one is still clean, to become its first zygote.

It has imported all of pgqueue, which costs a zygote that is started from nothing most of its start;
and of the application nothing, for the program `python -m pgqueue` has not. Only the first can be
had so: one that comes later is to find files as they are then, and is forked from nobody.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Final

from pgqueue.worker import zygote

_SIZE: Final = struct.Struct("!I")
_LOOK: Final = 0.005


class Seed:
    """The process as the supervisor sees it: as much of a `subprocess.Popen` as that needs.

    Attributes:
        pid: its process id.
        control: the socket to it.
    """

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self._returncode: int | None = None

    def wake(self, words: list[str], environment: dict[str, str]) -> None:
        """Have it become the zygote.

        Args:
            words: of the zygote's command line.
            environment: the supervisor's, as it is by now.

        Raises:
            OSError: it is gone.
        """
        told = json.dumps([words, environment]).encode()
        self.control.sendall(_SIZE.pack(len(told)) + told)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if self._returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; give its exit code, or less than 0 for the signal that killed it.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._returncode is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            except ChildProcessError:
                # Who started us ignores SIGCHLD: how it ended is lost.
                pid, status = self.pid, 0
            if pid:
                self._returncode = os.waitstatus_to_exitcode(status)
            elif deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the zygote", timeout or 0.0)
            else:
                time.sleep(_LOOK)
        return self._returncode


_planted: list[Seed] = []


def plant() -> None:
    """Fork it; to be called before anything of the program is open, imported or started.

    Nothing is done where a thread runs already: what it holds would be held for ever in the fork.
    """
    if threading.active_count() > 1:
        return
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        pid = os.fork()
    except OSError:
        # No room for another process: it is the supervisor who says so, and tries again.
        ours.close()
        theirs.close()
        return
    if pid:
        theirs.close()
        _planted.append(Seed(pid, ours))
        return
    status = 1
    try:
        ours.close()
        _lie(theirs.detach(), parent)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(status)


def take() -> Seed | None:
    """Give the process that was planted, once."""
    return _planted.pop() if _planted else None


def _lie(control: int, parent: int) -> None:
    os.setsid()
    zygote.die_with_parent(parent)
    zygote.set_signals()
    # What whoever started the program left open is not for tasks. The limit of numbers may be so
    # large that trying all of them takes minutes.
    for number in map(int, os.listdir("/dev/fd")):
        if number > 2 and number != control:
            with contextlib.suppress(OSError):
                os.close(number)
    told = _read(control, _SIZE.size)
    told = _read(control, _SIZE.unpack(told)[0]) if told else b""
    if not told:
        return  # the program ended without a zygote
    words, environment = json.loads(told)
    os.environ.update(environment)
    # Where `python -m` would look first; the script `pgqueue` lies elsewhere.
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    zygote.main(["--fd", str(control), "--parent", str(parent), *words])


def _read(fd: int, count: int) -> bytes:
    """Read so many bytes; nothing if it ends before."""
    found = b""
    while len(found) < count:
        data = os.read(fd, count - len(found))
        if not data:
            return b""
        found += data
    return found
