"""Hold one postgres process, and stop it when nobody uses it any more.

Run as a script, by path, in a process of its own (`server.py` starts it), so that a private server
goes away together with its last user even when that user is killed with SIGKILL. Only the standard
library may be imported here, and nothing of pgqueue: the script must start in milliseconds.

The users of the server hold the write end of a named pipe, the lifeline; the kernel closes it when
they die, however they die. End of file on the read end therefore means: nobody is left.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TypedDict

_FAST_SHUTDOWN = signal.SIGINT
_PR_SET_PDEATHSIG = 1
_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))


class Spec(TypedDict):
    """What the keeper is told, as one JSON argument, which every user of the machine can read.

    argv lacks the data directory, which carry_in hands over as an open file; uid and gid are null
    to stay who we are; lifeline is the named pipe, lock the directory to lock while stopping (null:
    nobody can join), remove the directory to delete at the end.
    """

    argv: list[str]
    data_dir: str
    carry_in: bool
    uid: int | None
    gid: int | None
    lifeline: str
    lock: str | None
    remove: str


def to_argument(spec: Spec) -> str:
    """Write a specification as the keeper's argument."""
    return json.dumps(spec)


def main() -> None:
    """Start the server that the first argument describes, and stay until it may go."""
    spec: Spec = json.loads(sys.argv[1])
    lifeline = os.open(spec["lifeline"], os.O_RDONLY | os.O_NONBLOCK)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)

    server = _launch(spec)
    _say(f"started {server.pid}")
    running = True
    while True:
        ready, _, _ = select.select([lifeline, wake_read], [], [])
        if wake_read in ready:
            asked = set(os.read(wake_read, 4096)) - {int(signal.SIGCHLD)}
            if asked and running:
                server.send_signal(_FAST_SHUTDOWN)
        if running and server.poll() is not None:
            running = False
            _say(f"exited {server.returncode}")
        if lifeline in ready and nobody_left(lifeline):
            with _locked(spec["lock"]):
                # Somebody may have joined between the end of file and our lock; joining happens
                # under the same lock, so after this second look nobody can.
                if nobody_left(lifeline):
                    _end(server)
                    shutil.rmtree(spec["remove"], ignore_errors=True)
                    return


def _launch(spec: Spec) -> "subprocess.Popen[bytes]":
    uid, gid = spec["uid"], spec["gid"]
    carried = open_directory(spec["data_dir"]) if spec["carry_in"] else None
    return subprocess.Popen(
        [*spec["argv"], "-D", spec["data_dir"] if carried is None else name_of(carried)],
        cwd="/",
        pass_fds=() if carried is None else (carried,),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        # preexec_fn runs after the change of user, which would clear the setting. This process
        # has one thread, so running Python between fork and exec is safe.
        preexec_fn=_die_with_parent(),
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
    )


def open_directory(path: str | os.PathLike[str]) -> int:
    """Open a directory, for a program that inherits it and cannot reach it by its path."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def name_of(descriptor: int) -> str:
    """Return the name of an inherited open file in the process that asks (Linux)."""
    return f"/proc/self/fd/{descriptor}"


def _die_with_parent() -> Callable[[], None] | None:
    """Return a function that asks the kernel for a fast shutdown when the keeper is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(_FAST_SHUTDOWN), 0, 0, 0)


def nobody_left(lifeline: int) -> bool:
    """Return whether no process holds the write end of the lifeline (given its read end)."""
    try:
        return os.read(lifeline, 1) == b""
    except BlockingIOError:
        return False


@contextlib.contextmanager
def _locked(directory: str | None) -> Iterator[None]:
    if directory is None:
        yield
        return
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:  # the directory is gone, and with it everybody who could join
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _end(server: "subprocess.Popen[bytes]") -> None:
    for number, patience in _STEPS:
        if server.poll() is not None:
            return
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(patience)


def _say(line: str) -> None:
    # The process that started us may be gone; the server has other users then.
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main()
