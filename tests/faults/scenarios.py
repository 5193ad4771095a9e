"""Scenarios: what goes wrong in a campaign, and where new ones are registered.

The shape of a run is always the same (`campaign.py`):

1. *Safety phase.* A private server, producers, workers (real processes) and, in the campaign's own
   thread, the scenario's `strike(arena)`, which does the faults.
2. *Heal.* `strike` has returned; `heal(arena)` takes back what is still broken. Whatever is frozen
   is thawed, producers write what they still have to write and end.
3. *Liveness phase.* Without faults every job must come to its end within `drain` seconds.
4. *Dump* of the tables, *verdicts* of `checker.py` over the history, one row.

A new scenario is a module in this folder that calls `register(Scenario(...))`, and its name in
`MODULES` below. A `strike` looks like this:

    def strike(arena: Arena) -> None:
        for _cycle in arena.cycle():             # jobs flow in; it is time for a fault
            victim = arena.random.choice(arena.workers)
            with arena.fault("kill9", targets=victim.family()):
                victim.kill()
            arena.replace(victim)

Everything random comes from `arena.random`, so that a seed repeats the faults of a run (not their
timing to the microsecond). Whatever a strike breaks must lie between `fault.on` and `fault.off`
(`arena.fault(...)`): the checker forgives a second execution of a job only where a fault lies over
the first one. The scope of a fault says which:

* ``process``: jobs that ran in one of the `targets` (process ids; give `worker.family()`);
* ``server``: any job (the server, its sessions or the network were disturbed);
* ``crash``: as server, and commits that were not flushed are gone, so that a claim may be forgotten
  and its attempt number come back.

A scenario that needs its own way to the server (a proxy, a pooler) sets `arena.worker_dsn` or
`arena.producer_dsn` in `prepare`, a context manager entered before anything else is started and
left after the dump. One whose workers need other options gives `options`; one that needs server
settings gives `settings`. Verdicts that a scenario may violate by its nature (two executions at a
time, where a supervisor is frozen) are named in `allows`.
"""

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.arena import Arena

#: Modules of this folder that register scenarios.
MODULES: tuple[str, ...] = (
    "processes",
    "servers",
    "writers",
    "sqlcrew",
    "storms",
    "versions",
    "lines",
)

#: Modules that may be there.
OPTIONAL: tuple[str, ...] = (
    "network",
    "pooler",
    "failover",
    "disk",
    "queue_full",
    "clock",
    "kernel",
)

#: Numbers of workers, scaled down so that a lease runs out within a campaign.
SCALED = ("--heartbeat", "0.3", "--lease", "2", "--processes", "2")

#: How often each kind of job comes; see `tasks.py`.
MIX: Mapping[str, int] = {
    "plain": 55,
    "long": 12,
    "later": 10,
    "fails": 5,
    "async": 10,
    "effect": 10,
}


def nothing(_arena: "Arena") -> None:
    """Do nothing."""


def no_preparation(_arena: "Arena") -> contextlib.AbstractContextManager[None]:
    """Prepare nothing."""
    return contextlib.nullcontext()


def always() -> str | None:
    """Say that nothing is missing."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of campaign.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        strike: does the faults; runs in the campaign's thread while jobs flow.
        prepare: entered before workers and producers start, left after the dump.
        heal: takes back what `strike` left broken.
        workers: how many are kept running.
        options: of the workers' command line.
        env: more of the workers' environment.
        producers: how many processes write jobs.
        jobs, cycles: how many, unless the command line says otherwise.
        mix: kinds of jobs, and how often each comes.
        shapes: kinds of transactions of the producers (`producers.py`); None for the usual ones.
        allows: names of verdicts that may find something.
        drain: seconds in which all jobs must be over once the faults are.
        settings: of the server.
        fsync: whether the server flushes; only where the machine, not the server, would fail is
            it needed.
        needs: says why the scenario cannot be run here, or None.
        wake: most seconds from commit to start, where that is to be judged.
    """

    name: str
    summary: str
    strike: "Callable[[Arena], None]" = nothing
    prepare: "Callable[[Arena], contextlib.AbstractContextManager[None]]" = no_preparation
    heal: "Callable[[Arena], None]" = nothing
    workers: int = 3
    options: tuple[str, ...] = SCALED
    env: Mapping[str, str] = field(default_factory=dict)
    producers: int = 2
    jobs: int = 2000
    cycles: int = 10
    mix: Mapping[str, int] = field(default_factory=lambda: MIX)
    shapes: Mapping[str, int] | None = None
    allows: frozenset[str] = frozenset()
    drain: float = 300.0
    settings: Mapping[str, str] = field(default_factory=dict)
    fsync: bool = False
    needs: Callable[[], str | None] = always
    wake: float | None = None


_registered: dict[str, Scenario] = {}


def register(scenario: Scenario) -> Scenario:
    """Make a scenario known by its name.

    Raises:
        ValueError: the name is taken.
    """
    if scenario.name in _registered:
        raise ValueError(f"there is a scenario {scenario.name} already")
    _registered[scenario.name] = scenario
    return scenario


def scenarios() -> Mapping[str, Scenario]:
    """Give all scenarios, those of optional modules that are there included."""
    for name in MODULES:
        importlib.import_module(f"tests.faults.{name}")
    for name in OPTIONAL:
        if importlib.util.find_spec(f"tests.faults.{name}") is not None:
            importlib.import_module(f"tests.faults.{name}")
    return _registered
