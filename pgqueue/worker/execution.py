"""Running one job: what the server sent in, what is written down out. No queue, no database.

`read_batch` opens a payload, `Execution` runs one of its jobs, and `record` gives the outcome the
form that `pgqueue.store_outcomes` reads.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson

from pgqueue.api.registry import Registry
from pgqueue.api.task import Task
from pgqueue.core import codec
from pgqueue.core.backoff import delay as backoff_delay
from pgqueue.core.context import Context
from pgqueue.core.errors import (
    ArgumentGoneError,
    BadArgumentsError,
    DecodeError,
    JobTimeout,
    NotSerializableError,
    TaskNotFoundError,
)
from pgqueue.core.options import MAX_PRIORITY, MIN_PRIORITY
from pgqueue.core.outcome import (
    Cancel,
    Cancelled,
    ErrorInfo,
    Failed,
    Outcome,
    Retried,
    Retry,
    Snooze,
    Snoozed,
    Succeeded,
    describe_exception,
)

T = TypeVar("T")

#: Longest delay a retry or snooze may ask for, in seconds: a hundred years.
_LONGEST = 3_155_760_000.0


@dataclass(slots=True)
class Ticket:
    """One job of a batch, as it came.

    Attributes:
        lost: attempts that do not count against the budget.
        options: timeout (seconds), max_attempts, meta of the job's own; its group_id, and the
            results of the jobs it runs after; None for none.
        unreadable: why the line could not be read; then only the numbers are true.
    """

    batch_no: int
    job_id: int
    attempt: int
    lost: int = 0
    task: str = ""
    args: Any = None
    kwargs: Any = None
    queue: str = ""
    priority: int = 0
    options: dict[str, Any] | None = None
    unreadable: str = ""


def read_batch(batch_no: int, payload: bytes) -> list[Ticket]:
    """Open a payload: one JSON line a job.

    All lines are parsed at once; only where that fails each on its own, so that one bad line does
    not spoil its neighbours.
    """
    try:
        rows: Any = codec.loads(b"[" + payload.replace(b"\n", b",") + b"]")
    except DecodeError:
        return [_read_line(batch_no, line) for line in payload.split(b"\n")]
    return [Ticket(batch_no, *row) for row in rows]


def _read_line(batch_no: int, line: bytes) -> Ticket:
    try:
        row: Any = codec.loads(line)
        return Ticket(batch_no, *row)
    except DecodeError as error:
        # Written by pgqueue.claim: "[id,attempt,lost,…", so the numbers can be cut out.
        job_id, attempt, lost = line[1:].split(b",", 3)[:3]
        why = str(error).replace(error.path, _path(error.path))
        return Ticket(batch_no, int(job_id), int(attempt), int(lost), unreadable=why)


def _path(path: str) -> str:
    """Give a path inside a line of the payload as people know it: the arguments stand apart."""
    for place, name in (("$[4]", "$.args"), ("$[5]", "$.kwargs"), ("$[8].meta", "$.meta")):
        if path.startswith(place):
            return name + path[len(place) :]
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that may be called: its task was found and its arguments fit.

    Attributes:
        timeout: seconds, or None.
        budget: attempts that have failed if this one does.
    """

    ticket: Ticket
    task: Task[Any, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    timeout: float | None
    max_attempts: int
    budget: int


class UnknownTask:
    """Nobody here knows the job's task; another worker may."""


def prepare(
    ticket: Ticket, registry: Registry, default_timeout: float | None = None
) -> Prepared | UnknownTask | Failed:
    """Find the task of a job and check that it can be called.

    Args:
        default_timeout: seconds for a job whose task and producer say nothing; None for no limit.
    """
    if ticket.unreadable:
        return _bad_arguments(ticket.unreadable)
    try:
        task = registry.get(ticket.task)
    except TaskNotFoundError:
        return UnknownTask()
    args, kwargs, options = ticket.args, ticket.kwargs, ticket.options
    if type(args) is not list or type(kwargs) is not dict:
        return _bad_arguments("args must be a JSON array and kwargs a JSON object")
    if options is not None and options.get("results_as") is not None:
        results = options["results"]
        if type(results) is not list:
            message = "the results of the jobs it runs after are larger than 16 MiB together"
            return Failed(error=ErrorInfo(kind="ResultsTooLarge", message=message))
        args = [results, *args] if options["results_as"] == "list" else [*results, *args]
    try:
        task.signature.check(args, kwargs)
    except BadArgumentsError as error:
        return _bad_arguments(str(error))
    timeout, max_attempts = task.options.timeout, task.options.max_attempts
    if timeout is None:
        timeout = default_timeout
    if options is not None:
        # A job that is only a member of a group comes with nothing but that.
        if options.get("timeout") is not None:
            timeout = _limit(options["timeout"])
        max_attempts = options.get("max_attempts") or max_attempts
    return Prepared(
        ticket=ticket,
        task=task,
        args=args,
        kwargs=kwargs,
        timeout=timeout,
        max_attempts=max_attempts,
        budget=ticket.attempt - ticket.lost,
    )


def _limit(timeout: Any) -> float | None:
    # PostgreSQL 17 and later know an infinite interval; it comes as a word.
    return float(timeout) if isinstance(timeout, int | float) else None


def _bad_arguments(why: str) -> Failed:
    return Failed(error=ErrorInfo(kind="BadArguments", message=why))


def retry_delay(job: Prepared, asked: float | None = None) -> float | None:
    """Tell after how many seconds the job may be tried again; None when its budget is spent."""
    if job.budget >= job.max_attempts:
        return None
    if asked is not None:
        return min(asked, _LONGEST)
    return min(backoff_delay(job.task.options.backoff, max(1, job.budget)), _LONGEST)


def delay_when_late(job: Prepared) -> float | None:
    """Tell after how many seconds the job may be tried again should its time be over; None when
    it may not. Asked before it runs, since afterwards its process may be dead."""
    try:
        return retry_delay(job) if job.task.options.retries(JobTimeout()) else None
    except Exception:
        # A backoff of the application's own.
        return None


class Caller(Protocol):
    """Call a task's function and give what it returned; async ones elsewhere than here."""

    def __call__(self, job: Prepared, context: Context | None) -> object:
        """Call it; raises what the task raises."""
        ...


def run(job: Prepared, context: Context | None, call: Caller) -> Outcome:
    """Call the task and decide what becomes of the job. Never raises, but for JobTimeout that
    arrives after the task has ended (the caller clears that)."""
    try:
        result = call(job, context)
    except BaseException as error:
        return decide(job, error)
    if result is None:
        return Succeeded()
    try:
        return Succeeded(result=codec.dumps(result, path="$", name="the result"))
    except NotSerializableError as error:
        # Not tried again: the task has had its effects.
        return Failed(error=ErrorInfo(kind="ResultNotSerializable", message=str(error)))
    except BaseException as error:
        return Failed(error=describe_exception(error))


def decide(job: Prepared, error: BaseException) -> Outcome:
    """Tell what an exception of the task means for the job."""
    try:
        match error:
            case Snooze():
                return Snoozed(delay=min(error.delay, _LONGEST))
            case Cancel():
                return Cancelled(reason=error.reason)
            case Retry():
                info = ErrorInfo(kind="Retry", message=error.reason or "asked for by the task")
                return _again(job, info, error.delay)
            case ArgumentGoneError():
                # It does not come back.
                return Failed(error=ErrorInfo(kind="ArgumentGone", message=str(error)))
        info = describe_exception(error)
        if isinstance(error, JobTimeout):
            limit = f"the limit of {job.timeout:g} seconds was passed" if job.timeout else ""
            info = ErrorInfo(
                kind=info.kind,
                message="; ".join(filter(None, (limit, info.message))),
                traceback=info.traceback,
            )
        if not job.task.options.retries(error):
            return Failed(error=info)
        return _again(job, info, None)
    except BaseException as broken:
        # A backoff of the application's own, a hostile exception class: the job fails, no more.
        return Failed(error=describe_exception(broken))


def when_cancelled(outcome: Outcome | T) -> Outcome | T:
    """Tell what an outcome means for a job that was asked to stop while it ran.

    A task that returns has succeeded, whoever asked. Whatever it raises ends the job as cancelled:
    an error may be the way in which it, or a library, passes the request on. The error is kept.
    """
    match outcome:
        case Failed(error=error) | Retried(error=error):
            return Cancelled(error=error)
        case Snoozed():
            return Cancelled()
    return outcome


def _again(job: Prepared, info: ErrorInfo, asked: float | None) -> Outcome:
    seconds = retry_delay(job, asked)
    if seconds is None:
        return Failed(error=info)
    step = job.task.options.priority_step
    priority = max(MIN_PRIORITY, min(MAX_PRIORITY, job.ticket.priority + step)) if step else None
    return Retried(delay=seconds, error=info, priority=priority)


def record(job_id: int, outcome: Outcome, us: int) -> bytes:
    """Write an outcome as one object of `rest` in `pgqueue.store_outcomes`."""
    found: dict[str, Any] = {"id": job_id, "us": us}
    match outcome:
        case Succeeded(result=result):
            found |= {"state": "succeeded", "result": orjson.Fragment(result)}
        case Failed(error=error):
            found |= {"state": "failed"} | _error(error)
        case Retried(delay=seconds, error=error, priority=priority):
            found |= {"state": "retry", "delay": seconds} | _error(error)
            if priority is not None:
                found["priority"] = priority
        case Snoozed(delay=seconds):
            found |= {"state": "snoozed", "delay": seconds}
        case Cancelled(reason=reason, error=error):
            found |= {"state": "cancelled", "reason": f"cancelled: {reason}" if reason else None}
            if error is not None:
                found |= _error(error)
    return orjson.dumps(found)


def record_state(job_id: int, state: str) -> bytes:
    """Write that a job was not run: `unstarted` or `unknown_task`."""
    return b'{"id":%d,"state":"%s"}' % (job_id, state.encode())


def _error(error: ErrorInfo) -> dict[str, Any]:
    return {
        "kind": error.kind,
        "message": error.message,
        "traceback": error.traceback or None,
    }
