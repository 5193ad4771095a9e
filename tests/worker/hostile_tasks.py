"""Tasks that are told to stop, and tasks that leave something behind.

They wait for files of the test, whose names are their arguments: nothing here needs a server.
"""

import asyncio
import contextlib
import contextvars
import gc
import io
import locale
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

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


# -- leaving something behind ---------------------------------------------------------------


class _Stub(io.StringIO):
    """A standard output of the task's own."""


def _replace_environment() -> None:
    os.environ = {}  # type: ignore[assignment]  # noqa: B003


def _delete_directory() -> None:
    with tempfile.TemporaryDirectory() as path:
        os.chdir(path)


#: What can be changed, and how.
CHANGES: dict[str, Callable[[], object]] = {
    "directory": lambda: os.chdir("/"),
    "deleted directory": _delete_directory,
    "variable": lambda: os.environ.__setitem__("PGQUEUE_TEST_LEFT", "1"),
    "variable gone": lambda: os.environ.pop("PATH"),
    "environment": _replace_environment,
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "path anew": lambda: setattr(sys, "path", []),
    "umask": lambda: os.umask(0),
    "recursion": lambda: sys.setrecursionlimit(5000),
    "stdout": lambda: setattr(sys, "stdout", _Stub()),
    "stderr closed": lambda: sys.stderr.close(),
    "stdout closed": lambda: os.close(1),
    "switch": lambda: sys.setswitchinterval(0.5),
    "sockets": lambda: socket.setdefaulttimeout(7),
    "garbage": gc.disable,
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "alarm": lambda: signal.alarm(1000),
    "handler": lambda: signal.signal(signal.SIGTERM, lambda _number, _frame: None),
    "ignored": lambda: signal.signal(signal.SIGTTOU, signal.SIG_IGN),
    "wakeup": lambda: signal.set_wakeup_fd(_wakeup_fd()),
}

#: Those that are seen though the job was short.
SEEN_AT_ONCE = {
    "directory", "deleted directory", "variable", "variable gone", "environment", "path",
    "path anew", "umask", "recursion", "stdout",
}  # fmt: skip


def _wakeup_fd() -> int:
    os.set_blocking(2, False)
    return 2


@task
def change(what: str) -> None:
    """Change something of the process, and leave it so."""
    CHANGES[what]()
    if what not in SEEN_AT_ONCE:
        time.sleep(0.01)


@task
def describe_process() -> dict[str, object]:
    """Tell what a process is like."""
    wakeup = signal.set_wakeup_fd(-1)
    mask = os.umask(0)
    os.umask(mask)
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    return {
        "directory": os.getcwd(),
        "environment": sorted(os.environ.items()),
        "in C": subprocess.run(["env"], capture_output=True, check=True).stdout.count(b"\n"),
        "path": sys.path,
        "umask": mask,
        "recursion": sys.getrecursionlimit(),
        "streams": [type(sys.stdout).__name__, type(sys.stderr).__name__],
        "numbers": [sys.stdout.fileno(), sys.stderr.fileno()],
        "switch": sys.getswitchinterval(),
        "sockets": socket.getdefaulttimeout(),
        "garbage": gc.isenabled(),
        "locale": locale.setlocale(locale.LC_ALL),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "handlers": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGTTOU)],
        "wakeup": wakeup,
    }


_variable: contextvars.ContextVar[int] = contextvars.ContextVar("_variable", default=0)


@task
def count_context() -> int:
    """Count in a context variable, which the next job must not see."""
    _variable.set(_variable.get() + 1)
    return _variable.get()


@task
def change_beside(path: str, release: str) -> str:
    """Change the directory while another job runs, and tell where it is in the end."""
    os.chdir("/")
    hold(path, release)
    return os.getcwd()


@task
def directory() -> str:
    return os.getcwd()


@task
def fork_and_return() -> int:
    """Return in both processes."""
    return os.fork()


@task
async def afork_and_return() -> int:
    return os.fork()


@task
def fork_and_raise() -> None:
    raise ValueError(f"from {'the copy' if os.fork() == 0 else 'the child'}")


@task
def raise_generator_exit() -> None:
    raise GeneratorExit("enough")


@task
def close_descriptors() -> str:
    """Close what is not its own, as careless daemons do."""
    os.closerange(3, 5000)
    return "done"


@task
def leave_threads(count: int, release: str) -> None:
    """Start threads that go on, and would keep a process from ending."""
    for _ in range(count):
        threading.Thread(target=_wait_for, args=(release,)).start()


def _wait_for(release: str) -> None:
    while not Path(release).exists():
        time.sleep(0.05)


@task
async def use_executor() -> None:
    """Use threads of the event loop, which stay."""
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4)))


# -- transactions and forks of a real worker ------------------------------------------------


_connections: dict[int, "psycopg.Connection[Any]"] = {}


def _connection() -> "psycopg.Connection[Any]":
    """A connection that one job opens and others use, as applications keep them."""
    found = _connections.get(threading.get_ident())
    if found is None or found.closed:
        found = psycopg.connect(os.environ["PGQUEUE_DSN"])
        _connections[threading.get_ident()] = found
    return found


@task
def leave_transaction(how: str) -> None:
    connection = _connection()
    connection.execute("INSERT INTO notes (text) VALUES ('never')")
    if how == "aborted":
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT 1 / 0")
    if how == "copying":
        connection.cursor().copy("COPY notes (text) FROM STDIN").__enter__()
    if how == "nested":
        connection.transaction().__enter__()
    if how == "failing":
        raise ValueError("in the middle of a transaction")


@task
def use_connection() -> int:
    """Tell in which state the connection is, and use it."""
    connection = _connection()
    status = int(connection.info.transaction_status)
    connection.execute("INSERT INTO notes (text) VALUES ('well')")
    connection.commit()
    return status


@task
def grow_threads(count: int) -> int:
    """Leave threads behind that never end."""
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()


@task
def start_program() -> str:
    """Tell which signals a program ignores that a task starts."""
    words = ["grep", "SigIgn", "/proc/self/status"]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout.split()[1]


@task(context=True)
def close_descriptors_once(context: Context) -> int:
    if context.attempt == 1:
        os.closerange(3, 5000)
    return context.attempt
