"""Scenarios on bad networks: every worker has a proxy of its own, which does the harm."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial

import psycopg

from tests.faults.arena import Arena, Worker
from tests.faults.lone import Delays, quiet
from tests.faults.proxy import Proxy
from tests.faults.relay import Connection, Fault
from tests.faults.scenarios import SCALED, Scenario, register
from tests.helpers import eventually

#: Seconds of the lease of `SCALED`.
_LEASE = 2.0

#: A worker with the numbers of every day, for figures that depend on them.
_PLAIN = ("--processes", "2")


class Crew:
    """Workers behind proxies, one each, and the proxy of the producers."""

    def __init__(self, arena: Arena, stack: contextlib.ExitStack) -> None:
        self._arena = arena
        self._stack = stack
        self.members: list[tuple[Worker, Proxy]] = []
        self.producers = self.proxy()

    def proxy(self) -> Proxy:
        return self._stack.enter_context(Proxy.before(self._arena.dsn))

    def hire(self, number: int) -> None:
        """Start so many workers."""
        arena = self._arena
        for _ in range(number):
            proxy = self.proxy()
            self.members.append((arena.start_worker(dsn=proxy.dsn(arena.dsn)), proxy))
        for worker, _ in self.members:
            arena.wait_ready(worker)

    def one(self) -> tuple[Worker, Proxy]:
        """Choose a worker and its proxy."""
        return self._arena.random.choice(self.members)

    def heal(self) -> None:
        for proxy in [self.producers, *(proxy for _, proxy in self.members)]:
            proxy.heal()

    def report(self) -> None:
        """Put into the row how often workers connected."""
        accepted = [proxy.accepted for _, proxy in self.members]
        self._arena.facts["connections"] = sum(accepted)


def _with_crew(strike: Callable[[Arena, Crew], None], arena: Arena, *, workers: int) -> None:
    crew = _crews[id(arena)]
    crew.hire(workers)
    try:
        strike(arena, crew)
    finally:
        crew.heal()
        crew.report()


_crews: dict[int, Crew] = {}


@contextlib.contextmanager
def _proxies(arena: Arena) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        crew = _crews[id(arena)] = Crew(arena, stack)
        arena.producer_dsn = crew.producers.dsn(arena.dsn)
        try:
            yield
        finally:
            del _crews[id(arena)]


def scenario(
    name: str,
    summary: str,
    strike: Callable[[Arena, Crew], None],
    *,
    crew: int = 3,
    options: tuple[str, ...] = SCALED,
    jobs: int = 2000,
    cycles: int = 10,
    producers: int = 2,
    allows: frozenset[str] = frozenset(),
) -> None:
    """Register a scenario whose workers, `crew` of them, are behind proxies."""
    register(
        Scenario(
            name=name,
            summary=summary,
            prepare=_proxies,
            strike=partial(_with_crew, strike, workers=crew),
            # They are started by the strike, each with its own way to the server.
            workers=0,
            options=options,
            jobs=jobs,
            cycles=cycles,
            producers=producers,
            allows=allows,
        )
    )


# -- a worker that is cut off ---------------------------------------------------------------


def _partition(arena: Arena, crew: Crew) -> None:
    for _ in arena.cycle():
        worker, proxy = crew.one()
        with arena.fault("partition", targets=worker.family()):
            proxy.hole()
            arena.pause(1.1 * _LEASE, 1.6 * _LEASE)
            proxy.heal()
            # What it had in hand may come out now, and be refused.
            arena.pause(0.3, 0.6)


scenario(
    "partition",
    "one of three workers is in a black hole for longer than its lease, and comes back",
    _partition,
    cycles=100,
    jobs=6000,
)


def _resets(arena: Arena, crew: Crew) -> None:
    for _ in arena.cycle():
        _, proxy = crew.one()
        fault: Fault = arena.random.choice(("cut", "reset"))
        with arena.fault(fault, scope="server"):
            proxy.do(fault)
            if arena.random.random() < 0.3:
                crew.producers.do(fault)
            arena.pause(0, 0.1)


scenario(
    "resets",
    "connections of workers and producers are cut and reset",
    _resets,
    cycles=60,
    jobs=4000,
)


def _delay(arena: Arena, crew: Crew) -> None:
    for _ in arena.cycle():
        _, proxy = crew.one()
        proxy.delay = arena.random.uniform(0, 0.2)
        crew.producers.delay = arena.random.uniform(0, 0.02)
        proxy.rate = arena.random.choice((None, None, 50_000))
        arena.pause(0.2, 1.0)


scenario("delay", "every message is up to 200 ms late, or trickles", _delay, cycles=20)


def _replies(arena: Arena, crew: Crew) -> None:
    sprung = {"claim": 0, "finish": 0, "commit": 0}
    for _ in arena.cycle():
        _, proxy = crew.one()
        fault: Fault = arena.random.choice(("cut", "reset"))
        nth = arena.random.randint(1, 4)
        with arena.fault("reply-lost", scope="server"):
            traps = {
                "claim": proxy.trap("pgqueue.work(", fault, nth=nth, where=_claims),
                "finish": proxy.trap("pgqueue.work(", fault, nth=nth, where=_finishes),
                "commit": crew.producers.trap("commit", fault, nth=nth),
            }
            arena.pause(0.2, 0.5)
            proxy.traps.clear()
            crew.producers.traps.clear()
        for name, trap in traps.items():
            sprung[name] += trap.sprung
    arena.facts["replies_lost"] = sprung


def _finishes(connection: Connection) -> bool:
    return b'"batch"' in connection.bound


def _claims(connection: Connection) -> bool:
    return not _finishes(connection)


scenario(
    "reply-lost",
    "the server has done what it was asked, and the connection is lost before it says so",
    _replies,
    cycles=60,
    jobs=4000,
)


# -- the listener ---------------------------------------------------------------------------


def _listener(fault: Fault, most: float, arena: Arena, crew: Crew) -> None:
    _, proxy = crew.members[0]
    delays = Delays(arena)
    for _ in arena.cycle():
        quiet(arena)
        # At any moment between two beats and two probes.
        arena.pause(0.0, 2.0)
        gone = proxy.connections(listens=True)
        with arena.fault(f"listener-{fault}", scope="server"), delays.measured():
            for one in gone:
                one.do(fault)
        # Whatever has not noticed by now has a new one; the server forgets the old one at last.
        eventually(lambda gone=gone: set(proxy.connections(listens=True)) - set(gone), 60)
        for one in gone:
            one.do("cut")
    quiet(arena)
    delays.report(most)


for _name, _fault, _most in (
    ("listener-killed", "reset", 2.0),
    ("listener-half-open", "half-open", 17.0),
    ("listener-black-holed", "hole", 12.0),
):
    scenario(
        _name,
        f"the listener's connection ({_fault}); how late does the next job start?",
        partial(_listener, _fault, _most),  # type: ignore[arg-type]
        crew=1,
        options=_PLAIN,
        jobs=100,
        producers=1,
    )


def _all_connections(fault: Fault, most: float, arena: Arena, crew: Crew) -> None:
    _, proxy = crew.members[0]
    delays = Delays(arena)
    for _ in arena.cycle():
        quiet(arena)
        arena.pause(0.0, 2.0)
        gone = proxy.connections()
        with arena.fault(f"all-{fault}", scope="server"), delays.measured():
            for one in gone:
                one.do(fault)
        for one in gone:
            one.do("cut")
    quiet(arena)
    delays.report(most)


for _name, _fault, _most in (
    ("all-half-open", "half-open", 17.0),
    ("all-black-holed", "hole", 17.0),
):
    scenario(
        _name,
        f"all connections of a worker ({_fault}); how late does the next job start?",
        partial(_all_connections, _fault, _most),  # type: ignore[arg-type]
        crew=1,
        options=_PLAIN,
        jobs=100,
        producers=1,
        cycles=5,
    )


def _deaf(arena: Arena, crew: Crew) -> None:
    _, proxy = crew.members[0]
    delays = Delays(arena)
    for number in arena.cycle():
        quiet(arena, 120)
        proxy.drops_notifications = True
        # Some while the worker believes that it hears, some when it knows better.
        for _ in range(3):
            with arena.fault("notifications-dropped", scope="server"), delays.measured():
                arena.pause(0.0, 2.0 + 10 * (number % 3))
        proxy.drops_notifications = False
    # A beat, and what it takes to look.
    delays.report(2.5)


scenario(
    "notifications-dropped",
    "no notification arrives for a while",
    _deaf,
    crew=1,
    options=_PLAIN,
    jobs=100,
    producers=1,
    cycles=6,
)


# -- a server that lets nobody in -----------------------------------------------------------


def _exhausted(arena: Arena, crew: Crew) -> None:
    delays = Delays(arena)
    for _ in arena.cycle():
        hogs: list[psycopg.Connection[tuple[object, ...]]] = []
        with arena.fault("max-connections", scope="server"):
            for _, proxy in crew.members:
                proxy.do("reset")
            with contextlib.suppress(psycopg.OperationalError):
                while len(hogs) < 300:
                    hogs.append(psycopg.connect(arena.server.dsn()))
            for _, proxy in crew.members:
                proxy.do("reset")
            with contextlib.suppress(psycopg.OperationalError):
                hogs.append(psycopg.connect(arena.server.dsn()))
            time.sleep(arena.random.uniform(0.5, 2.0))
            for hog in hogs:
                hog.close()
            with delays.measured():
                pass
    delays.report(5.0)


scenario("max-connections", "the server has no connection left for a while", _exhausted, cycles=8)


def _refused(arena: Arena, crew: Crew) -> None:
    delays = Delays(arena)
    for _ in arena.cycle():
        with arena.fault("refused", scope="server"):
            entrance = arena.random.choice(("refuse", "reset"))
            for _, proxy in crew.members:
                proxy.admit(entrance)
                proxy.do("cut")
            arena.pause(0.5, 3.0)
            for _, proxy in crew.members:
                proxy.admit("pass")
            with delays.measured():
                pass
    delays.report(5.0)


scenario("refused", "nobody can connect for a while", _refused, cycles=10)


def _read_only(arena: Arena, crew: Crew) -> None:
    database = arena.database
    for _ in arena.cycle():
        with arena.fault("read-only", scope="server"):
            arena.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
            for _, proxy in crew.members:
                proxy.do("cut")
            arena.pause(0.5, 1.5)
            with psycopg.connect(
                arena.dsn, autocommit=True, options="-c default_transaction_read_only=off"
            ) as connection:
                connection.execute(
                    f'ALTER DATABASE "{database}" RESET default_transaction_read_only'.encode()
                )
            for _, proxy in crew.members:
                proxy.do("cut")


scenario("read-only", "transactions are read-only by default for a while", _read_only, cycles=8)
