"""Scenarios: the primary crashes, its standby takes over, and everybody goes on with that."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.faults import dump
from tests.faults.arena import Arena
from tests.faults.lone import Delays
from tests.faults.scenarios import Scenario, register
from tests.fixtures.standby import Pair, pair

#: With asynchronous replication the last commits before a crash may be gone: what was acknowledged
#: may be absent, what was finished may be run again.
_LOSSES = frozenset({"lost", "recovered", "unexpected", "atomicity", "attempt_reuse", "sanity",
                     "effect", "accounting"})  # fmt: skip


@contextlib.contextmanager
def _two_clusters(synchronous: bool, arena: Arena) -> Iterator[None]:
    with pair(arena.server, synchronous=synchronous) as both:
        both.primary.execute(f'CREATE DATABASE "{arena.database}"')
        with psycopg.connect(both.primary.dsn(arena.database), autocommit=True) as connection:
            schema.upgrade(connection)
            dump.install(connection)
        # The campaign asks its server for a DSN and a version only.
        server = arena.server
        arena.server = cast(EmbeddedServer, both)
        arena.worker_dsn = arena.producer_dsn = both.dsn(arena.database)
        try:
            yield
        finally:
            arena.server = server


def _strike(arena: Arena) -> None:
    both: Any = arena.server
    assert isinstance(both, Pair)
    delays = Delays(arena)
    outages: list[float] = []
    for _ in arena.cycle():
        arena.pause(0.3, 0.8)
        with arena.fault("failover", scope="crash"):
            begun = time.monotonic()
            both.fail_over()
            outages.append(time.monotonic() - begun)
            with delays.measured():
                pass
            arena.pause(0.3, 0.6)
        both.follow()
    arena.facts["outage_max"] = round(max(outages), 3)
    delays.report(5.0)


for _name, _synchronous in (("failover", True), ("failover-async", False)):
    _prepare: Callable[[Arena], contextlib.AbstractContextManager[None]] = partial(
        _two_clusters, _synchronous
    )
    register(
        Scenario(
            name=_name,
            summary="the primary crashes and its standby is promoted"
            + ("" if _synchronous else ", with asynchronous replication: commits may be lost"),
            prepare=_prepare,
            strike=_strike,
            allows=frozenset() if _synchronous else _LOSSES,
            cycles=5,
            jobs=2000,
        )
    )
