"""Run one scenario from beginning to end, and make one row of it."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import is_running
from tests.faults import dump, history
from tests.faults.arena import Arena, Worker
from tests.faults.checker import Report, check
from tests.faults.producers import Producer
from tests.faults.scenarios import Scenario
from tests.fixtures.databases import start_server
from tests.helpers import ROOT, eventually

Row = dict[str, Any]

DATABASE = "faults"

#: What databases of campaigns are clones of, and the servers that have it.
_TEMPLATE = "faults_template"
_prepared: "weakref.WeakSet[EmbeddedServer]" = weakref.WeakSet()

#: What a worker says of a child that it killed since its lease was over, or others had its jobs.
_FENCED = r"child (\d+) ended: killed(?:: others may have| since its jobs were given)"

#: Findings that a row shows of each verdict.
_SHOWN = 5


def run(
    scenario: Scenario,
    *,
    seed: int = 0,
    jobs: int | None = None,
    cycles: int | None = None,
    postgres: str | None = None,
    server: EmbeddedServer | None = None,
    keep: Path | None = None,
) -> tuple[Row, Report]:
    """Play a scenario.

    Args:
        seed: of everything random.
        jobs, cycles: None for the scenario's own.
        postgres: directory of the server's programs; None for those of the wheel.
        server: one that is there already; None for one of its own.
        keep: where to leave the history and the logs; None to remove them.
    """
    directory = Path(tempfile.mkdtemp(prefix="pgqueue-faults-"))
    begun = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            if server is None:
                server = stack.enter_context(start_server(postgres, **scenario.settings))
            database = create_database(server)
            arena = Arena(
                scenario=scenario,
                server=server,
                database=database,
                directory=directory,
                seed=seed,
                jobs=scenario.jobs if jobs is None else jobs,
                cycles=scenario.cycles if cycles is None else cycles,
            )
            try:
                play(arena)
            finally:
                for worker in [*arena.workers, *arena.gone]:
                    worker.destroy()
                for producer in arena.producers:
                    producer.kill()
        report = check(
            history.read(arena.history_directory), allows=scenario.allows,
            ordered="ordered" in arena.facts, wake=scenario.wake,
        )  # fmt: skip
        return _row(arena, report, time.monotonic() - begun), report
    finally:
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(directory, keep)
        shutil.rmtree(directory, ignore_errors=True)


def play(arena: Arena) -> None:
    """Safety phase, heal, liveness phase, dump."""
    scenario = arena.scenario
    with arena.connect() as connection:
        arena.history.write("resources", when="before", found=dump.resources(connection))
    with scenario.prepare(arena):
        for _ in range(scenario.workers):
            arena.start_worker()
        for worker in arena.workers:
            arena.wait_ready(worker)
        _start_producers(arena)
        scenario.strike(arena)
        scenario.heal(arena)
        for producer in arena.producers:
            producer.finish()
        _settle_prepared(arena)
        drain(arena)
        _stop_workers(arena)
        _dump(arena)


def drain(arena: Arena) -> None:
    """Wait until every job is over, or the scenario's time for it is."""
    deadline = time.monotonic() + arena.scenario.drain
    begun = time.monotonic()
    while time.monotonic() < deadline and any(worker.alive for worker in arena.workers):
        with contextlib.suppress(psycopg.OperationalError):
            if arena.unfinished() == 0:
                break
        time.sleep(0.1)
    arena.facts["drain"] = round(time.monotonic() - begun, 1)


def create_database(server: EmbeddedServer) -> str:
    """Create a database with the schema and the witnesses; give its name."""
    database = f"{DATABASE}_{time.monotonic_ns()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        if server not in _prepared:
            connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
            with psycopg.connect(server.dsn(_TEMPLATE), autocommit=True) as template:
                schema.upgrade(template)
                dump.install(template)
            _prepared.add(server)
        connection.execute(f'CREATE DATABASE "{database}" TEMPLATE {_TEMPLATE}'.encode())
    return database


