"""The course of the demonstration: a server, two workers, the work, a kill half-way, the end."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from pgqueue.demo.display import Display, View, jobs_in_words
from pgqueue.demo.watch import Figures, Sample, Watch
from pgqueue.demo.work import File, Producer, create_tables
from pgqueue.demo.workers import Worker, start_worker, wait_until_registered

#: So many jobs at most, and at most a third of all, are enqueued one at a time, a pause after each:
#: what they wait is how long an idle worker takes to start a job. At full speed they would queue,
#: and at a hundred a second a worker no longer goes to sleep between them.
_SINGLES: Final = 250
_PAUSE: Final = 0.02
_WORKERS: Final = 2
_LOOK_EVERY: Final = 0.2
#: Well beyond the ten seconds or so in which a dead worker's jobs are given to others.
_GIVE_UP_AFTER: Final = 45.0
_GRACE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Hold what came out.

    Attributes:
        problems: what pgqueue itself finds wrong in the database.
        held_by_killed: how many jobs the killed worker held.
        singles: how many jobs were enqueued one at a time.
    """

    figures: Figures
    problems: tuple[str, ...]
    held_by_killed: int
    singles: int


def play(files: Sequence[File], *, processes: int, display: Display) -> Outcome:
    """Run the demonstration from an empty machine to an empty machine.

    Args:
        files: what is examined.
        processes: children of each worker.
        display: where it is shown.

    Raises:
        ConfigurationError: no private server can be started.
        PgQueueError: a worker or the server ended by itself.
    """
    with contextlib.ExitStack() as stack:
        display.say("starting a private PostgreSQL")
        server = stack.enter_context(EmbeddedServer.start())
        try:
            return _play(server, files, processes, display, stack)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            raise ConnectionLostError(
                f"the private PostgreSQL went away ({said}); run it again"
            ) from error


def _play(
    server: EmbeddedServer,
    files: Sequence[File],
    processes: int,
    display: Display,
    stack: contextlib.ExitStack,
) -> Outcome:
    dsn = server.dsn()
    connection = psycopg.connect(dsn, autocommit=True)
    stack.callback(connection.close)
    schema.upgrade(connection)
    create_tables(connection)
    display.say(f"PostgreSQL {server.version} runs, and pgqueue is installed in it")
    workers: list[Worker] = []
    for number in range(1, _WORKERS + 1):
        workers.append(start_worker(number, dsn, processes))
        stack.callback(workers[-1].stop, 0)
    watch = Watch(connection)
    wait_until_registered(workers, watch.ids_by_pid)
    display.say(f"{len(workers)} workers with {processes} processes each are ready")
    producer = Producer(dsn)
    stack.callback(producer.close)
    return _Course(files, producer, workers, watch, display).run()


class _Course:
    """Enqueue, look, kill, wait and judge, one after the other in one thread.

    Looking and drawing happen between two transactions, so that they never stand between a commit
    and the clock.
    """

    def __init__(
        self,
        files: Sequence[File],
        producer: Producer,
        workers: list[Worker],
        watch: Watch,
        display: Display,
    ) -> None:
        self._files = files
        self._producer = producer
        self._ledger = producer.ledger
        self._victim: Worker | None = None
        self._workers = workers
        self._watch = watch
        self._display = display
        self._to_do = producer.will_commit(len(files))
        self._stage = ""
        self._sample = watch.sample(workers, self._ledger)
        self._sampled_at = time.monotonic()
        self._progress_at = self._sampled_at
        self._killed_at = 0.0
        self._held_by_killed = 0
        self._rescued = False

    def run(self) -> Outcome:
        """Do all of it."""
        count = min(_SINGLES, max(1, len(self._files) // 3))
        self._stage = "one job at a time, for idle workers"
        for file in self._files[:count]:
            self._producer.add(file)
            self._look()
            time.sleep(_PAUSE)
        singles = list(self._ledger.committed)
        self._stage = "jobs at full speed"
        for file in self._files[count:]:
            self._producer.add(file)
            self._kill_half_way()
            self._look()
        rush = list(self._ledger.committed)[len(singles) :]
        self._wait()
        self._stage = "the end"
        self._look(now=True)
        self._display.say("stopping the workers")
        for worker in self._workers:
            worker.stop(_GRACE)
        figures = self._watch.judge(
            self._ledger, singles=singles, rush=rush, kills=int(self._victim is not None)
        )
        return Outcome(
            figures=figures,
            problems=tuple(self._watch.problems()),
            held_by_killed=self._held_by_killed,
            singles=len(singles),
        )

    def _wait(self) -> None:
        """Wait until everything is over, or nothing goes on any more."""
        while self._sample.finished < len(self._ledger.committed):
            if time.monotonic() - self._progress_at > _GIVE_UP_AFTER:
                self._display.say(f"nothing has happened for {_GIVE_UP_AFTER:.0f} s; giving up")
                return
            self._kill_half_way()
            if self._victim and not self._rescued and not self._sample.ready:
                self._stage = "waiting for the jobs of the killed worker to be rescued"
            time.sleep(0.02)
            self._look()

    def _look(self, *, now: bool = False) -> None:
        """Take a sample and show it, a few times a second."""
        at = time.monotonic()
        if not now and at - self._sampled_at < _LOOK_EVERY:
            return
        for worker in self._workers:
            worker.check()
        before, self._sample = self._sample, self._watch.sample(self._workers, self._ledger)
        self._sampled_at = at
        if self._sample.finished != before.finished:
            self._progress_at = at
        if self._victim and not self._rescued:
            self._see_rescue(self._victim, self._sample)
        self._display.show(
            View(
                stage=self._stage,
                to_do=self._to_do,
                committed=len(self._ledger.committed),
                rolled_back=len(self._ledger.rolled_back),
                sample=self._sample,
            )
        )

    def _see_rescue(self, victim: Worker, sample: Sample) -> None:
        held = sample.workers[victim.number - 1].held
        if held:
            # What it had asked of the server when it died may still have been carried out.
            self._held_by_killed = held
            return
        self._rescued = True
        self._display.say(
            f"the other worker has {jobs_in_words(self._held_by_killed)} of worker "
            f"{victim.number}, {time.monotonic() - self._killed_at:.1f} s after its death"
        )

    def _kill_half_way(self) -> None:
        """Kill a worker once about half is done, in the middle of a job."""
        if (
            self._victim is not None
            or self._producer.count * 2 < len(self._files)
            or self._sample.found * 5 < self._to_do * 2
        ):
            return
        # The leader, if it is known by now: its death is the harder case.
        leader = self._watch.leader()
        victim = next((one for one in self._workers if one.worker_id == leader), self._workers[0])
        held, under_way = self._watch.held(victim)
        if not under_way:
            return
        victim.kill()
        self._victim = victim
        self._killed_at = time.monotonic()
        self._held_by_killed = held
        self._stage += ", one worker left"
        self._display.say(
            f"worker {victim.number} (pid {victim.pid}) was killed with SIGKILL; "
            f"it held {jobs_in_words(held)}"
        )
        self._look(now=True)
