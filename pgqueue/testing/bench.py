"""Where the jobs of a test run, one after the other."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from pgqueue.api.framework import Framework, current
from pgqueue.core.context import Context
from pgqueue.core.outcome import Failed, Outcome, Succeeded
from pgqueue.db.statements import trial
from pgqueue.worker.atomic import Atomic, Ending
from pgqueue.worker.batching import Call
from pgqueue.worker.contexts import make_context
from pgqueue.worker.event_loop import EventLoop
from pgqueue.worker.execution import Caller, Prepared, Ticket, run
from pgqueue.worker.filling import filled_of
from pgqueue.worker.slots import Slot

#: One for all, since it never ends.
_loop: Final = EventLoop()


class Said:
    """What jobs say of themselves, kept until they are over."""

    def __init__(self) -> None:
        self._progress: dict[str, object] = {}
        self._lines: list[dict[str, object]] = []

    def progress(self, ticket: Ticket, fraction: float, text: str) -> None:
        """Take how far a job is; the last word counts."""
        self._progress = {"id": ticket.job_id, "fraction": fraction, "note": text or None}

    def log(self, ticket: Ticket, level: str, message: str) -> None:
        """Take a line."""
        number = len(self._lines) + 1
        line = {"id": ticket.job_id, "n": number, "level": level, "message": message}
        self._lines.append(line)

    def of(self, taken: int) -> list[bytes]:
        """Give what there is, for the job that was taken by this number, and forget it."""
        notes = [*([self._progress] if self._progress else []), *self._lines]
        self._progress, self._lines = {}, []
        return [trial.notes(taken, notes)] if notes else []


class Bench:
    """Run jobs by the rules of a worker, here and now.

    Args:
        dsn: of the queue, for atomic tasks.

    Attributes:
        said: what jobs have said of themselves.
    """

    def __init__(self, dsn: str | None) -> None:
        self.said = Said()
        self._slot = Slot(0, _loop, frozenset())
        self._atomic = Atomic(_loop, dsn)
        self._raised: BaseException | None = None
        self._failed = False

    def run(
        self,
        job: Prepared,
        worker_id: int,
        wrap: Callable[[Caller], Caller] = lambda caller: caller,
    ) -> Ending:
        """Run a job; gives its outcome, or that it is stored already.

        Args:
            wrap: around the call of the function, with a framework.
        """
        self._raised = None
        ending = self._run(job, worker_id, wrap)
        self._failed = isinstance(ending, Failed)
        return ending

    def run_batch(self, jobs: Sequence[Prepared]) -> list[Outcome]:
        """Run jobs of a batch task in one call; gives the outcome of each."""
        self._raised = None
        call = Call(list(jobs))
        whole = call.as_job(lambda _job_id: False)
        framework = current()
        if framework is None:
            outcome = run(whole, None, call.remembering(self._remember(self._slot.call)))
        else:
            outcome = self._within(framework, whole, call.remembering)
        endings = call.outcomes(outcome)
        failed = [place for place, ending in enumerate(endings) if isinstance(ending, Failed)]
        self._failed = bool(failed)
        if failed and self._raised is None and isinstance(call.returned, list | tuple):
            of_jobs = [call.returned[place] for place in failed if place < len(call.returned)]
            self._raised = next((one for one in of_jobs if isinstance(one, BaseException)), None)
        return endings

    def close(self) -> None:
        """Close what atomic tasks have opened."""
        self._atomic.close()

    def raise_again(self, *, always: bool) -> None:
        """Raise what the last task has raised, if its job has failed; where not always, only
        Ctrl-C."""
        raised = self._raised
        if (
            self._failed
            and raised is not None
            and (always or isinstance(raised, KeyboardInterrupt))
        ):
            raise raised

    def _run(self, job: Prepared, worker_id: int, wrapped: Callable[[Caller], Caller]) -> Ending:
        framework = current()
        if framework is not None:
            return self._within(framework, job, wrapped)
        if not job.task.options.atomic:
            return run(job, self._context(job), self._remember(self._slot.call))

        def body(connection: Any, wrap: Callable[[Caller], Caller]) -> Outcome:
            return run(job, self._context(job, connection), wrap(self._remember(self._slot.call)))

        return self._atomic.run(self._slot, job, worker_id, body)

    def _context(self, job: Prepared, connection: Any = None) -> Context | None:
        return make_context(job, lambda: False, connection, sink=self.said)

    def _within(
        self,
        framework: Framework,
        job: Prepared,
        wrap: Callable[[Caller], Caller] = lambda caller: caller,
    ) -> Outcome:
        def call(job: Prepared, context: Context | None) -> object:
            filled = filled_of(framework.fill, job)
            if filled is not None:
                return filled.merged(_call(framework, job, (filled.items,), {}))
            args, kwargs = framework.fill(job.args, job.kwargs)
            return _call(framework, job, (*(() if context is None else (context,)), *args), kwargs)

        with framework.part(always=job.task.options.atomic) as part:
            context = self._context(job, part.connection if job.task.options.atomic else None)
            outcome = run(job, context, wrap(self._remember(call)))
            if job.task.options.atomic and not isinstance(outcome, Succeeded):
                part.roll_back()
        return outcome

    def _remember(self, call: Caller) -> Caller:
        def remembering(job: Prepared, context: Context | None) -> object:
            try:
                return call(job, context)
            except BaseException as error:
                self._raised = error
                raise

        return remembering


def _call(
    framework: Framework, job: Prepared, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> object:
    if job.task.options.batch > 1 and not args[0]:
        return None
    if job.task.is_async:
        return framework.wait(job.task.function, args, kwargs)
    return job.task.function(*args, **kwargs)
