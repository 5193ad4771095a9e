"""The process that children are forked from: clean, single-threaded, the application imported.

It runs no job. The supervisor asks for a child by sending the socket and the shared memory the
child is to use; the zygote answers with the child's process id, and later with how it ended.
Everything here dies with its parent.
"""

import argparse
import contextlib
import ctypes
import errno
import faulthandler
import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from pgqueue.api.loading import is_from_inside, load_apps
from pgqueue.api.registry import Registry
from pgqueue.api.schedules import declarations
from pgqueue.worker import logs
from pgqueue.worker.child import Child
from pgqueue.worker.frames import Slots
from pgqueue.worker.watching import EVERY, Watcher

#: From the zygote: what it says, a process id, an exit status as of `os.waitpid` or an errno.
REPORT = struct.Struct("!cii")
READY, FORKED, REFUSED, ENDED, BROKEN = b"R", b"F", b"X", b"E", b"B"
#: What follows is as long as the status says: why it cannot be imported, what it declares.
DECLARED = b"D"

#: To the zygote: watch files no more. Any other byte, with descriptors, asks for a child.
LOOK_AWAY = b"L"

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the end of the pipe does."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    # A handler and not SIG_IGN, which programs that a task starts would inherit.
    pass


def set_signals() -> None:
    """Let no signal end this process or its children but one that cannot be caught.

    The supervisor decides when they end: Ctrl-C reaches a whole terminal, a service manager's
    signals a whole control group. SIGUSR1 writes the stack of every thread to standard error, which
    is the worker's log.
    """
    for number in (
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2,
        signal.SIGTTIN, signal.SIGTTOU,
    ):  # fmt: skip
        signal.signal(number, _ignore)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    _widen_signal_stack()


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (
        ("ss_sp", ctypes.c_void_p),
        ("ss_flags", ctypes.c_int),
        ("ss_size", ctypes.c_size_t),
    )


_signal_stack = ctypes.create_string_buffer(256 << 10)


def _widen_signal_stack() -> None:
    # faulthandler gives the main thread a stack for signals that holds two or three of them, and
    # all of Python's handlers run on it: five that came at once were a segmentation fault.
    if sys.platform == "linux":
        stack = _Stack(ctypes.addressof(_signal_stack), 0, len(_signal_stack))
        ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)


class Zygote:
    """Fork children on request.

    Args:
        control: the socket to the supervisor.
        threads: slots of each child.
        registry: the tasks of the imported application.
        timeout: seconds for jobs whose task and producer say nothing; None for no limit.
        watcher: of files upon whose change the supervisor is asked to import them anew.
    """

    def __init__(
        self,
        control: socket.socket,
        threads: int,
        registry: Registry,
        timeout: float | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._control = control
        self._threads = threads
        self._registry = registry
        self._timeout = timeout
        self._watcher = watcher

    def serve(self) -> None:
        """Fork and report until the supervisor is gone."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        self._report(READY, 0, 0)
        while True:
            every = None if self._watcher is None else EVERY
            ready, _, _ = select.select([self._control.fileno(), reading], [], [], every)
            if self._watcher is not None and not ready and self._watcher.look():
                os.kill(os.getppid(), signal.SIGHUP)
            if reading in ready:
                os.read(reading, 4096)
                self._reap()
            if self._control.fileno() in ready:
                try:
                    data, fds, _, _ = socket.recv_fds(self._control, 1, 2)
                except OSError:  # the supervisor left something unread
                    return
                if not data:
                    return
                if data == LOOK_AWAY:
                    self._watcher = None
                    continue
                try:
                    if len(fds) < 2:
                        # What could not be passed for want of numbers is closed by the system.
                        raise OSError(errno.EMFILE, "too many open files")
                    self._report(FORKED, self._fork(*fds), 0)
                except OSError as error:
                    self._report(REFUSED, 0, error.errno or 0)
                finally:
                    for fd in fds:
                        os.close(fd)

    def _fork(self, connection_fd: int, memory_fd: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            die_with_parent(parent)
            # A task that signals its process group means itself, not all of us.
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            gc.unfreeze()
            slots = Slots(memory_fd, self._threads)
            connection = socket.socket(fileno=connection_fd)
            Child(connection, slots, self._registry, self._timeout).main()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                # Whatever tasks have made of them: this must not get past here.
                with contextlib.suppress(BaseException):
                    stream.flush()
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._report(ENDED, pid, status)

    def _report(self, what: bytes, pid: int, status: int) -> None:
        try:
            self._control.sendall(REPORT.pack(what, pid, status))
        except OSError:
            os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the application and serve; started by the supervisor, not by people.

    Args:
        arguments: None for those it was started with.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=None)
    parser.add_argument("--reload", action="store_true")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-json", action="store_true")
    parser.add_argument("apps", nargs="*")
    words = parser.parse_args(arguments)
    die_with_parent(words.parent)
    set_signals()
    control = socket.socket(fileno=words.fd)
    try:
        registry = load_apps(words.apps).registry
        declared = declarations(registry, words.apps).encode()
    except BaseException as error:
        sentence = str(error)
        if is_from_inside(error):
            traceback.print_exc()
            sentence = f"{type(error).__name__}: {sentence}"
        said = sentence.encode("utf-8", "replace")[:4000]
        control.sendall(REPORT.pack(BROKEN, 0, len(said)) + said)
        return
    logs.configure_child(words.log_level, as_json=words.log_json)
    control.sendall(REPORT.pack(DECLARED, 0, len(declared)) + declared)
    gc.collect()
    gc.freeze()
    watcher = Watcher() if words.reload else None
    Zygote(control, words.threads, registry, words.timeout, watcher).serve()


if __name__ == "__main__":
    main()
