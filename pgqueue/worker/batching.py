"""Batch tasks: several jobs of one task in one call, each with its own outcome."""

import queue
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from pgqueue.api.registry import Registry
from pgqueue.api.task import Task
from pgqueue.core import codec
from pgqueue.core.batch import BatchJob
from pgqueue.core.context import Context
from pgqueue.core.errors import NotSerializableError
from pgqueue.core.outcome import ErrorInfo, Failed, Outcome, Succeeded, describe_exception
from pgqueue.worker.answers import Answers
from pgqueue.worker.execution import (
    Caller,
    Prepared,
    Ticket,
    decide,
    prepare,
    record,
    record_state,
)
from pgqueue.worker.frames import Kind, pack, pack_ids
from pgqueue.worker.slots import Slot


@dataclass(slots=True)
class Call:
    """One call of a batch task.

    Attributes:
        jobs: its jobs, in the order of the items.
        returned: what the function returned.
        raised: what it raised instead.
    """

    jobs: list[Prepared]
    returned: Any = None
    raised: BaseException | None = field(default=None)

    @classmethod
    def of(
        cls, tickets: list[Ticket], registry: Registry, timeout: float | None, answers: Answers
    ) -> "Call":
        """Prepare the jobs of a call; those that cannot be called are answered at once."""
        jobs: list[Prepared] = []
        for ticket in tickets:
            job = prepare(ticket, registry, timeout)
            if isinstance(job, Prepared):
                jobs.append(job)
            elif isinstance(job, Failed):
                answers.tell(ticket, record(ticket.job_id, job, 0), 0)
            else:
                answers.tell(ticket, record_state(ticket.job_id, "unknown_task"), 0)
        return cls(jobs)

    def as_job(self, is_cancelled: Callable[[int], bool]) -> Prepared:
        """Give the call in the form of a job: the first one, with all of them as its argument."""
        items = [_item(job, is_cancelled) for job in self.jobs]
        return replace(self.jobs[0], args=[items], kwargs={})

    def remembering(self, call: Caller) -> Caller:
        """Wrap a caller so that what comes out is kept here."""

        def remembering(job: Prepared, context: Context | None) -> object:
            try:
                self.returned = call(job, context)
            except BaseException as error:
                self.raised = error
                raise
            return None

        return remembering

    def outcomes(self, outcome: Outcome) -> list[Outcome]:
        """Tell what becomes of each job.

        Args:
            outcome: of the call as a whole.
        """
        if type(outcome) is not Succeeded:
            error = self.raised
            return [outcome if error is None else decide(job, error) for job in self.jobs]
        found = self.returned
        if found is None:
            return [Succeeded() for _ in self.jobs]
        if not isinstance(found, list | tuple) or len(found) != len(self.jobs):
            message = (
                "a batch task must return None, or a list with one result for each of its "
                f"{len(self.jobs)} jobs"
            )
            return [Failed(error=ErrorInfo(kind="BatchResult", message=message)) for _ in self.jobs]
        return [_of(job, result) for job, result in zip(self.jobs, found, strict=True)]


class Batches:
    """Gather the jobs of calls of batch tasks from what has come.

    Args:
        inbox: where they wait; None is the end.
        start: counts one more job as started.

    Attributes:
        tasks: the batch tasks, by name and alias.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: "queue.SimpleQueue[Ticket | None]",
        answers: Answers,
        start: Callable[[], None],
    ) -> None:
        self.tasks: dict[str, Task[Any, Any]] = {}
        for task in registry:
            if task.options.batch > 1:
                self.add(task)
        self._inbox = inbox
        self._answers = answers
        self._start = start

    def add(self, task: Task[Any, Any]) -> None:
        """Take note of a batch task, as of one that a framework found when its first job came."""
        for name in (task.name, *task.options.aliases):
            self.tasks[name] = task

    def gather(self, slot: Slot, first: Ticket) -> list[Ticket]:
        """Take more jobs of the same task, and wait a little for some.

        What comes next and is of another task is run next. A job whose process was lost before runs
        alone, lest it take others along again.
        """
        options = self.tasks[first.task].options
        found = [first]
        until: float | None = None
        while len(found) < options.batch and not first.lost:
            try:
                if until is None:
                    other = self._inbox.get_nowait()
                else:
                    other = self._inbox.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                if until is not None:
                    break
                until = monotonic() + options.batch_wait
                self._answers.flush()
                self._answers.send(pack(Kind.WANT, pack_ids([options.batch - len(found)])))
                continue
            if other is None:
                self._inbox.put(None)
                break
            if other.task != first.task or other.lost:
                slot.ahead.append(other)
                break
            self._start()
            found.append(other)
        return found


def _of(job: Prepared, result: object) -> Outcome:
    if isinstance(result, BaseException):
        return decide(job, result)
    if result is None:
        return Succeeded()
    try:
        return Succeeded(result=codec.dumps(result, path="$", name="the result"))
    except NotSerializableError as error:
        return Failed(error=ErrorInfo(kind="ResultNotSerializable", message=str(error)))
    except BaseException as error:
        return Failed(error=describe_exception(error))


def _item(job: Prepared, is_cancelled: Callable[[int], bool]) -> BatchJob:
    ticket = job.ticket
    meta = (ticket.options or {}).get("meta")
    return BatchJob(
        job_id=ticket.job_id,
        args=tuple(job.args),
        kwargs=dict(job.kwargs),
        attempt=ticket.attempt,
        meta=meta if isinstance(meta, dict) else {},
        is_cancelled=lambda: is_cancelled(ticket.job_id),
    )
