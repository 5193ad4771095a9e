"""Scenario: the notification queue is full, and jobs are written and run all the same."""

import contextlib
import time
from collections.abc import Iterator

import psycopg

from tests.faults.arena import Arena
from tests.faults.lone import Delays, enqueue, quiet
from tests.faults.scenarios import Scenario, register
from tests.helpers import eventually

#: The first major version in which the queue can be made small enough to be filled.
SINCE = 17


@contextlib.contextmanager
def _small_queue(arena: Arena) -> Iterator[None]:
    if arena.server.major >= SINCE:
        arena.execute("ALTER SYSTEM SET max_notify_queue_pages = 64")
        arena.server.restart()
    yield
    if arena.server.major >= SINCE:
        arena.execute("ALTER SYSTEM RESET max_notify_queue_pages")


def fill(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """Notify until the queue is full, or until what would fill a small one; say which."""
    try:
        for number in range(300):
            connection.execute("SELECT pg_notify('flood', %s || repeat('x', 4000))", (number,))
    except psycopg.errors.ProgramLimitExceeded:
        return True
    return False


def _strike(arena: Arena) -> None:
    delays = Delays(arena)
    recovered: list[float] = []
    full = tried = failed = 0
    for _ in arena.cycle():
        with psycopg.connect(arena.dsn) as deaf, arena.connect() as loud:
            deaf.execute("LISTEN flood")
            deaf.commit()
            deaf.execute("SELECT 1")
            full += fill(loud)
            # The producers go on meanwhile; these want to ring whether somebody sleeps or not.
            with arena.connect() as eager:
                eager.execute("SET pgqueue.notify = always")
                for _ in range(100):
                    tried += 1
                    try:
                        enqueue(arena, eager)
                    except psycopg.Error:
                        failed += 1
            with delays.measured():
                arena.pause(0.5, 1.5)
            deaf.rollback()
        begun = time.monotonic()
        eventually(lambda: arena.execute("SELECT pg_notification_queue_usage() < 0.1")[0][0])
        while not _rung(arena):
            pass
        recovered.append(time.monotonic() - begun)
        quiet(arena)
    arena.facts["full"] = full
    arena.facts["enqueues_while_full"] = tried
    arena.facts["failed_enqueues"] = failed
    if failed:
        arena.history.write("surprise", what=f"{failed} of {tried} enqueues failed")
    arena.facts["recovered_max"] = round(max(recovered), 3)
    delays.report(2.5)


def _rung(arena: Arena) -> bool:
    """Whether a listener hears a notification again."""
    with arena.connect() as ear, arena.connect() as mouth:
        ear.execute("LISTEN again")
        with contextlib.suppress(psycopg.errors.ProgramLimitExceeded):
            mouth.execute("NOTIFY again")
        return any(True for _ in ear.notifies(timeout=0.1, stop_after=1))


register(
    Scenario(
        name="queue-full",
        summary="the notification queue is full (17 and later; before it cannot be filled)",
        prepare=_small_queue,
        strike=_strike,
        jobs=2000,
        cycles=5,
        options=("--processes", "2"),
    )
)
