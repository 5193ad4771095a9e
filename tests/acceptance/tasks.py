"""The tasks of the tests: well-behaved, failing, hostile, and waiting to be released.

A task that waits does so for an advisory lock that the test holds, so that the test decides when it
goes on and can see that it has come so far.
"""

import asyncio
import ctypes
import datetime as dt
import decimal
import os
import signal
import sys
import threading
import time
import uuid
from typing import Any, NoReturn

import psycopg

from pgqueue import Cancel, Retry, Snooze, task
from pgqueue.core.context import Context

#: Class of the advisory locks that tasks wait for; the key is the task's argument.
GATE = 20260101

_loops = 0


def pass_gate(number: int, dsn: str | None = None) -> None:
    """Wait until nobody holds the gate."""
    # The server looks whether we still live, lest the killed are counted among those that wait.
    options = "-c client_connection_check_interval=50ms"
    dsn = dsn or os.environ["PGQUEUE_DSN"]
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (GATE, number))


def note(text: str) -> None:
    """Write a row that survives whatever becomes of the attempt."""
    with psycopg.connect(os.environ["PGQUEUE_DSN"], autocommit=True) as connection:
        connection.execute("INSERT INTO notes (text) VALUES (%s)", (text,))


# -- well-behaved ---------------------------------------------------------------------------


@task
def noop(*_args: object, **_kwargs: object) -> None:
    """Do nothing, with any arguments."""


@task
def echo(value: object = None) -> object:
    """Give the argument back."""
    return value


@task
def add(first: int, second: int) -> int:
    return first + second


@task
async def aecho(value: object = None) -> object:
    """Give the argument back, from the event loop."""
    await asyncio.sleep(0)
    return value


@task
def describe(value: Any) -> str:
    """Tell the type and the value as they arrived."""
    return f"{type(value).__name__} {value}"


@task
def tagged() -> dict[str, object]:
    """Return one of each tagged type."""
    return {
        "datetime": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "date": dt.date(2026, 1, 2),
        "timedelta": dt.timedelta(days=1, microseconds=1),
        "decimal": decimal.Decimal("1.10"),
        "uuid": uuid.UUID(int=7),
        "bytes": b"\x00\xff",
        "set": {1, 2},
        "tuple": (1, (2, 3)),
        "int": 2**70,
        "float": 1e300,
        "dict": {"$t": "mine"},
    }


@task
def nap() -> None:
    """Take two milliseconds."""
    time.sleep(0.002)


@task
def where() -> dict[str, int]:
    """Tell in which process and thread it runs."""
    return {"pid": os.getpid(), "thread": threading.get_ident()}


_kept: list[bytearray] = []


@task
def grow(megabytes: int) -> int:
    """Use so much more memory from now on; give the process."""
    _kept.append(bytearray(b"x") * (megabytes << 20))
    return os.getpid()


@task
def note_it(text: str) -> None:
    note(text)


@task
def gate(number: int) -> None:
    """Wait for a lock of the test."""
    pass_gate(number)


@task
def gate_past_the_way(number: int) -> None:
    """Wait for a lock of the test, over a connection that is not the worker's way."""
    pass_gate(number, os.environ["PGQUEUE_TEST_DSN"])


@task
def until_file(path: str) -> None:
    """Wait until a file is there, without a database."""
    while not os.path.exists(path):
        time.sleep(0.02)


@task
def first_stays(path: str) -> None:
    """Write the process into a file, without a database; the first one stays for ever."""
    with open(path, "a+") as file:
        file.seek(0)
        first = not file.read()
        file.write(f"{os.getpid()}\n")
    while first:
        time.sleep(0.02)


@task
def note_and_gate(text: str, number: int) -> None:
    note(text)
    pass_gate(number)


@task
def spanned(key: str) -> None:
    """Write when it begins, and when it ends."""
    with psycopg.connect(os.environ["PGQUEUE_DSN"], autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO spans (key) VALUES (%s) RETURNING n", (key,)
        ).fetchone()
        time.sleep(0.005)
        connection.execute("UPDATE spans SET ended = clock_timestamp() WHERE n = %s", row)


@task
def gate_where(number: int) -> dict[str, int]:
    pass_gate(number)
    return {"pid": os.getpid(), "thread": threading.get_ident()}


@task
async def agate(number: int) -> dict[str, int]:
    """Wait for a lock of the test on the event loop, beside others."""
    await asyncio.get_running_loop().run_in_executor(None, pass_gate, number)
    return {"pid": os.getpid(), "thread": threading.get_ident()}


# -- with a context -------------------------------------------------------------------------


