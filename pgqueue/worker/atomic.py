"""Atomic tasks: what the function writes and the finish of its job commit together, or not at all.

The child begins a transaction, the function writes in it, `pgqueue.finish_atomic` is its last
statement, and the supervisor only hears that the job is over. Whatever else happens the transaction
is rolled back, and the attempt ends as any other would. The server decides by the running row of
the claim, which one transaction alone can delete; so effects count exactly once, however this
process, the connection or the answer is lost.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from pgqueue.api.atomic import AtomicTransaction, transactions
from pgqueue.core import failpoints
from pgqueue.core.context import Context
from pgqueue.core.errors import JobTimeout
from pgqueue.core.outcome import (
    ErrorInfo,
    Failed,
    Outcome,
    Succeeded,
    TaskControl,
    describe_exception,
)
from pgqueue.db.atomic import AsyncTransaction, Transaction, TransactionEnded, ended
from pgqueue.db.statements.base import Statement
from pgqueue.db.statements.finishing import finish_atomic, mark_of
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import Caller, Prepared, decide
from pgqueue.worker.slots import Slot

log = logging.getLogger("pgqueue.worker")

#: Seconds in which a finish is tried whose row somebody holds, and the pause between two tries.
_AGAIN_FOR = 2.0
_AGAIN_EVERY = 0.02
#: Attempts that may be lost before a lost connection counts as a failure: a task that makes the
#: server end its connection each time must not go round for ever.
_MOST_LOST = 10
#: Longest delay of a job for which no connection is to be had, in seconds.
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The job is finished and its effects are there; nothing is left to write down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """The attempt ended through no fault of the job, and costs it nothing.

    Attributes:
        error: what happened, for the error history.
        delay: seconds until the next attempt; None for none.
        unsure: the commit may have happened all the same; then this report is refused.
    """

    error: ErrorInfo
    delay: float | None = None
    unsure: bool = False


Ending = Outcome | Stored | GivenBack

#: Runs the function with a context and a caller, and decides; its time limit ends within.
Body = Callable[[Any, Callable[[Caller], Caller]], Outcome]


class Atomic:
    """The transactions of the slots of one child; each slot has its own.

    Args:
        loop: where async tasks run.
        dsn: of the queue; None for that of the environment, where a worker puts it.
    """

    def __init__(self, loop: EventLoop, dsn: str | None = None) -> None:
        self._loop = loop
        self._dsn = dsn
        self._of_slots: dict[tuple[int, bool], AtomicTransaction] = {}

    def run(self, slot: Slot, job: Prepared, worker_id: int, body: Body) -> Ending:
        """Run a job and its finish in one transaction.

        Args:
            body: called with the connection and a wrapper for the caller of the function, once the
                transaction has begun; no exception from outside may arrive when it has returned.
        """
        transaction = self._of_slot(slot.number, job.task.is_async)
        ticket = job.ticket
        try:
            transaction.begin(mark_of(ticket.job_id, ticket.attempt))
        except Exception as error:
            transaction.rollback(interrupted=True)
            delay = min(_LONGEST_WAIT, 2.0 ** min(ticket.lost, 10))
            log.warning("job %d must wait %g s: %s", ticket.job_id, delay, error)
            return GivenBack(error=describe_exception(error), delay=delay)
        raised: list[BaseException] = []
        begun = time.monotonic()
        slot.interrupt = transaction.interrupt
        try:
            outcome = body(transaction.connection, lambda call: _remembering(call, raised))
        except BaseException:
            transaction.rollback(interrupted=True)
            raise
        finally:
            slot.interrupt = None
        if type(outcome) is Succeeded:
            us = int((time.monotonic() - begun) * 1_000_000)
            return _finish(
                transaction,
                job,
                finish_atomic(
                    worker_id=worker_id,
                    batch_no=ticket.batch_no,
                    job_id=ticket.job_id,
                    attempt=ticket.attempt,
                    result=outcome.result,
                    us=us,
                ),
            )
        cause = raised[-1] if raised else None
        lost = transaction.is_lost
        transaction.rollback(interrupted=isinstance(cause, JobTimeout))
        if (
            lost
            and isinstance(cause, Exception)
            and not isinstance(cause, TaskControl | JobTimeout)
        ):
            return _lost(job, cause)
        return outcome

    def close(self) -> None:
        """Close their connections; a worker's end with its child."""
        for transaction in self._of_slots.values():
            transaction.rollback(interrupted=True)
        self._of_slots.clear()

    def _of_slot(self, slot: int, is_async: bool) -> AtomicTransaction:
        found = self._of_slots.get((slot, is_async))
        if found is None:
            make = transactions() or partial(Transaction, self._dsn)
            found = _OnLoop(self._loop, self._dsn) if is_async else make()
            self._of_slots[slot, is_async] = found
        return found