def _start_producers(arena: Arena) -> None:
    scenario = arena.scenario
    for number in range(scenario.producers):
        start_producer(arena, number, arena.jobs // scenario.producers)


def start_producer(arena: Arena, number: int, jobs: int) -> Producer:
    """Start a process that writes so many jobs."""
    producer = Producer(
        number=number,
        seed=f"{arena.scenario.name} {arena.seed}",
        dsn=arena.producer_dsn,
        history=arena.history_directory,
        jobs=jobs,
        mix=arena.scenario.mix,
        shapes=arena.scenario.shapes,
        log_path=arena.directory / "producers.log",
    )
    arena.producers.append(producer)
    return producer


def _settle_prepared(arena: Arena) -> None:
    """Roll back what a producer prepared and never decided: nobody else will."""
    for (gid,) in arena.execute(
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
    ):
        arena.execute(f"ROLLBACK PREPARED '{gid}'")


def _stop_workers(arena: Arena) -> None:
    for worker in arena.workers:
        # SIGTERM ends what has only begun, and nothing is to be learned from that.
        with contextlib.suppress(AssertionError):
            arena.wait_ready(worker)
    # Those that were killed are to be given up by those that live, not by the end of the run.
    with contextlib.suppress(AssertionError):
        eventually(
            lambda: (
                arena.execute("SELECT count(*) FROM pgqueue.workers")[0][0]
                <= sum(1 for worker in arena.workers if worker.alive)
            )
        )
    for worker in [*arena.workers, *arena.gone]:
        if not worker.ordered and not worker.alive:
            said = worker.log().strip().splitlines()[-1:]
            arena.history.write(
                "surprise", what=f"a worker ended by itself: {worker.process.returncode} {said}"
            )
    families = [pid for worker in arena.workers for pid in worker.family()]
    living = [worker for worker in arena.workers if worker.alive]
    for worker in living:
        worker.ordered = True
        worker.process.terminate()
    for worker in living:
        try:
            code = worker.process.wait(60)
        except subprocess.TimeoutExpired:
            arena.history.write("surprise", what="a worker did not stop within 60 s")
            continue
        if code != 0:
            arena.history.write("surprise", what=f"a worker stopped with exit code {code}")
    with contextlib.suppress(AssertionError):
        eventually(lambda: not any(map(is_running, families)), 30)
    left = [pid for pid in families if is_running(pid)]
    if left:
        arena.history.write("surprise", what=f"{len(left)} processes outlived their worker")


def _dump(arena: Arena) -> None:
    logs = Counter[str]()
    for worker in [*arena.workers, *arena.gone]:
        logs.update(read_log(worker))
        # On a machine that is busy enough a worker may miss its lease without any fault of ours.
        for pid in re.findall(_FENCED, worker.log()):
            arena.history.write("proc.fenced", pid=int(pid))
            logs["fenced"] += 1
    arena.facts["log"] = dict(logs)
    if found := sorted(arena.back):
        arena.facts["back"] = {
            "n": len(found), "p50": round(found[len(found) // 2], 3), "max": round(found[-1], 3)
        }  # fmt: skip
    arena.history.write("refused", n=logs["refused"])
    with arena.connect() as connection:
        with contextlib.suppress(AssertionError):
            eventually(lambda: dump.resources(connection)["connections"] == 0)
        arena.history.write("resources", when="after", found=dump.resources(connection))
        dump.write(connection, arena.history)


def read_log(worker: Worker) -> Counter[str]:
    """Count what matters in the log of a worker."""
    text = worker.log()
    found = Counter[str]()
    found["refused"] = sum(map(int, re.findall(r"lease lost: (\d+) outcomes", text)))
    found["given_up"] = text.count("given up as lost")
    found["rescued"] = sum(map(int, re.findall(r"rescued (\d+) jobs", text)))
    found["tracebacks"] = text.count("Traceback (most recent call last)")
    for name, number in re.findall(r"(\w+)=(\d+)", text.rpartition(" stopped: ")[2]):
        if " stopped: " in text:
            found[name] += int(number)
    return found


def revision() -> str:
    """Give the git revision of the checkout, with a + where it was changed since."""
    if told := os.environ.get("PGQUEUE_FAULTS_REVISION"):
        return told
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _row(arena: Arena, report: Report, wall: float) -> Row:
    figures = report.figures
    findings = {name: found[:_SHOWN] for name, found in report.findings.items() if found}
    return {
        "scenario": arena.scenario.name,
        "seed": arena.seed,
        "server": arena.server.version,
        "revision": revision(),
        "cycles": arena.cycles_done,
        "committed": figures["committed"],
        "aborted": figures["aborted"],
        "unknown": figures["unknown"],
        "recovered": figures["recovered"],
        "lost": report.count("lost") + report.count("recovered"),
        "phantom": report.count("phantom") + report.count("unexpected"),
        "rerun": figures["reruns"],
        "unexplained": report.count("rerun"),
        "double_finish": report.count("double_finish"),
        "refused": figures["refused"],
        "stuck": report.count("stuck"),
        "overlap": report.count("overlap"),
        "effect_wrong": report.count("effect"),
        "atomicity": report.count("atomicity"),
        "rescue_p50": figures["rescue_p50"],
        "rescue_p95": figures["rescue_p95"],
        "rescue_max": figures["rescue_max"],
        "return_p50": figures["return_p50"],
        "return_p95": figures["return_p95"],
        "return_max": figures["return_max"],
        "wake_p50": figures["wake_p50"],
        "wake_p99": figures["wake_p99"],
        "wake_max": figures["wake_max"],
        "wall": round(wall, 1),
        "ok": report.ok,
        "failed": report.failed,
        "facts": arena.facts,
        "findings": findings,
    }


@contextlib.contextmanager
def shared_server(postgres: str | None) -> Iterator[EmbeddedServer]:
    """Start one server for several campaigns that do not hurt it."""
    with start_server(postgres) as server:
        yield server
