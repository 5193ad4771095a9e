"""A single job, written past every proxy in a quiet moment: how long until it starts?"""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.faults.arena import Arena, Worker
from tests.faults.tasks import PREFIX, TASK_OF
from tests.helpers import eventually

_PATIENCE = 120


def enqueue(arena: Arena, connection: "psycopg.Connection[Any]") -> int:
    """Write a job and its business row, and commit; give its id. It waits behind no other.

    Raises:
        psycopg.Error: it was not written.
    """
    key = f"plain:lone:{time.monotonic_ns():x}"
    fields = {"keys": [key], "tx": key}
    arena.history.write("enq.invoke", **fields)
    try:
        with connection.transaction():
            connection.execute("INSERT INTO public.business (key) VALUES (%s)", (key,))
            row = connection.execute(
                "INSERT INTO pgqueue.jobs (task, args, priority) VALUES (%s, %s, 100) RETURNING id",
                (PREFIX + TASK_OF["plain"], json.dumps([key, 0.001])),
            ).fetchone()
    except psycopg.Error:
        arena.history.write("enq.abort", **fields)
        raise
    assert row is not None
    arena.history.write("enq.ok", ids=[row[0]], **fields)
    return int(row[0])


def start_delay(arena: Arena) -> float:
    """Write a job and wait until it is over; give the seconds from its commit to its start."""
    with arena.connect() as connection:
        job = enqueue(arena, connection)
        committed = time.time()

    def started() -> float:
        with contextlib.suppress(psycopg.OperationalError):
            found = arena.execute(
                "SELECT extract(epoch FROM started_at)::float8 FROM pgqueue.finished_jobs"
                " WHERE job_id = %s",
                (job,),
            )
            if found:
                return float(found[0][0])
        raise AssertionError(f"job {job} is not over after {_PATIENCE} s")

    return max(0.0, eventually(started, _PATIENCE) - committed)


def quiet(arena: Arena, timeout: float = 60) -> None:
    """Wait until no job is left and every worker sleeps behind its doorbell."""
    eventually(lambda: arena.unfinished() == 0, timeout)
    eventually(lambda: int(arena.execute(_ASLEEP)[0][0]) >= len(arena.workers), timeout)


class Delays:
    """Start delays of one scenario, and what its workers said meanwhile."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._begun = time.monotonic()
        self._lines = _lines(arena.workers)
        self.seconds: list[float] = []

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Write one lone job at the end of this block."""
        yield
        self.seconds.append(start_delay(self._arena))

    def report(self, most: float | None = None) -> None:
        """Put the figures into the row; a delay above `most` seconds is a finding."""
        arena = self._arena
        found = sorted(self.seconds)
        lasted = time.monotonic() - self._begun
        arena.facts["start_delay"] = {
            "n": len(found),
            "p50": round(found[len(found) // 2], 3),
            "max": round(found[-1], 3),
            "target": most,
        }
        lines = _lines([*arena.workers, *arena.gone]) - self._lines
        arena.facts["log_lines_a_second"] = round(lines / lasted, 2)
        arena.facts["log_lines_a_fault"] = round(lines / max(1, len(found)), 1)
        if most is not None and found[-1] > most:
            arena.history.write("surprise", what=f"a job started {found[-1]:.3f} s late")
        if lines > 20 * lasted:
            arena.history.write("surprise", what=f"{lines} lines in the logs in {lasted:.0f} s")


def _lines(workers: list[Worker]) -> int:
    return sum(worker.log().count("\n") for worker in workers)


_ASLEEP = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
    " AND classid = 70677101 AND objid = 64 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
