"""Scenarios behind pgbouncer in transaction mode, where a session is nobody's own."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from tests.faults.arena import Arena
from tests.faults.lone import Delays
from tests.faults.scenarios import Scenario, register
from tests.fixtures.pgbouncer import Pooler


def program() -> str | None:
    """Find pgbouncer, where Debian puts it too."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def needs_pgbouncer() -> str | None:
    """Say that it is missing, or None."""
    return None if program() else "pgbouncer is needed: apt-get install pgbouncer"


_poolers: dict[int, Pooler] = {}


@contextlib.contextmanager
def _behind(arena: Arena) -> Iterator[None]:
    found = program()
    assert found is not None
    made = Pooler(found, arena.server, pool_mode="transaction", default_pool_size="20")
    made.start()
    _poolers[id(arena)] = made
    arena.worker_dsn = arena.producer_dsn = made.dsn(arena.database)
    try:
        yield
        for worker in arena.workers:
            worker.destroy()
    finally:
        del _poolers[id(arena)]
        made.remove()


def _strike(arena: Arena) -> None:
    made = _poolers[id(arena)]
    delays = Delays(arena)
    for number in arena.cycle():
        if number % 3 == 2:
            with arena.fault("pooler-restarted", scope="server"):
                made.stop()
                arena.pause(0.2, 1.0)
                made.start()
                with delays.measured():
                    pass
            continue
        with delays.measured():
            arena.pause(0.2, 1.0)
    delays.report(5.0)


register(
    Scenario(
        name="pgbouncer",
        summary="everybody is behind pgbouncer in transaction mode; it is restarted at times",
        prepare=_behind,
        strike=_strike,
        options=("--processes", "2"),
        cycles=15,
        # The pooler keeps its own connections.
        allows=frozenset({"resources"}),
        needs=needs_pgbouncer,
    )
)
