"""What tests share that is not a fixture."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

#: The top of the checkout.
ROOT = Path(__file__).resolve().parents[1]

#: Seconds until what is waited for counts as missing. Nothing takes longer for it but a failure.
PATIENCE: Final = 60.0

#: Seconds between two looks: at first, and at most.
_LOOK = 0.01
_SELDOM = 0.1


def _pause(begun: float) -> float:
    """A tenth of what has been waited: looking costs those that are looked at their processor."""
    return min(_SELDOM, max(_LOOK, (time.monotonic() - begun) / 10))


def eventually(assertion: Callable[[], T], timeout: float = PATIENCE) -> T:
    """Call until it holds: it raises no AssertionError and returns something true.

    Both `lambda: count() == 3` can be given and a function of `assert` statements, whose None says
    that all of them held; that of a lambda says that nothing was found.

    Returns:
        What the last call returned.
    """
    begun = time.monotonic()
    while True:
        # Before it looks: whoever is held up in between looks once more.
        last = time.monotonic() > begun + timeout
        try:
            found = assertion()
            assert _holds(assertion, found), f"still {found!r} after {timeout} s"
            return found
        except AssertionError:
            if last:
                raise
        time.sleep(_pause(begun))


async def aeventually(assertion: Callable[[], Awaitable[T]], timeout: float = PATIENCE) -> T:
    """Await until it holds; see `eventually`."""
    begun = time.monotonic()
    while True:
        # Before it looks: whoever is held up in between looks once more.
        last = time.monotonic() > begun + timeout
        try:
            found = await assertion()
            assert _holds(assertion, found), f"still {found!r} after {timeout} s"
            return found
        except AssertionError:
            if last:
                raise
        await asyncio.sleep(_pause(begun))


def _holds(assertion: Callable[[], object], found: object) -> bool:
    if found is None:
        return getattr(assertion, "__name__", "") != "<lambda>"
    return bool(found)


def run_cli(
    *arguments: str,
    dsn: str | None = None,
    env: dict[str, str] | None = None,
    input: str | None = None,
    timeout: float = 120,
    cwd: Path = ROOT,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m pgqueue …` to its end.

    Args:
        dsn: given to it as PGQUEUE_DSN; None for none, whatever our own environment says.
        env: more of the environment.
        input: what it reads.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    if dsn is not None:
        environment["PGQUEUE_DSN"] = dsn
    # Also where pgqueue is not installed but only checked out.
    path = os.pathsep.join(filter(None, (os.fspath(ROOT), environment.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "pgqueue", *arguments],
        env={**environment, "PYTHONPATH": path, **(env or {})},
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        check=False,
    )
