"""Tasks that end at once and badly: errors that are hard to write down, results that are hard to
keep, and ways out that are no exceptions of the usual kind."""

import asyncio
import contextlib
import resource
import sys
from collections.abc import Iterator
from typing import NoReturn

from pgqueue import task

#: What a task may take beyond what its process has, in bytes.
_ROOM = 96 << 20


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Let this process have a little more than it has now, and no more; for a moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@task
def want_too_much_memory() -> None:
    with _little_memory():
        kept = []
        while True:
            kept.append(bytearray(8 << 20))


@task
def recurse() -> None:
    recurse()


def _deeper(n: int) -> int:
    return _deeper(n + 1) + 1


@task
def recurse_beyond_the_limit() -> None:
    """Raise the limit and recurse until memory ends; nobody but a limit of memory stops that."""
    before = sys.getrecursionlimit()
    with _little_memory():
        sys.setrecursionlimit(10**9)
        try:
            _deeper(0)
        finally:
            sys.setrecursionlimit(before)


@task
def leave() -> NoReturn:
    sys.exit("swordfish")


@task
def interrupt() -> NoReturn:
    raise KeyboardInterrupt


@task
def end_a_generator() -> NoReturn:
    raise GeneratorExit


class OwnBaseError(BaseException):
    """Something that `except Exception` lets through."""


@task
def raise_a_base_exception() -> NoReturn:
    raise OwnBaseError("base")


class SpeechlessError(Exception):
    """An error that cannot be put in words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@task
def raise_without_words() -> NoReturn:
    raise SpeechlessError


@task
def raise_50_megabytes() -> NoReturn:
    raise ValueError("x" * 50_000_000)


@task
def raise_unstorable_text() -> NoReturn:
    raise ValueError("a\0b \ud800 c")


@task
def raise_a_group() -> NoReturn:
    raise ExceptionGroup("many", [ValueError(number) for number in range(10_000)])


@task
def raise_a_chain() -> NoReturn:
    error: Exception | None = None
    for number in range(3_000):
        link = ValueError(number)
        link.__cause__ = error
        error = link
    assert error is not None
    raise error


@task
def return_an_object() -> object:
    return object()


@task
def return_2_megabytes() -> str:
    return "x" * (2 << 20)


@task
def return_nan() -> float:
    return float("nan")


@task
async def cancel_every_task() -> None:
    """Cancel whatever runs on the event loop, oneself included."""
    for other in asyncio.all_tasks():
        other.cancel()
    await asyncio.sleep(3600)


@task
async def leave_the_loop() -> NoReturn:
    sys.exit(3)
