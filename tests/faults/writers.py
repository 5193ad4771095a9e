"""Scenarios in which producers die, or write in every shape of transaction there is; and clocks."""

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

from tests.faults.arena import Arena
from tests.faults.campaign import start_producer
from tests.faults.producers import Producer
from tests.faults.scenarios import Scenario, register
from tests.helpers import eventually

#: All shapes, with the rarer ones often.
ALL_SHAPES = {
    "one": 30, "many": 5, "rollback": 15, "savepoint": 20, "prepared": 10, "unprepared": 5,
    "serializable": 20, "function": 10,
}  # fmt: skip


def _crash_producers(arena: Arena) -> None:
    """Kill producers while they write, in the middle of a transaction as often as not."""
    share = max(20, arena.jobs // (arena.cycles + len(arena.producers)))
    for number in range(arena.cycles):
        victim = arena.random.choice(arena.producers)
        victim.grant(victim.jobs)
        eventually(lambda victim=victim: _has_written(arena, victim) or _is_over(victim), 30)
        arena.pause(0, 0.1)
        victim.kill()
        arena.producers.remove(victim)
        start_producer(arena, 1000 + number, share)
        arena.cycles_done = number + 1


def _has_written(arena: Arena, producer: Producer) -> bool:
    files = arena.history_directory.glob(f"producer-{producer.process.pid}-*")
    return any(path.stat().st_size for path in files)


def _is_over(producer: Producer) -> bool:
    return producer.process.poll() is not None


def _quiet(arena: Arena) -> None:
    for _ in arena.cycle():
        pass


# -- clocks ---------------------------------------------------------------------------------


def faketime_library() -> Path | None:
    """Find libfaketime: of the wheel, or of the distribution."""
    spec = importlib.util.find_spec("libfaketime")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.rglob("libfaketime*.so*"):
            return path
    for folder in ("/usr/lib", "/usr/local/lib"):
        for path in sorted(Path(folder).rglob("libfaketime.so.1")):
            return path
    return None


def _needs_faketime() -> str | None:
    if faketime_library() is None:
        return f"needs libfaketime (apt, or {Path(sys.executable).name} -m pip install libfaketime)"
    return None


def _skewed(arena: Arena) -> None:
    """Run each worker by a clock of its own: a day ahead, a day behind, ten times as fast."""
    library = faketime_library()
    assert library is not None
    for worker in list(arena.workers):
        worker.stop()
        arena.bury(worker)
    for skew in ("+1d", "-1d", "+0 x10"):
        arena.start_worker(env={
            "LD_PRELOAD": os.fspath(library), "FAKETIME": skew,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1", "PGQUEUE_FAULTS_SKEWED": "1",
        })  # fmt: skip
    for worker in arena.workers:
        with contextlib.suppress(AssertionError):
            arena.wait_ready(worker)
    _quiet(arena)


register(Scenario(
    name="producers", summary="producers killed in the middle of transactions",
    strike=_crash_producers, jobs=2000, cycles=20, producers=3, shapes=ALL_SHAPES,
))  # fmt: skip
register(Scenario(
    name="atomicity", summary="ten thousand transactions of every shape: row if and only if job",
    strike=_quiet, jobs=10_000, cycles=20, producers=4, shapes=ALL_SHAPES, drain=180,
    mix={"plain": 90, "later": 10},
))  # fmt: skip
register(Scenario(
    name="clock", summary="workers whose clocks are wrong by a day, or run ten times as fast",
    strike=_skewed, jobs=1000, cycles=10, needs=_needs_faketime,
    mix={"plain": 60, "later": 30, "fails": 10},
))  # fmt: skip
