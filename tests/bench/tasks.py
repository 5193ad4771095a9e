"""The tasks of the benchmarks."""

import time

from pgqueue import task

_seen: list[float] = []


@task(name="bench.noop")
def noop() -> None:
    """Do nothing."""


@task(name="bench.stamp")
def stamp() -> float:
    """Say when this line ran, by the clock of the machine."""
    return time.time()
