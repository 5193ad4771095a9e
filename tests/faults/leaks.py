"""Run many jobs, a fifth of which fail, and compare what a worker holds early on and at the end:
``python -m tests.faults.leaks --jobs 100000 [--json]``.

Files, threads, connections and advisory locks must be equal, and memory may have grown by 5 MB at
the most. Early on means after a tenth of the jobs: by then everything that is made once is made.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pgqueue import task
from tests.acceptance.support import Jobs, descendants
from tests.faults.corpus.rig import private_database, working
from tests.fixtures.workers import RunningWorker
from tests.helpers import eventually

APP = "tests.faults.leaks"
_PROCESSES, _THREADS = 2, 4
OPTIONS: Final = ("--processes", str(_PROCESSES), "--threads", str(_THREADS))
MOST_GROWTH: Final = 5 << 20
_PREFIX = "tests.faults.leaks."

#: Of every twenty jobs so many of each; four of them fail.
MIX: Final = {"work": 8, "awork": 8, "fail": 2, "afail": 1, "run_late": 1}
#: Looks in a row that must find the same, some hundred milliseconds in all.
_QUIET_LOOKS: Final = 10
#: Seconds until what a worker holds more than before counts as leaked.
_PATIENCE: Final = 10.0
#: Of those that run late, one in so many is really made to wait: each holds a slot for its limit.
_LATE = 25


@task
def work(number: int) -> int | None:
    """Give every tenth time a result."""
    return number if number % 10 == 0 else None


@task
async def awork(number: int) -> int | None:
    return number if number % 10 == 0 else None


@task
def fail(number: int) -> None:
    raise ValueError(f"failure {number}")


@task
async def afail(number: int) -> None:
    raise ValueError(f"failure {number}")


@task
def rest() -> None:
    """Hold a slot for a moment, so that others take the rest."""
    time.sleep(0.2)


@task(timeout=0.05)
def run_late(number: int) -> None:
    """Fail, one time in so many by taking too long."""
    while number % _LATE == 0:
        time.sleep(0.001)
    raise RuntimeError(f"failure {number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a worker holds.

    Attributes:
        fds: open files of each process.
        threads: of each process.
        rss: bytes of memory of each process.
        connections: sessions of the database that are the worker's.
        locks: advisory locks held in it.
    """

    fds: list[int]
    threads: list[int]
    rss: list[int]
    connections: int
    locks: int

    def countable(self) -> tuple[list[int], list[int], int, int]:
        """Everything but memory."""
        return self.fds, self.threads, self.connections, self.locks


def family(worker: RunningWorker) -> list[int]:
    """Give supervisor, zygote and children, in the order of their start."""
    return [worker.pid, *sorted(descendants(worker.pid))]


def holdings(worker: RunningWorker, jobs: Jobs) -> Holdings:
    """Count what a worker holds now."""
    pids = family(worker)
    return Holdings(
        fds=[len(os.listdir(f"/proc/{pid}/fd")) for pid in pids],
        threads=[len(os.listdir(f"/proc/{pid}/task")) for pid in pids],
        rss=[_rss(pid) for pid in pids],
        connections=jobs.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            # An autovacuum worker comes and goes by itself.
            " AND backend_type = 'client backend'"
        ),
        locks=jobs.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
    )


def _rss(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def add(jobs: Jobs, first: int, count: int) -> None:
    """Insert jobs of the mix, with numbers from `first` on."""
    names = [_PREFIX + name for name, share in MIX.items() for _ in range(share)]
    jobs.query(
        "INSERT INTO pgqueue.jobs (task, args)"
        " SELECT (%s::text[])[1 + n %% %s::integer], jsonb_build_array(n / %s::integer)"
        " FROM generate_series(%s::integer, %s::integer) AS n",
        names, len(names), len(names), first, first + count - 1,
    )  # fmt: skip


def _wait_idle(jobs: Jobs, total: int, timeout: float) -> None:
    def done() -> None:
        assert jobs.value("SELECT count(*) FROM pgqueue.finished_jobs") == total

    eventually(done, timeout)


def warm_up(jobs: Jobs, worker: RunningWorker) -> int:
    """Have every slot and every event loop begun, which happens when they are needed first; give
    how many jobs that took."""
    count = 0
    # Each child: its slots, its reader, its event loop.
    while holdings(worker, jobs).threads[-_PROCESSES:] != [_THREADS + 2] * _PROCESSES:
        for name in ("rest", "awork"):
            args = [0] if name == "awork" else []
            jobs.wait_all(jobs.add_many(4 * _THREADS, _PREFIX + name, *args), timeout=60)
            count += 4 * _THREADS
    return count


def settled(worker: RunningWorker, jobs: Jobs) -> Holdings:
    """Count once a worker is idle and its counts do not change any more."""
    found = holdings(worker, jobs)
    times = 0

    def quiet() -> bool:
        nonlocal found, times
        before, found = found, holdings(worker, jobs)
        times = times + 1 if before.countable() == found.countable() else 0
        return times >= _QUIET_LOOKS

    eventually(quiet)
    return found


def again(worker: RunningWorker, jobs: Jobs, early: Holdings) -> Holdings:
    """Count once a worker holds what it held before; what it has leaked stays, and is given after
    a while."""
    found = settled(worker, jobs)

    def equal() -> bool:
        nonlocal found
        found = holdings(worker, jobs)
        return found.countable() == early.countable()

    with contextlib.suppress(AssertionError):
        eventually(equal, _PATIENCE)
    return found


def measure(jobs: Jobs, worker: RunningWorker, number: int) -> tuple[Holdings, Holdings]:
    """Run so many jobs on a worker; give what it holds after a tenth of them and after all."""
    before = warm_up(jobs, worker)
    tenth = number // 10
    add(jobs, 0, tenth)
    _wait_idle(jobs, before + tenth, 60 + number / 100)
    early = settled(worker, jobs)
    for first in range(tenth, number, 10_000):
        count = min(10_000, number - first)
        add(jobs, first, count)
        _wait_idle(jobs, before + first + count, 60 + number / 100)
    return early, again(worker, jobs, early)


def rows(early: Holdings, late: Holdings) -> Iterator[tuple[str, Any, Any, bool]]:
    """Give each figure: its name, early, late, and whether that is well."""
    for name in ("fds", "threads", "connections", "locks"):
        before, after = getattr(early, name), getattr(late, name)
        yield name, before, after, before == after
    growth = max(after - before for before, after in zip(early.rss, late.rss, strict=False))
    same = len(early.rss) == len(late.rss)
    yield "rss", early.rss, late.rss, same and growth <= MOST_GROWTH


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.leaks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    begun = time.monotonic()
    with private_database() as database, working(database.dsn, APP, *OPTIONS) as worker:
        jobs = Jobs(database.dsn)
        early, late = measure(jobs, worker, words.jobs)
        found = list(rows(early, late))
        total = {
            "jobs": words.jobs,
            "failed": jobs.states().get("failed"),
            "postgresql": jobs.value("SHOW server_version"),
            "rss growth": [b - a for a, b in zip(early.rss, late.rss, strict=False)],
            "seconds": round(time.monotonic() - begun, 1),
            "ok": all(row[3] for row in found),
        }
        jobs.close()
    for name, before, after, well in found:
        row = {"name": name, "early": before, "late": after, "ok": well}
        print(json.dumps(row) if words.json else f"{name:12} {before} -> {after} {well}")
    print(json.dumps(total) if words.json else total)
    raise SystemExit(not total["ok"])


if __name__ == "__main__":
    main()
