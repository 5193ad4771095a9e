"""Run due jobs in this process and thread, one after the other; what the old commands do.

Each job is claimed, run and finished by the SQL that workers use, and this process is registered as
one, with a sign of life over a connection of its own: when it is killed its job goes back and is
run by whoever comes next, and two at once never run the same job. That sign keeps a job that takes
long from being taken for lost; one that takes longer than it may gets JobTimeout, but nobody kills
what does not end by it.

Within a transaction of the caller's, as in a test, all of it is part of that transaction, and each
job is a savepoint.
"""

import contextlib
import datetime as dt
import itertools
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections

from pgqueue import __version__
from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.compat.hanging_up import hang_up
from pgqueue.compat.pulse import LEASE, Pulse
from pgqueue.core.context import Context
from pgqueue.core.errors import JobStateError, JobTimeout
from pgqueue.core.outcome import (
    Cancelled,
    Failed,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from pgqueue.db.client import Client
from pgqueue.db.statements import here as statements
from pgqueue.db.statements import trial
from pgqueue.db.statements.here import Order
from pgqueue.django import conf
from pgqueue.testing.bench import Bench, Said
from pgqueue.worker.atomic import Atomic, Ending, GivenBack, Stored, record_given_back
from pgqueue.worker.contexts import make_context
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import (
    Caller,
    Prepared,
    Ticket,
    UnknownTask,
    prepare,
    read_batch,
    record,
    record_state,
)
from pgqueue.worker.execution import (
    run as run_job,
)
from pgqueue.worker.limiting import Limit, limited

#: Jobs that are looked up at once, at first and later.
_AHEAD: Final = 10
_MOST_AHEAD: Final = 1000
#: One for all, since it never ends.
_loop: Final = EventLoop()

_STATES: Final[dict[type, str]] = {
    Succeeded: "succeeded",
    Stored: "succeeded",
    Failed: "failed",
    Retried: "retry",
    Snoozed: "snoozed",
    Cancelled: "cancelled",
    GivenBack: "given_back",
}
_OVER: Final = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of one job.

    Attributes:
        state: `succeeded`, `failed`, `cancelled`; `retry` when it failed and is tried again,
            `snoozed`, or `given_back` when the database was lost.
        error: what the function raised, or what was wrong with the job; None for nothing.
        result: what the function returned.
    """

    job_id: int
    task: str
    state: str
    error: BaseException | None = None
    result: Any = None

    @property
    def has_failed(self) -> bool:
        """Whether this attempt did, be it that there is another."""
        return self.state in ("failed", "retry")


class JobNotRunError(RuntimeError):
    """Stand for the error of a job whose function was not called, or whose result is no JSON."""


def run(
    queues: Sequence[str],
    *,
    limit: int | None = None,
    prefix: str = "",
    shard: tuple[int, int] = (0, 1),
    order: Order = "priority",
    ids: Iterable[int] | None = None,
    stop_at_error: bool = False,
    now: dt.datetime | None = None,
    before: Callable[[Ticket], None] | None = None,
    after: Callable[[Ran], None] | None = None,
) -> list[Ran]:
    """Run the jobs that are due, and those that fall due meanwhile, until there are none.

    A job that is to be tried again is not tried again by this call.

    Args:
        queues: by name.
        limit: run no more than so many; None for no limit.
        prefix: only tasks whose names begin so, the facade's own prefix included.
        shard: `(which, outof)`: only jobs whose id, divided by `outof`, leaves `which`.
        order: what comes first: `priority`, `run_at` or `async`, see `statements.here`.
        ids: only these jobs, in this order, whatever the others say; read one by one as they are
            run. Those that cannot be had are passed by.
        stop_at_error: stop after a job that has failed, be it that it is tried again.
        now: the time it is, for what is due and what has expired; None for the server's clock.
        before: called with each job before it runs.
        after: called with what became of it, when that is written down.

    Returns:
        What became of each, in the order in which they ran.
    """
    given: list[Ran] = []
    # Jobs that were tried and wait still, or again.
    tried: set[int] = set()
    with _working(queues) as place:
        if ids is None:
            ids = _due(
                place, queues, prefix=prefix, shard=shard, order=order, at=now, most=limit,
                without=tried,
            )  # fmt: skip
        for job_id in ids:
            if limit is not None and len(given) >= limit:
                break
            ran = place.take(job_id, early=False, at=now, before=before)
            if ran is None or ran.state not in _OVER:
                tried.add(job_id)
            if ran is not None:
                given.append(ran)
                if after is not None:
                    after(ran)
                if stop_at_error and ran.has_failed:
                    break
            if place.is_lost:
                break
    return given


def _due(
    place: "_Place",
    queues: Sequence[str],
    *,
    prefix: str,
    shard: tuple[int, int],
    order: Order,
    at: dt.datetime | None,
    most: int | None,
    without: Collection[int],
) -> Iterator[int]:
    """Give the jobs that are due until there are none.

    Args:
        without: jobs to leave out; may grow meanwhile.
    """
    which, outof = shard
    looked = False
    ahead = _AHEAD
    while True:
        ids = place.client.run(
            statements.due(
                queues,
                prefix=prefix,
                which=which % outof,
                outof=outof,
                order=order,
                at=at,
                without=without,
                most=ahead if most is None else min(ahead, most),
            )
        )
        if ids:
            looked = False
            yield from ids
            # Each look sorts all that are due.
            ahead = min(2 * ahead, _MOST_AHEAD)
        elif not looked:
            # Jobs that run after others, or wait for keys, may have become ready.
            place.client.run(trial.promote(0))
            looked = True
        else:
            return


def run_one(job_id: int, queue: str, *, before: Callable[[Ticket], None] | None = None) -> Ran:
    """Run one certain job that waits, due or not, its queue paused or not.

    Raises:
        JobStateError: it does not wait, or another is at it.
    """
    with _working([queue]) as place:
        ran = place.take(job_id, early=True, at=None, before=before)
    if ran is None:
        raise JobStateError(
            f"job {job_id} cannot be run here: it does not wait, or another is at it; look where "
            "it stands and retry it"
        )
    return ran


@contextlib.contextmanager
def _working(queues: Sequence[str]) -> Iterator["_Place"]:
    """Be a worker for a block."""
    app = default_app()
    client = app.clients.sync
    host = socket.gethostname()
    connection = connections[conf.database()]
    inside = bool(connection.in_atomic_block)
    if not inside:
        # One connection for all jobs, whatever CONN_MAX_AGE says: there is no request that ends.
        connection.ensure_connection()
        connection.close_at = None
        client.run(statements.rescue())
    worker_id = client.run(
        statements.register(
            f"{host}:{os.getpid()} (here)", queues, host, os.getpid(), __version__, LEASE
        )
    )
    place = _Place(client, worker_id, inside=inside)
    # Within a transaction nobody else sees this worker.
    pulse = None if inside else Pulse(app.clients.dsn, worker_id, place.lose)
    try:
        yield place
    finally:
        place.close()
        if pulse is not None:
            pulse.stop()
        if not inside:
            # That of atomic jobs was ended with them.
            connection.close()
        if not (inside and connection.needs_rollback):
            client.run(trial.end(worker_id))


class _Place:
    """Where jobs run.

    Args:
        client: over Django's connection of this thread.
        worker_id: of this process.
        inside: whether a transaction is under way.

    Attributes:
        is_lost: whether others take this process for dead.
    """

    def __init__(self, client: Client, worker_id: int, *, inside: bool) -> None:
        self.client = client
        self.is_lost = False
        self._worker_id = worker_id
        self._inside = inside
        self._numbers = itertools.count(1)
        self._atomic = Atomic(_loop)
        self._bench = Bench(None)
        self._said = Said()
        self._raised: list[BaseException] = []
        self._returned: list[object] = []

    def lose(self) -> None:
        """Note that others take this process for dead."""
        self.is_lost = True

    def close(self) -> None:
        """Close what atomic tasks have opened."""
        self._atomic.close()
        self._bench.close()

    def take(
        self,
        job_id: int,
        *,
        early: bool,
        at: dt.datetime | None,
        before: Callable[[Ticket], None] | None,
    ) -> Ran | None:
        """Take one job and run it; None where it cannot be had."""
        taken = next(self._numbers)
        line = self.client.run(statements.take(self._worker_id, taken, job_id, early=early, at=at))
        if not line:
            return None
        (ticket,) = read_batch(taken, line.encode())
        if before is not None:
            before(ticket)
        prepared = prepare(ticket, registry)
        if isinstance(prepared, UnknownTask):
            self._store(taken, record_state(job_id, "unknown_task"))
            why = JobNotRunError(f"no task is named {ticket.task}")
            return Ran(job_id=job_id, task=ticket.task, state="retry", error=why)
        self._raised, self._returned = [], []
        begun = time.monotonic()
        ending = prepared if isinstance(prepared, Failed) else self._run(prepared)
        us = int((time.monotonic() - begun) * 1_000_000)
        stopped = next((e for e in self._raised if isinstance(e, KeyboardInterrupt)), None)
        if stopped is not None and isinstance(ending, Failed | Retried):
            # Not the job's fault.
            ending = GivenBack(error=ending.error)
        if isinstance(ending, GivenBack):
            self._store(taken, record_given_back(job_id, ending))
        elif isinstance(ending, Stored):
            self._store(taken)
        else:
            self._store(taken, record(job_id, ending, us))
        if stopped is not None:
            raise stopped
        return self._ran(ticket, ending)

    def _ran(self, ticket: Ticket, ending: Ending) -> Ran:
        error = self._raised[-1] if self._raised else None
        if error is None and isinstance(ending, Failed | Retried | GivenBack):
            error = JobNotRunError(f"{ending.error.kind}: {ending.error.message}")
        return Ran(
            job_id=ticket.job_id,
            task=ticket.task,
            state=_STATES[type(ending)],
            error=None if isinstance(ending, Succeeded | Stored) else error,
            result=self._returned[-1] if self._returned else None,
        )

    def _store(self, taken: int, *outcomes: bytes) -> None:
        answers = [*self._said.of(taken), *self._bench.said.of(taken)]
        if outcomes:
            answers.append(trial.answer(taken, outcomes))
        if answers:
            self.client.run(trial.store(self._worker_id, next(self._numbers), answers))

    def _run(self, job: Prepared) -> Ending:
        if job.task.options.batch > 1:
            return self._bench.run_batch([job])[0]
        limit = Limit(_loop, job.ticket.job_id)
        if self._inside:
            return self._bench.run(
                job, self._worker_id, wrap=lambda caller: self._noting(limited(limit, caller))
            )
        call = self._noting(limited(limit, limit.slot.call))

        def context(connection: Any = None) -> Context | None:
            return make_context(job, lambda: False, connection, sink=self._said, move=limit.move)

        if not job.task.options.atomic:
            return run_job(job, context(), call)

        def body(connection: Any, wrap: Callable[[Caller], Caller]) -> Outcome:
            return run_job(job, context(connection), wrap(call))

        return self._atomic.run(limit.slot, job, self._worker_id, body)

    def _noting(self, call: Caller) -> Caller:
        def noting(job: Prepared, context: Context | None) -> object:
            try:
                returned = call(job, context)
            except BaseException as error:
                self._raised.append(error)
                if isinstance(error, JobTimeout):
                    # What became of the job is told over the same connection.
                    hang_up()
                raise
            self._returned.append(returned)
            return returned

        return noting