class _OnLoop:
    """An `AsyncTransaction` as its slot, which waits for the event loop, sees it."""

    def __init__(self, loop: EventLoop, dsn: str | None) -> None:
        self._loop = loop
        self._inner = AsyncTransaction(dsn)

    @property
    def connection(self) -> Any:
        return self._inner.connection

    @property
    def is_lost(self) -> bool:
        return self._inner.is_lost

    def begin(self, mark: str) -> None:
        self._loop.run(self._inner.begin(mark))

    def finish(self, statement: Statement[str]) -> str:
        return self._loop.run(self._inner.finish(statement))

    def commit(self) -> None:
        self._loop.run(self._inner.commit())

    def rollback(self, *, interrupted: bool = False) -> None:
        self._loop.run(self._inner.rollback(interrupted=interrupted))

    def interrupt(self) -> None:
        # A coroutine is cancelled, and so is what it waits for.
        pass


def record_given_back(job_id: int, given: GivenBack) -> bytes:
    """Write it as one object of `rest` in `pgqueue.store_outcomes`."""
    return orjson.dumps(
        {
            "id": job_id,
            "state": "interrupted" if given.delay is None else "snoozed",
            "delay": given.delay,
            "kind": given.error.kind,
            "message": given.error.message,
            "traceback": given.error.traceback or None,
        }
    )


def _remembering(call: Caller, raised: list[BaseException]) -> Caller:
    def remembering(job: Prepared, context: Context | None) -> object:
        try:
            return call(job, context)
        except BaseException as error:
            raised.append(error)
            raise

    return remembering


def _finish(transaction: AtomicTransaction, job: Prepared, statement: Statement[str]) -> Ending:
    committing = False
    try:
        said = _store(transaction, statement)
        if said == "stored":
            if failpoints.on:
                failpoints.hit("atomic_before_commit")
            committing = True
            transaction.commit()
            if failpoints.on:
                failpoints.hit("atomic_after_commit")
            return Stored()
    except BaseException as error:
        dropped = isinstance(error, failpoints.DropConnection)
        lost = transaction.is_lost or dropped
        transaction.rollback(interrupted=dropped)
        if isinstance(error, TransactionEnded):
            # Not tried again: the task has had its effects.
            return Failed(error=describe_exception(error))
        if lost:
            return _lost(job, error, unsure=committing)
        return decide(job, error)
    transaction.rollback()
    match said:
        case "lost":
            # Refused as well, and said so by the supervisor. Where it is not, somebody's connection
            # leads to another database than the queue's.
            message = (
                "the running job was not found in the database that the task has written to: its "
                "lease was lost, or that is not the database of the queue"
            )
            return Failed(error=ErrorInfo(kind="LeaseLost", message=message))
        case "again":
            message = f"somebody has held the row of the running job for {_AGAIN_FOR:g} seconds"
            return _given_back(job, ErrorInfo(kind="RowLocked", message=message), unsure=False)
    return Failed(error=describe_exception(ended()))


def _store(transaction: AtomicTransaction, statement: Statement[str]) -> str:
    until = time.monotonic() + _AGAIN_FOR
    while (said := transaction.finish(statement)) == "again" and time.monotonic() < until:
        time.sleep(_AGAIN_EVERY)
    return said


def _lost(job: Prepared, error: BaseException, *, unsure: bool = False) -> Ending:
    """Tell what becomes of a job whose transaction was lost with its connection."""
    if job.ticket.lost >= _MOST_LOST:
        return decide(job, error)
    return _given_back(job, describe_exception(error), unsure=unsure)


def _given_back(job: Prepared, error: ErrorInfo, *, unsure: bool) -> GivenBack:
    # At once for the first times; who is lost again and again waits longer each time.
    again = job.ticket.lost - _MOST_LOST // 2
    delay = None if again < 0 else min(_LONGEST_WAIT, 2.0**again)
    return GivenBack(error=error, delay=delay, unsure=unsure)
