"""Run jobs in this process, over the connection that the app uses."""

import itertools
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from pgqueue.api.app import PgQueue
from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.framework import current
from pgqueue.core.job import Job
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.queue_list import parse_queues
from pgqueue.db.client import Client
from pgqueue.db.statements import trial
from pgqueue.testing.bench import Bench
from pgqueue.worker.atomic import GivenBack, Stored, record_given_back
from pgqueue.worker.execution import (
    Prepared,
    Ticket,
    UnknownTask,
    prepare,
    read_batch,
    record,
    record_state,
)

#: Jobs after which something is taken to go round and round.
MOST: Final = 1000

_draining: Final[ContextVar[bool]] = ContextVar("pgqueue_draining", default=False)


def drain(
    queue: str | None = None,
    *,
    within: Duration = 0,
    raise_errors: bool = True,
    app: PgQueue | None = None,
) -> list[Job]:
    """Run the jobs that are due, and those that they enqueue, until there are none.

    Args:
        queue: only those of this queue, or of these: `"mail,default"`.
        within: those that fall due so soon count as due: `"1h"`.
        raise_errors: raise what a task has raised when its job fails for good; the outcome is
            stored all the same.
        app: whose jobs; None for the default app's.

    Returns:
        The jobs that were run, as they stand now.

    Raises:
        AssertionError: a job goes round and round.
        Exception: what a task has raised.
    """
    seconds = to_seconds(within, "within")
    queues = parse_queues("*" if queue is None else queue).names
    found = app or default_app()
    round_ = _Round(found.clients.sync, queues, None if current() else found.dsn)
    token = _draining.set(True)
    try:
        round_.run(seconds, raise_errors=raise_errors)
    finally:
        _draining.reset(token)
        round_.close()
    return round_.jobs()


def is_draining() -> bool:
    """Whether jobs are being run, so that those they enqueue have their turn anyway."""
    return _draining.get()


class _Round:
    """One drain.

    Args:
        client: of the app.
        queues: whose jobs.
        dsn: of the queue, for atomic tasks.
    """

    def __init__(self, client: Client, queues: Sequence[str], dsn: str | None) -> None:
        self._client = client
        self._queues = queues
        self._bench = Bench(dsn)
        self._numbers = itertools.count(1)
        self._ids: dict[int, None] = {}
        self._runs = 0
        self._worker_id = client.run(trial.begin("pgqueue.testing"))

    def run(self, within: float, *, raise_errors: bool) -> None:
        """Run jobs until none is due within so many seconds."""
        looked = False
        while True:
            taken, tickets = self._take(1)
            if tickets:
                looked = False
                self._work(taken, tickets[0])
                self._bench.raise_again(always=raise_errors)
            elif self._client.run(trial.promote(within)) or not looked:
                # Jobs that run after older ones are looked after as others fall due.
                looked = True
            else:
                return

    def close(self) -> None:
        """Take the worker back."""
        self._bench.close()
        self._client.run(trial.end(self._worker_id))

    def jobs(self) -> list[Job]:
        """Read the jobs that were run."""
        return self._client.run(trial.read(list(self._ids))) if self._ids else []

    def _take(self, most: int) -> tuple[int, list[Ticket]]:
        taken = next(self._numbers)
        payload = self._client.run(trial.take(self._worker_id, taken, self._queues, most))
        return taken, read_batch(taken, payload.encode()) if payload else []

    def _store(self, outcomes: Sequence[tuple[int, bytes]], said: Sequence[bytes] = ()) -> None:
        answers = [*said, *(trial.answer(taken, [outcome]) for taken, outcome in outcomes)]
        if answers:
            self._client.run(trial.store(self._worker_id, next(self._numbers), answers))

    def _begin(self, ticket: Ticket) -> Prepared | None:
        """Prepare a job; of one that cannot be called the outcome is stored."""
        self._ids[ticket.job_id] = None
        self._runs += 1
        if self._runs > MOST:
            raise AssertionError(
                f"{MOST} jobs were run and there are more; the last is of {ticket.task}, which "
                "may enqueue or snooze itself again and again"
            )
        prepared = prepare(ticket, registry)
        if isinstance(prepared, Prepared):
            return prepared
        if isinstance(prepared, UnknownTask):
            outcome = record_state(ticket.job_id, "unknown_task")
        else:
            outcome = record(ticket.job_id, prepared, 0)
        self._store([(ticket.batch_no, outcome)])
        return None

    def _work(self, taken: int, ticket: Ticket) -> None:
        job = self._begin(ticket)
        if job is None:
            return
        if job.task.options.batch > 1:
            self._work_batch(job)
            return
        ending = self._bench.run(job, self._worker_id)
        said = self._bench.said.of(taken)
        if isinstance(ending, Stored):
            self._store([], said)
        elif isinstance(ending, GivenBack):
            self._store([(taken, record_given_back(ticket.job_id, ending))], said)
        else:
            self._store([(taken, record(ticket.job_id, ending, 0))], said)

    def _work_batch(self, first: Prepared) -> None:
        """Run a job of a batch task with others of the task that are due; what else was taken goes
        back."""
        jobs = [first]
        _taken, tickets = self._take(first.task.options.batch - 1)
        others = [ticket for ticket in tickets if ticket.task != first.ticket.task]
        self._store([(other.batch_no, record_state(other.job_id, "unstarted")) for other in others])
        for ticket in tickets:
            if ticket.task == first.ticket.task and (job := self._begin(ticket)) is not None:
                jobs.append(job)
        endings = self._bench.run_batch(jobs)
        self._store(
            [
                (job.ticket.batch_no, record(job.ticket.job_id, ending, 0))
                for job, ending in zip(jobs, endings, strict=True)
            ]
        )