@task(context=True, max_attempts=3, backoff=0)
def tell_context(context: Context, fail_before: int = 1) -> dict[str, object]:
    """Give back what the context says; fails before the given attempt."""
    if context.attempt < fail_before:
        raise ValueError(f"attempt {context.attempt}")
    return {
        "job_id": context.job_id,
        "task": context.task,
        "queue": context.queue,
        "priority": context.priority,
        "attempt": context.attempt,
        "lost": context.lost,
        "max_attempts": context.max_attempts,
        "timeout": context.timeout,
        "meta": context.meta,
        "cancelled": context.cancelled,
    }


@task(context=True)
def until_cancelled(context: Context) -> None:
    """Run until somebody asks for the end."""
    while True:
        context.check_cancelled()
        time.sleep(0.005)


@task(context=True)
async def auntil_cancelled(context: Context) -> str:
    """Run until somebody asks for the end, and succeed then."""
    while not context.cancelled:
        await asyncio.sleep(0.005)
    return "stopped by itself"


# -- failing --------------------------------------------------------------------------------


class HardError(Exception):
    """An error that is given up on."""


class SoftError(Exception):
    """An error that is tried again."""


@task
def fail(message: str = "as told") -> NoReturn:
    raise ValueError(message)


@task(context=True, max_attempts=5, backoff=0)
def fail_times(context: Context, times: int) -> int:
    """Fail so many times, then succeed."""
    if context.attempt - context.lost <= times:
        raise ValueError(f"failure {context.attempt}")
    return context.attempt


@task(max_attempts=3, backoff="constant")
def fail_constant() -> NoReturn:
    raise ValueError("constant")


@task(max_attempts=3, backoff="linear")
def fail_linear() -> NoReturn:
    raise ValueError("linear")


@task(max_attempts=3, backoff="exponential")
def fail_exponential() -> NoReturn:
    raise ValueError("exponential")


@task(max_attempts=3, backoff=lambda attempt: dt.timedelta(hours=attempt))
def fail_callable() -> NoReturn:
    raise ValueError("callable")


def _broken_backoff(_attempt: int) -> float:
    raise RuntimeError("no backoff today")


@task(max_attempts=3, backoff=_broken_backoff)
def fail_broken_backoff() -> NoReturn:
    raise ValueError("broken backoff")


@task(max_attempts=3, backoff=_broken_backoff, timeout=60)
def succeed_broken_backoff() -> str:
    """Need no backoff, though a timeout asks for one beforehand."""
    return "well"


@task(max_attempts=3, backoff=0, retry_on=(SoftError,))
def fail_as(kind: str) -> NoReturn:
    raise {"soft": SoftError, "hard": HardError}[kind]("by kind")


@task(max_attempts=3, backoff=0, give_up_on=HardError)
def give_up_as(kind: str) -> NoReturn:
    raise {"soft": SoftError, "hard": HardError}[kind]("by kind")


@task(context=True, max_attempts=2)
def ask_retry(context: Context) -> int:
    """Ask for another attempt until there is none left."""
    raise Retry(in_=0, reason=f"after attempt {context.attempt}")


@task(context=True, max_attempts=1)
def snooze_twice(context: Context) -> int:
    """Snooze twice, although there is but one attempt."""
    if context.attempt < 3:
        raise Snooze(0)
    return context.attempt


@task
async def acancel(reason: str) -> NoReturn:
    raise Cancel(reason)


@task
def return_object() -> object:
    return object()


@task(max_attempts=3, backoff=0)
def return_nan() -> object:
    return {"\ud800": [float("nan")]}


@task
def return_huge() -> object:
    return "x" * (2 << 20)


@task
def return_nul() -> object:
    return "a\0b"


@task
def return_deep() -> object:
    found: list[object] = []
    for _ in range(10_000):
        found = [found]
    return found


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@task
def fail_hostile() -> NoReturn:
    raise HostileError


@task
def fail_huge() -> NoReturn:
    raise ValueError("x" * 50_000_000)


@task
def fail_nul() -> NoReturn:
    raise ValueError("a\0b \ud800")


@task
def fail_deep() -> NoReturn:
    fail_deep()


class _HostileMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("no instance")


class HostileClassError(Exception, metaclass=_HostileMeta):
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no attribute")


@task
def fail_hostile_class() -> NoReturn:
    raise HostileClassError


@task
def fail_group() -> NoReturn:
    raise ExceptionGroup("many", [ValueError(number) for number in range(10_000)])


@task
def leave() -> NoReturn:
    """Raise SystemExit, as argument parsers do."""
    sys.exit(3)


@task
async def aleave() -> NoReturn:
    sys.exit(3)


async def _leave_later() -> None:
    sys.exit(4)


@task
async def aleave_inside() -> None:
    """Raise SystemExit in a task of its own, which asyncio lets through its event loop."""
    await asyncio.create_task(_leave_later())


