"""Run jobs in this process, over the connection that the app uses."""

import itertools
from contextvars import ContextVar
from typing import Any, Final

from pgqueue.api.app import PgQueue
from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.framework import Framework, current
from pgqueue.core.context import Context
from pgqueue.core.job import Job
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.outcome import Failed, Outcome, Succeeded
from pgqueue.core.queue_list import parse_queues
from pgqueue.db.statements import trial
from pgqueue.worker.atomic import Atomic, Stored
from pgqueue.worker.contexts import make_context
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import (
    Prepared,
    UnknownTask,
    prepare,
    read_batch,
    record,
    record_state,
    run,
)
from pgqueue.worker.slots import Slot

#: Jobs after which something is taken to go round and round.
MOST: Final = 1000

#: One for all, since it never ends.
_loop: Final = EventLoop()
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
    client = (app or default_app()).clients.sync
    bench = _Bench(None if current() else (app or default_app()).dsn)
    ids: dict[int, None] = {}
    token = _draining.set(True)
    worker_id = client.run(trial.begin("pgqueue.testing"))
    try:
        for batch_no in itertools.count(1, 2):
            payload = client.run(trial.take(worker_id, batch_no, queues))
            if not payload:
                if client.run(trial.promote(seconds)):
                    continue
                break
            (ticket,) = read_batch(batch_no, payload.encode())
            ids[ticket.job_id] = None
            if batch_no > 2 * MOST:
                raise AssertionError(
                    f"{MOST} jobs were run and there are more; the last is of {ticket.task}, which "
                    "may enqueue or snooze itself again and again"
                )
            prepared = prepare(ticket, registry)
            if isinstance(prepared, UnknownTask):
                outcome = record_state(ticket.job_id, "unknown_task")
            elif isinstance(prepared, Failed):
                outcome = record(ticket.job_id, prepared, 0)
            else:
                ending = bench.run(prepared, worker_id)
                if isinstance(ending, Stored):
                    continue
                outcome = record(ticket.job_id, ending, 0)
            client.run(trial.store(worker_id, batch_no + 1, batch_no, outcome))
            if isinstance(prepared, Prepared) and isinstance(ending, Failed):
                bench.raise_again(always=raise_errors)
    finally:
        _draining.reset(token)
        bench.close()
        client.run(trial.end(worker_id))
    return client.run(trial.read(list(ids))) if ids else []


def is_draining() -> bool:
    """Whether jobs are being run, so that those they enqueue have their turn anyway."""
    return _draining.get()


class _Bench:
    """Where one job after the other runs.

    Args:
        dsn: of the queue, for atomic tasks.
    """

    def __init__(self, dsn: str | None) -> None:
        self._slot = Slot(0, _loop, frozenset())
        self._atomic = Atomic(_loop, dsn)
        self._raised: BaseException | None = None

    def run(self, job: Prepared, worker_id: int) -> Any:
        """Run a job; gives its outcome, or that it is stored already."""
        framework = current()
        self._raised = None
        if framework is not None:
            return self._within(framework, job)
        if not job.task.options.atomic:
            return run(job, make_context(job, lambda: False), self._remember(self._slot.call))

        def body(connection: Any, wrap: Any) -> Outcome:
            context = make_context(job, lambda: False, connection)
            return run(job, context, wrap(self._remember(self._slot.call)))

        return self._atomic.run(self._slot, job, worker_id, body)

    def close(self) -> None:
        """Close what atomic tasks have opened."""
        self._atomic.close()

    def raise_again(self, *, always: bool) -> None:
        """Raise what the last task has raised; where not always, only Ctrl-C."""
        if self._raised is not None and (always or isinstance(self._raised, KeyboardInterrupt)):
            raise self._raised

    def _within(self, framework: Framework, job: Prepared) -> Outcome:
        def call(job: Prepared, context: Context | None) -> object:
            args, kwargs = framework.fill(job.args, job.kwargs)
            first = () if context is None else (context,)
            if job.task.is_async:
                return framework.wait(job.task.function, (*first, *args), kwargs)
            return job.task.function(*first, *args, **kwargs)

        with framework.part(always=job.task.options.atomic) as part:
            connection = part.connection if job.task.options.atomic else None
            context = make_context(job, lambda: False, connection)
            outcome = run(job, context, self._remember(call))
            if job.task.options.atomic and not isinstance(outcome, Succeeded):
                part.roll_back()
        return outcome

    def _remember(self, call: Any) -> Any:
        def remembering(job: Prepared, context: Context | None) -> object:
            try:
                return call(job, context)
            except BaseException as error:
                self._raised = error
                raise

        return remembering
