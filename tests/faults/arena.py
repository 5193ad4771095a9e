"""The arena of a campaign: its server, its workers, its producers, and the handles to hurt them."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import psycopg

from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import descendants, is_running
from tests.faults.history import VARIABLE, History
from tests.faults.producers import Producer
from tests.faults.scenarios import Scenario
from tests.fixtures import warm
from tests.fixtures.warm import Forked
from tests.helpers import ROOT, eventually

APP = "tests.faults.tasks"
PROGRAM = ("-m", "pgqueue")


class Worker:
    """One worker process (a supervisor with its zygote and children) that the campaign started."""

    def __init__(
        self, process: "Forked | subprocess.Popen[bytes]", log_path: Path, again: dict[str, Any]
    ) -> None:
        self.process = process
        self.log_path = log_path
        #: How it was started, so that another can be started the same way.
        self.again = again
        #: Whether its end was ordered, so that nobody wonders about it.
        self.ordered = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def family(self) -> list[int]:
        """Give the process ids of the supervisor, its zygote and its children."""
        return [self.pid, *descendants(self.pid)]

    def children(self) -> list[int]:
        """Give the process ids of those that run jobs."""
        below = descendants(self.pid)
        return descendants(below[0]) if below else []

    def log(self) -> str:
        """Give what it has logged."""
        return self.log_path.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL to the supervisor, and wait until all of its family are dead."""
        family = self.family()
        self.ordered = True
        self.process.kill()
        self.process.wait()
        eventually(lambda: not any(is_running(pid) for pid in family))

    def stop(self, timeout: float = 60) -> int:
        """Send SIGTERM, wait for the end; give the exit code."""
        self.ordered = True
        self.send(signal.SIGTERM)
        return self.process.wait(timeout)

    def destroy(self) -> None:
        """Kill the whole process group; for the end of a campaign."""
        self.ordered = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