@task
def interrupt() -> NoReturn:
    raise KeyboardInterrupt


@task
async def cancel_itself() -> None:
    found = asyncio.current_task()
    assert found is not None
    found.cancel()
    await asyncio.sleep(1)


# -- longer than allowed --------------------------------------------------------------------


@task(timeout=1)
def spin() -> None:
    """Run Python for ever."""
    while True:
        time.sleep(0.001)


@task(timeout=1, max_attempts=2, backoff=0)
def spin_twice() -> None:
    while True:
        time.sleep(0.001)


@task(timeout=1, max_attempts=5, backoff=0, give_up_on=TimeoutError)
def spin_tidily() -> str:
    """Catch the end of its time and give a result all the same."""
    try:
        while True:
            time.sleep(0.001)
    except BaseException as error:
        return f"stopped by {type(error).__name__}"


@task(timeout=1)
async def aspin() -> None:
    await asyncio.sleep(3600)


@task(timeout=1)
async def aspin_inside() -> None:
    """Wait in the middle of everything that passes a cancel on."""
    async with asyncio.timeout(3000), asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))
        await asyncio.wait_for(asyncio.gather(asyncio.sleep(3600), asyncio.sleep(3600)), 3000)


@task(timeout=1)
async def aspin_anew() -> None:
    """Raise another cancel than the one that came, as some libraries do."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise asyncio.CancelledError from None


@task(timeout=1)
def spin_in_c() -> int:
    """Sit in C code, which no exception reaches."""
    return sum(range(10**12))


@task(timeout=1, max_attempts=2, backoff=0, context=True)
def spin_in_c_once(context: Context) -> int:
    return context.attempt if context.attempt > 1 else sum(range(10**12))


@task(timeout=0.000001)
def too_short() -> None:
    """Have no time at all."""


@task(context=True)
def report(context: Context, gate: int) -> str:
    """Say how far it is, wait for a gate, say more, and end."""
    context.progress(0.5, "half\0way \ud800")
    context.log("began")
    pass_gate(gate)
    context.log("goes on", level="warning")
    context.progress(1)
    return "reported"


@task(context=True, atomic=True)
def report_atomically(context: Context) -> None:
    context.log("at last")
    context.progress(0.75)


@task(context=True)
def chatter(context: Context, count: int) -> int:
    for number in range(count):
        context.progress(number / count, f"{number}")
        context.log(f"line {number}")
    return count


@task(context=True, timeout=2)
def take_longer(context: Context) -> bool:
    """Ask for more time, and use more than there was at first."""
    first = context.remaining() or 0
    assert (context.extend_timeout("1m") or 0) > 50
    assert (context.extend_timeout(1) or 0) > 50, "a limit further away stays"
    until = time.monotonic() + 2.2
    while time.monotonic() < until:
        time.sleep(0.01)
    return first <= 2 and (context.remaining() or 0) > 30


@task(context=True, timeout=2)
async def atake_longer(context: Context) -> bool:
    assert (context.extend_timeout(60) or 0) > 50
    await asyncio.sleep(2.2)
    return True


@task(context=True)
def extend_nothing(context: Context) -> float | None:
    return context.extend_timeout("1m")


@task(context=True)
def take_less(context: Context) -> None:
    """Say how long it may take, and take longer."""
    assert context.remaining() is None
    assert (context.shorten_timeout("1h") or 0) > 3_000
    assert (context.shorten_timeout(1) or 9) < 2
    assert (context.shorten_timeout("1m") or 9) < 2, "a limit that is nearer stays"
    while True:  # not in one system call: beside the main thread nothing ends that
        time.sleep(0.01)


@task(context=True)
async def atake_less(context: Context) -> None:
    context.shorten_timeout(1)
    await asyncio.sleep(60)


@task
def stubborn(number: int) -> str:
    """Go on until a gate opens, whatever is asked meanwhile."""
    while True:
        try:
            pass_gate(number)
        except BaseException:
            continue
        return "went on"


# -- deadly ---------------------------------------------------------------------------------


@task
def vanish() -> NoReturn:
    os._exit(7)


@task
def abort() -> None:
    os.abort()


@task(context=True)
def vanish_once(context: Context) -> int:
    if context.attempt == 1:
        os._exit(7)
    return context.attempt


@task(context=True)
def vanish_first(context: Context, number: int) -> int:
    """Die in the first attempt, once the test lets it."""
    if context.attempt == 1:
        pass_gate(number)
        os._exit(7)
    return context.attempt


@task
def segfault() -> None:
    ctypes.string_at(0)


@task
def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def read_stdin() -> str:
    return sys.stdin.read()
