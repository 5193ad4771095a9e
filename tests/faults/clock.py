"""Scenarios: the clocks of workers are wrong; the server's decides. Needs libfaketime."""

import importlib.util
import os
import time
from pathlib import Path

from tests.faults.arena import Arena
from tests.faults.scenarios import SCALED, Scenario, register

#: A day late, a day early, ten times as fast.
CLOCKS = ("-1d", "+1d", "+0 x10")
_PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
)


def library() -> Path | None:
    """Find libfaketime: of the wheel of that name, or of the system."""
    places = [Path(place) for place in _PLACES]
    found = importlib.util.find_spec("libfaketime")
    if found is not None and found.submodule_search_locations:
        root = Path(next(iter(found.submodule_search_locations)))
        places = [*root.rglob("libfaketime.so.1"), *places]
    return next((place for place in places if place.is_file()), None)


def needs_library() -> str | None:
    """Say that it is missing, or None."""
    return None if library() else "libfaketime is needed: apt-get install libfaketime"


def environment(found: Path, clock: str) -> dict[str, str]:
    """Give the variables with which a process sees a wrong clock.

    Args:
        found: the library.
        clock: one of `CLOCKS`.
    """
    return {
        "LD_PRELOAD": os.fspath(found),
        "FAKETIME": clock,
        # What durations are measured by goes on as it should, as on a machine whose clock is
        # set; and only what a program asks for is changed, not how long it waits.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "FAKETIME_NO_CACHE": "1",
    }


def _strike(arena: Arena) -> None:
    found = library()
    assert found is not None
    crew = []
    for clock in CLOCKS:
        env = environment(found, clock)
        env["PGQUEUE_FAULTS_WALL"] = repr(time.time() - time.monotonic())
        crew.append(arena.start_worker(env=env))
    for worker in crew:
        arena.wait_ready(worker)
    for _ in arena.cycle():
        worker = arena.random.choice(crew)
        if arena.random.random() < 0.3:
            # Its jobs are rescued by workers whose clocks are wrong in other ways.
            crew.remove(worker)
            arena.kill_worker(worker)
            crew.append(arena.replace(worker))
        arena.pause(0.2, 0.6)
    for worker in crew:
        arena.wait_ready(worker)


register(
    Scenario(
        name="clock-skew",
        summary="workers whose clocks are a day early, a day late, or ten times too fast",
        strike=_strike,
        workers=0,
        options=SCALED,
        cycles=20,
        mix={"plain": 50, "later": 40, "fails": 10},
        needs=needs_library,
    )
)
