"""Tasks that kill, freeze or block the process that runs them."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pgqueue import task

_MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")


# -- those that end the process -------------------------------------------------------------


@task
def segfault() -> None:
    ctypes.string_at(0)


@task
def abort() -> None:
    os.abort()


@task
def exit_0() -> NoReturn:
    os._exit(0)


@task
def exit_7() -> NoReturn:
    os._exit(7)


@task
def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def kill_its_group() -> None:
    os.killpg(0, signal.SIGKILL)


@task
def close_files() -> None:
    """Close everything but the standard streams, as daemons do."""
    os.closerange(3, 65536)


def can_limit_memory() -> bool:
    """Whether `run_out_of_memory` can be bounded here: root, and a memory cgroup."""
    return os.geteuid() == 0 and os.access(_MEMORY_CGROUPS / "cgroup.procs", os.W_OK)


@contextlib.contextmanager
def memory_cgroup(name: str) -> Iterator[None]:
    """Have a cgroup of 64 MB that `run_out_of_memory` enters."""
    group = _MEMORY_CGROUPS / name
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    try:
        yield
    finally:
        group.rmdir()


@task
def run_out_of_memory(cgroup: str) -> None:
    """Be killed by the kernel, inside a cgroup of 64 MB; never outside of one."""
    entered = _MEMORY_CGROUPS / cgroup / "cgroup.procs"
    entered.write_text(str(os.getpid()))
    kept = []
    for _ in range(40):
        kept.append(b"x" * (8 << 20))


# -- those that do not end ------------------------------------------------------------------


@task(timeout=1)
def spin_in_c() -> int:
    return sum(range(10**12))


@task(timeout=1)
def spin_in_python() -> None:
    while True:
        pass


@task(timeout=1)
def swallow_everything() -> None:
    while True:
        with contextlib.suppress(BaseException):
            while True:
                time.sleep(0.01)


@task(timeout=1)
def sleep_for_ever() -> None:
    time.sleep(86_400)


@task(timeout=1)
def receive_for_ever() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.recv(1)


@task(timeout=1)
def lock_itself() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


@task(timeout=1)
def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    # It takes effect when another thread sees it, and this one may have come here by then.
    time.sleep(86_400)


@task(timeout=1)
async def block_the_loop() -> None:
    time.sleep(86_400)


@task(timeout=1)
async def refuse_to_be_cancelled() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(86_400)
