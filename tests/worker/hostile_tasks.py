"""Tasks that are told to stop, and tasks that leave something behind.

They wait for files of the test, whose names are their arguments: nothing here needs a server.
"""

import asyncio
import contextlib
import os
import select
import socket
import time
from pathlib import Path

from pgqueue import Context, Retry, Snooze, task


def _touch(path: str) -> None:
    Path(path).touch()


# -- told to stop ---------------------------------------------------------------------------


@task
async def wait_begun(path: str) -> None:
    """Say that it has begun, then wait for ever."""
    _touch(path)
    await asyncio.sleep(3600)


@task
async def clean_up(path: str, release: str) -> str:
    """Take a while to clean up, in which nothing may disturb it."""
    _touch(path)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        _touch(path + ".cleaning")
        while not Path(release).exists():
            await asyncio.sleep(0.01)
        _touch(path + ".clean")
        raise
    return "never"


@task
async def swallow(path: str, release: str) -> str:
    """Go on after a cancel as if nothing had been, and succeed."""
    _touch(path)
    while not Path(release).exists():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
    return "went on"


@task(max_attempts=3, backoff=0)
async def raise_when_cancelled(path: str, what: str) -> None:
    """Raise something else than the cancel that came."""
    _touch(path)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        if what == "snooze":
            raise Snooze("1h") from None
        if what == "retry":
            raise Retry(in_=0) from None
        raise ValueError("while stopping") from None


@task(context=True)
def fail_when_cancelled(context: Context, path: str) -> None:
    _touch(path)
    while not context.cancelled:
        time.sleep(0.005)
    raise ValueError("while stopping")


@task
async def brief(seconds: str) -> str:
    """End at about the moment at which a test cancels it."""
    await asyncio.sleep(float(seconds))
    return "ended"


@task
def hold(path: str, release: str) -> None:
    """Wait for the test in a thread."""
    _touch(path)
    while not Path(release).exists():
        time.sleep(0.01)


@task
async def block_loop(path: str, release: str) -> None:
    """Hold up the event loop until the test lets go."""
    _touch(path)
    while not Path(release).exists():
        time.sleep(0.01)


@task
def touch(path: str) -> None:
    _touch(path)


# -- longer than allowed --------------------------------------------------------------------


@task
def sleep_long() -> None:
    """Sit in a system call that lasts."""
    time.sleep(3600)


@task
def receive_long() -> None:
    """Wait for bytes that never come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


@task
def select_long() -> None:
    select.select([], [], [], 3600)


@task
def ignore_everything() -> None:
    """Take no exception for an answer."""
    while True:
        try:
            while True:
                time.sleep(0.001)
        except BaseException:
            pass


@task
async def aignore_everything() -> None:
    """Take no cancel for an answer."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


@task
async def ablock() -> None:
    """Stop the event loop for everybody."""
    time.sleep(3600)


@task
def pid() -> int:
    return os.getpid()