class Arena:
    """What a scenario gets.

    Attributes:
        scenario: what is played.
        server: the private server, of this campaign alone: stop, kill and restart it.
        database: name of the database.
        directory: for files; `history` below it holds the history.
        random: the only source of chance.
        history: of the campaign process.
        workers: those that should be running now.
        producers: processes that write jobs.
        cycles, jobs: as asked for on the command line.
        worker_dsn, producer_dsn: where those connect; `prepare` may set them.
        program: what Python runs as worker.
        facts: figures that a scenario wants to see in the row.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        server: EmbeddedServer,
        database: str,
        directory: Path,
        seed: int,
        jobs: int,
        cycles: int,
    ) -> None:
        self.scenario = scenario
        self.server = server
        self.database = database
        self.directory = directory
        self.history_directory = directory / "history"
        self.history_directory.mkdir(parents=True, exist_ok=True)
        self.seed = seed
        self.random = random.Random(f"{scenario.name} {seed}")
        self.history = History(self.history_directory, "campaign")
        self.jobs = jobs
        self.cycles = cycles
        self.worker_dsn = server.dsn(database)
        self.producer_dsn = server.dsn(database)
        self.workers: list[Worker] = []
        self.gone: list[Worker] = []
        self.producers: list[Producer] = []
        self.program: tuple[str, ...] = PROGRAM
        self.facts: dict[str, Any] = {}
        #: Seconds until all workers were heard again after each fault that was waited for.
        self.back: list[float] = []
        self.cycles_done = 0
        self._guard = threading.Lock()
        self._number = 0

    # -- the database -----------------------------------------------------------------------

    @property
    def dsn(self) -> str:
        """The straight way to the database, past every proxy."""
        return self.server.dsn(self.database)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Open a connection, autocommit; the caller closes it."""
        return psycopg.connect(self.dsn, **{"autocommit": True, **options})

    def execute(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Execute one statement on a connection of its own; give its rows."""
        with self.connect() as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    # -- workers ----------------------------------------------------------------------------

    def start_worker(
        self,
        *options: str,
        dsn: str | None = None,
        env: dict[str, str] | None = None,
        app: str = APP,
    ) -> Worker:
        """Start a worker with the scenario's options and these; it joins `workers`.

        Args:
            dsn: where it connects; None for `worker_dsn`.
            env: more of its environment.
        """
        with self._guard:
            self._number += 1
            number = self._number
        again = {"options": options, "dsn": dsn, "env": env, "app": app}
        log_path = self.directory / f"worker-{number:04}.log"
        with log_path.open("wb") as log:
            process = self._start(
                ["worker", "--app", app, *self.scenario.options, *options],
                {
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONPATH": os.fspath(ROOT),
                    "PGQUEUE_DSN": dsn or self.worker_dsn,
                    VARIABLE: os.fspath(self.history_directory),
                    "PGQUEUE_FAULTS_DSN": self.dsn,
                    **self.scenario.env,
                    **(env or {}),
                },
                log,
            )
        worker = Worker(process, log_path, again)
        self.workers.append(worker)
        return worker

    def _start(
        self, words: list[str], environment: dict[str, str], log: IO[bytes]
    ) -> "Forked | subprocess.Popen[bytes]":
        if self.program == PROGRAM:
            return warm.start(words, env=environment, log=log)
        return warm.start_from_nothing([*self.program, *words], env=environment, log=log)

    def replace(self, worker: Worker) -> Worker:
        """Start another in the place of one that ended, in the same way."""
        self.bury(worker)
        again = dict(worker.again)
        return self.start_worker(*again.pop("options"), **again)

    def bury(self, worker: Worker) -> None:
        """Take one that ended off the list."""
        if worker in self.workers:
            self.workers.remove(worker)
            self.gone.append(worker)

    def wait_ready(self, worker: Worker, timeout: float = 60) -> None:
        """Wait until a worker says that it is ready, or has ended."""
        eventually(lambda: not worker.alive or " ready: pid " in worker.log(), timeout)

    def victim(self, timeout: float = 20) -> Worker:
        """Choose a worker that runs jobs just now, or at least one that is ready to.

        A fault that hits a worker which only starts shows nothing.
        """
        deadline = time.monotonic() + timeout
        ready: list[Worker] = []
        while time.monotonic() < deadline:
            ready = [one for one in self.workers if one.alive and " ready: pid " in one.log()]
            busy: set[int] = set()
            with contextlib.suppress(psycopg.OperationalError):
                busy = {
                    row[0]
                    for row in self.execute(
                        "SELECT DISTINCT w.pid FROM pgqueue.workers AS w"
                        " JOIN pgqueue.running_jobs AS r ON r.worker_id = w.id"
                    )
                }
            found = [worker for worker in ready if worker.pid in busy]
            if found:
                return self.random.choice(found)
            if ready and not self.unfinished_or_unknown():
                return self.random.choice(ready)
            time.sleep(0.02)
        return self.random.choice(ready or self.workers)

    def unfinished_or_unknown(self) -> int:
        """Count as `unfinished`; 1 where the server cannot be asked."""
        try:
            return self.unfinished()
        except psycopg.OperationalError:
            return 1

    def wait_heard(self, timeout: float = 20) -> None:
        """Wait until every worker has given a sign of life after this moment.

        A fault is over for a worker when it is back, which may be a back-off later.
        """
        begun = time.monotonic()
        deadline = begun + timeout
        since = None
        while time.monotonic() < deadline:
            pids = {one.pid for one in self.workers if one.alive and " ready: pid " in one.log()}
            try:
                if since is None:
                    since = self.execute("SELECT clock_timestamp()")[0][0]
                rows = self.execute(
                    "SELECT pid FROM pgqueue.workers WHERE heartbeat_at > %s", (since,)
                )
            except psycopg.OperationalError:
                rows = []
            if pids <= {row[0] for row in rows}:
                self.back.append(time.monotonic() - begun)
                return
            time.sleep(0.02)
        self.back.append(timeout)

    # -- faults -----------------------------------------------------------------------------

    def cycle(self) -> Iterator[int]:
        """Let the jobs of one cycle flow in, wait a random moment, and give the turn to a fault."""
        for number in range(self.cycles):
            for producer in self.producers:
                producer.grant(self.jobs * (number + 1) // self.cycles // len(self.producers))
            if number == 0 and self.producers:
                # A producer is a process that has to start; a fault before its jobs hits nothing.
                with contextlib.suppress(AssertionError):
                    eventually(self._has_jobs, 30)
            self.pause(0.05, 0.35)
            yield number
            self.cycles_done = number + 1

    def _has_jobs(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.execute("SELECT 1 FROM pgqueue.jobs LIMIT 1"))
        return False

    def pause(self, least: float, most: float) -> None:
        """Wait a random time between these."""
        time.sleep(self.random.uniform(least, most))

    @contextlib.contextmanager
    def fault(
        self, what: str, *, scope: str = "process", targets: Iterable[int] = ()
    ) -> Iterator[None]:
        """Write down that something is broken while the block runs.

        Args:
            what: a word for people and for the figures by kind.
            scope: `process`, `server` or `crash`; see the module `scenarios`.
            targets: process ids.
        """
        pids = list(targets)
        self.history.write("fault.on", what=what, scope=scope, targets=pids)
        try:
            yield
        finally:
            self.history.write("fault.off", what=what, scope=scope, targets=pids)

    def dead(self, pids: Iterable[int]) -> None:
        """Write down that processes are dead."""
        for pid in pids:
            self.history.write("proc.dead", pid=pid)

    def kill_worker(self, worker: Worker, what: str = "kill9") -> None:
        """Kill a supervisor and with it its family, and write it down."""
        family = worker.family()
        with self.fault(what, targets=family):
            worker.kill()
            self.dead(family)

    # -- how far it is ----------------------------------------------------------------------

    def unfinished(self) -> int:
        """Count the jobs that are not over."""
        return int(
            self.execute(
                "SELECT (SELECT count(*) FROM pgqueue.ready_jobs)"
                " + (SELECT count(*) FROM pgqueue.scheduled_jobs)"
                " + (SELECT count(*) FROM pgqueue.blocked_jobs)"
                " + (SELECT count(*) FROM pgqueue.running_jobs)"
            )[0][0]
        )

    def running(self) -> int:
        """Count the jobs that a worker holds."""
        return int(self.execute("SELECT count(*) FROM pgqueue.running_jobs")[0][0])
