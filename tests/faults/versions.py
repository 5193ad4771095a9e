"""Scenario: the schema is upgraded while workers work, and workers of both versions come and go.

The further version is made here: a copy of `sql/` with a folder `0002` that adds columns to two
busy tables and replaces the function that every worker calls most. A worker of that version is this
one started from a copy of the package that has the folder.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from pgqueue.db import schema
from pgqueue.db.sqlfiles import default_root
from tests.faults.arena import Arena, Worker
from tests.faults.lone import start_delay
from tests.faults.processes import kill_child
from tests.faults.scenarios import Scenario, register
from tests.helpers import ROOT

#: The version that `newer_tree` adds.
NEWER = 2
_COLUMNS = """-- Purpose: what a further version may bring.
ALTER TABLE pgqueue.jobs ADD COLUMN campaign text;
ALTER TABLE pgqueue.running_jobs ADD COLUMN campaign text;
"""
_CREATE = "CREATE FUNCTION pgqueue.work("
_BEGIN = "\nBEGIN\n    PERFORM pg_advisory_xact_lock("

_trees: dict[int, Path] = {}


def write_version(root: Path, *, breaking: bool = False) -> None:
    """Write a further version into a copy of `sql/`."""
    work = next(root.glob("0001/*_work.sql"))
    text = work.read_text()
    if text.count(_CREATE) != 1 or text.count(_BEGIN) != 1:
        raise ValueError("work.sql is not what this scenario changes any more")
    text = text.replace(_CREATE, _CREATE.replace("CREATE", "CREATE OR REPLACE"))
    text = text.replace(_BEGIN, _BEGIN.replace("BEGIN\n", f"BEGIN\n    -- of version {NEWER}\n"))
    folder = root / f"{NEWER:04}"
    folder.mkdir()
    head = "-- breaking\n" if breaking else ""
    (folder / "10_columns.sql").write_text(head + _COLUMNS)
    (folder / work.name).write_text(text)


@contextlib.contextmanager
def newer_tree(*, breaking: bool = False) -> Iterator[Path]:
    """Copy the package, with a further version of the schema inside."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-newer-") as place:
        tree = Path(place)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "pgqueue", tree / "pgqueue", ignore=ignore)
        shutil.copytree(default_root(), tree / "pgqueue" / "sql", dirs_exist_ok=True)
        write_version(tree / "pgqueue" / "sql", breaking=breaking)
        yield tree


def start_newer(arena: Arena, tree: Path) -> Worker:
    """Start a worker of the further version."""
    usual, arena.program = arena.program, ("-m", "tests.faults.inside", f"tree={tree}")
    try:
        return arena.start_worker()
    finally:
        arena.program = usual


@contextlib.contextmanager
def _with_tree(arena: Arena) -> Iterator[None]:
    with newer_tree() as tree:
        _trees[id(arena)] = tree
        try:
            yield
        finally:
            del _trees[id(arena)]


def _mixed_versions(arena: Arena) -> None:
    """Go from one version to the next in the middle of the run."""
    tree = _trees[id(arena)]
    root = tree / "pgqueue" / "sql"
    newer: list[Worker] = []
    turn = max(1, arena.cycles // 3)
    for number in arena.cycle():
        if number == turn:
            _refuse(arena, tree)
            _kill_migrators(arena, root)
            _upgrade(arena, root)
        if number >= turn and (not newer or arena.random.random() < 0.3):
            # A rolling deploy: one more of the new, one less of any.
            newer.append(start_newer(arena, tree))
            arena.wait_ready(newer[-1])
            oldest = arena.workers[0]
            if code := oldest.stop():
                arena.history.write("surprise", what=f"a worker ended with {code} after SIGTERM")
            arena.bury(oldest)
            continue
        victim = arena.victim()
        if arena.random.random() < 0.5:
            kill_child(arena, victim)
            continue
        arena.kill_worker(victim)
        if victim in newer:
            newer.remove(victim)
            arena.bury(victim)
            newer.append(start_newer(arena, tree))
        else:
            arena.replace(victim)
    arena.facts["newer_workers"] = sum(worker.alive for worker in newer)
    arena.facts["older_workers"] = sum(
        worker.alive for worker in arena.workers if worker not in newer
    )


def _refuse(arena: Arena, tree: Path) -> None:
    """See that a newer worker refuses the schema that is not upgraded yet."""
    worker = start_newer(arena, tree)
    worker.ordered = True
    code, said = worker.process.wait(60), worker.log().strip()
    arena.bury(worker)
    expected = f"schema version {NEWER} is needed, the database has {NEWER - 1}"
    if code != 4 or expected not in said or said.count("\n"):
        arena.history.write("surprise", what=f"a newer worker ended with {code}: {said}")


def _kill_migrators(arena: Arena, root: Path) -> None:
    """Kill an upgrade at each of its steps; nothing of it may be left."""
    steps = len(list((root / f"{NEWER:04}").glob("*.sql")))
    for step in range(1, steps + 1):
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.versions", arena.dsn, str(root), str(step)],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        with arena.connect() as connection:
            left = schema.status(connection).version_installed
        if done.returncode != -9 or left != NEWER - 1:
            said = f"a migrator ended with {done.returncode} and left version {left}"
            arena.history.write("surprise", what=f"{said}: {done.stderr[-300:]}")
    arena.facts["migrators_killed"] = steps


def _upgrade(arena: Arena, root: Path) -> None:
    """Upgrade while jobs run, and see how long one job waits meanwhile."""
    begun = time.monotonic()
    delays: list[float] = []
    asking = threading.Thread(target=lambda: delays.append(start_delay(arena)))
    with arena.connect(autocommit=False) as connection:
        asking.start()
        report = schema.upgrade(connection, root=root)
        connection.commit()
    seconds = time.monotonic() - begun
    asking.join()
    arena.facts["upgrade"] = {
        "seconds": round(seconds, 3), "retries": report.retries,
        "start_delay": round(delays[0], 3) if delays else None,
    }  # fmt: skip
    if report.version_after != NEWER:
        arena.history.write("surprise", what=f"upgraded to version {report.version_after}")


def _migrate_and_die(dsn: str, root: str, step: str) -> None:
    from pgqueue.core import failpoints

    failpoints._actions = failpoints.parse(f"migrate_step=kill9@{step}")
    failpoints.on = True
    with psycopg.connect(dsn) as connection:
        schema.upgrade(connection, root=Path(root))


register(Scenario(
    name="mixed-versions",
    summary="the schema is upgraded under load, and workers of both versions come and go",
    prepare=_with_tree, strike=_mixed_versions, jobs=3000, cycles=24, workers=4,
))  # fmt: skip


if __name__ == "__main__":
    _migrate_and_die(*sys.argv[1:4])
