"""Running one job as a function of what came in: nothing here needs a process or a server."""

import asyncio
import datetime as dt
import json
from typing import Any

import pytest

from pgqueue import Cancel, JobTimeout, PgQueue, Retry, Snooze, Task
from pgqueue.api.registry import Registry
from pgqueue.core.context import Context
from pgqueue.core.outcome import (
    Cancelled,
    ErrorInfo,
    Failed,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from pgqueue.worker.contexts import make_context
from pgqueue.worker.execution import (
    Prepared,
    Ticket,
    UnknownTask,
    decide,
    delay_when_late,
    prepare,
    read_batch,
    record,
    record_state,
    retry_delay,
    run,
)

queue = PgQueue("postgresql://nobody@127.0.0.1:1/none")


@queue.task(name="plain")
def plain(first: int, second: int = 0) -> int:
    return first + second


@queue.task(name="thrice", max_attempts=3, backoff=7, give_up_on=KeyError, aliases=("old",))
def thrice() -> None: ...


@queue.task(name="picky", max_attempts=3, backoff=7, retry_on=OSError, timeout="1m")
def picky() -> None: ...


@queue.task(name="curious", context=True)
def curious(context: Context, value: int = 0) -> int:
    return value


def _raise(_attempt: int) -> float:
    raise RuntimeError("no backoff")


@queue.task(name="broken", max_attempts=3, backoff=_raise)
def broken() -> None: ...


def line(
    task: str = "plain", args: str = "[1]", kwargs: str = "{}", options: str = "null"
) -> bytes:
    return f'[5,2,1,"{task}",{args},{kwargs},"mail",-3,{options}]'.encode()


def ready(task: Task[Any, Any], **numbers: int) -> Prepared:
    ticket = Ticket(
        9, 5, numbers.get("attempt", 1), numbers.get("lost", 0), task.name, [], {}, "mail", 0
    )
    found = prepare(ticket, queue.registry)
    assert isinstance(found, Prepared)
    return found


# -- reading --------------------------------------------------------------------------------


def test_a_batch_is_read() -> None:
    options = '{"timeout": 1.5, "max_attempts": 4, "meta": {"a": 1}}'
    first, second = read_batch(9, line() + b"\n" + line("x", "[]", '{"a": [2]}', options))
    assert first == Ticket(9, 5, 2, 1, "plain", [1], {}, "mail", -3, None)
    assert second.kwargs == {"a": [2]}
    assert second.options == {"timeout": 1.5, "max_attempts": 4, "meta": {"a": 1}}
    assert not second.unreadable


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("[" * 3000 + "]" * 3000, "stored JSON cannot be read; it is broken or nested too deep"),
        ('{"$t": "set", "v": ["[]", []]}', "a malformed tagged set stands at $.args"),
        ('[[{"$t": "nope", "v": 1}]]', "an unknown tagged type stands at $.args[0][0]; known"),
        ("[1" + "0" * 5000 + "]", "stored JSON cannot be read"),
    ],
)
def test_one_bad_line_does_not_spoil_its_neighbours(args: str, said: str) -> None:
    tickets = read_batch(9, b"\n".join([line(), line(args=args), line(args="[2]")]))
    assert [ticket.unreadable[: len(said)] for ticket in tickets] == ["", said, ""]
    assert [ticket.args for ticket in tickets] == [[1], None, [2]]
    bad = tickets[1]
    assert (bad.batch_no, bad.job_id, bad.attempt, bad.lost) == (9, 5, 2, 1)
    found = prepare(bad, queue.registry)
    assert isinstance(found, Failed)
    assert found.error.kind == "BadArguments"


def test_integers_are_exact() -> None:
    numbers = [2**63, 2**64, -(2**64), 10**300]
    (ticket,) = read_batch(9, line(args=json.dumps(numbers)))
    assert ticket.args == numbers


# -- preparing ------------------------------------------------------------------------------


def test_an_unknown_task() -> None:
    (ticket,) = read_batch(9, line("nobody"))
    assert isinstance(prepare(ticket, queue.registry), UnknownTask)
    assert isinstance(prepare(ticket, Registry()), UnknownTask)


def test_an_alias_is_the_task() -> None:
    (ticket,) = read_batch(9, line("old", "[]"))
    found = prepare(ticket, queue.registry)
    assert isinstance(found, Prepared)
    assert found.task is thrice


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ("[]", "{}", "plain() missing a required argument: 'first'"),
        ("[1, 2, 3]", "{}", "plain() takes at most 2 positional arguments; got 3"),
        ("[1]", '{"frist": 1}', "plain() got an unexpected argument: 'frist'"),
        ('{"$t": "tuple", "v": [1]}', "{}", "args must be a JSON array and kwargs a JSON object"),
        ("[1]", '{"$t": "set", "v": []}', "args must be a JSON array and kwargs a JSON object"),
    ],
)
def test_arguments_that_do_not_fit(args: str, kwargs: str, said: str) -> None:
    (ticket,) = read_batch(9, line("plain", args, kwargs))
    found = prepare(ticket, queue.registry)
    assert isinstance(found, Failed)
    assert found.error.kind == "BadArguments"
    assert found.error.message.startswith(said)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("null", (60.0, 3)),
        ('{"timeout": null, "max_attempts": null, "meta": null}', (60.0, 3)),
        ('{"timeout": 0.5, "max_attempts": 9, "meta": null}', (0.5, 9)),
        ('{"timeout": "Infinity", "max_attempts": null, "meta": null}', (None, 3)),
    ],
)
def test_the_job_s_own_options_count(options: str, expected: tuple[float | None, int]) -> None:
    (ticket,) = read_batch(9, line("picky", "[]", "{}", options))
    found = prepare(ticket, queue.registry)
    assert isinstance(found, Prepared)
    assert (found.timeout, found.max_attempts) == expected
    assert found.budget == 1


# -- running --------------------------------------------------------------------------------


def outcome_of(value: object, job: Prepared | None = None) -> Outcome:
    def call(_job: Prepared, _context: Context | None) -> object:
        if isinstance(value, BaseException):
            raise value
        return value

    return run(job or ready(thrice), None, call)


def test_what_is_returned() -> None:
    assert outcome_of(None) == Succeeded(result=b"null")
    assert outcome_of({"a": (1,)}) == Succeeded(result=b'{"a":{"$t":"tuple","v":[1]}}')


@pytest.mark.parametrize("value", [object(), float("nan"), "\0", "\ud800", b"x" * 2**20])
def test_what_cannot_be_stored_fails_and_is_not_tried_again(value: object) -> None:
    found = outcome_of(value)
    assert isinstance(found, Failed)
    assert found.error.kind == "ResultNotSerializable"
    assert record(5, found, 1)


def test_what_is_raised() -> None:
    assert outcome_of(Snooze("1h")) == Snoozed(delay=3600.0)
    assert outcome_of(Cancel("enough")) == Cancelled(reason="enough")
    asked = outcome_of(Retry(in_=90, reason="busy"))
    assert asked == Retried(delay=90.0, error=ErrorInfo(kind="Retry", message="busy"))
    again = outcome_of(ValueError("no"))
    assert isinstance(again, Retried)
    assert (again.delay, again.error.kind) == (7.0, "ValueError")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_no_exception_is_an_error_all_the_same(error: BaseException) -> None:
    found = outcome_of(error)
    assert isinstance(found, Failed)
    assert found.error.kind.endswith(type(error).__name__)


@pytest.mark.parametrize(
    ("task", "error", "tried"),
    [
        (thrice, ValueError(), True),
        (thrice, KeyError(), False),
        (thrice, JobTimeout(), True),
        (picky, ValueError(), False),
        (picky, FileNotFoundError(), True),
        (picky, JobTimeout(), False),
        (plain, ValueError(), False),
    ],
)
def test_which_errors_are_tried_again(
    task: Task[Any, Any], error: BaseException, tried: bool
) -> None:
    if task is plain:
        job = prepare(Ticket(9, 5, 1, 0, "plain", [1], {}), queue.registry)
        assert isinstance(job, Prepared)
    else:
        job = ready(task)
    found = decide(job, error)
    assert isinstance(found, Retried if tried else Failed)
    assert (delay_when_late(job) is not None) == isinstance(decide(job, JobTimeout()), Retried)


def test_the_budget_is_of_attempts_that_count() -> None:
    assert retry_delay(ready(thrice, attempt=2)) == 7.0
    assert retry_delay(ready(thrice, attempt=3)) is None
    assert retry_delay(ready(thrice, attempt=30, lost=28)) == 7.0
    assert retry_delay(ready(thrice, attempt=1), 5.0) == 5.0
    assert retry_delay(ready(thrice, attempt=3), 5.0) is None
    assert retry_delay(ready(thrice), 1e30) == 3_155_760_000.0
    century = dt.timedelta(days=36525)
    assert decide(ready(thrice), Snooze(century)) == Snoozed(delay=3_155_760_000.0)


def test_a_timeout_names_the_limit() -> None:
    found = decide(ready(picky), JobTimeout("the task was cancelled"))
    assert isinstance(found, Failed)
    assert found.error.message == "the limit of 60 seconds was passed; the task was cancelled"


def test_a_backoff_that_raises() -> None:
    job = ready(broken)
    found = decide(job, ValueError("first"))
    assert isinstance(found, Failed)
    assert found.error.message == "no backoff"
    assert delay_when_late(job) is None


class HostileError(Exception):
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_a_hostile_exception_is_an_outcome() -> None:
    found = outcome_of(HostileError("x" * 50_000_000))
    assert isinstance(found, Failed | Retried)
    assert len(record(5, found, 1)) < 30_000


# -- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "written"),
    [
        (Succeeded(result=b'[1,{"$t":"x"}]'), {"state": "succeeded", "result": [1, {"$t": "x"}]}),
        (
            Failed(error=ErrorInfo(kind="A", message="b", traceback="c")),
            {"state": "failed", "kind": "A", "message": "b", "traceback": "c"},
        ),
        (
            Retried(delay=1.5, error=ErrorInfo(kind="A", message="b")),
            {"state": "retry", "delay": 1.5, "kind": "A", "message": "b", "traceback": None},
        ),
        (Snoozed(delay=2.0), {"state": "snoozed", "delay": 2.0}),
        (Cancelled(reason="c"), {"state": "cancelled", "reason": "cancelled: c"}),
        (Cancelled(), {"state": "cancelled", "reason": None}),
    ],
)
def test_outcomes_are_written(outcome: Outcome, written: dict[str, object]) -> None:
    assert json.loads(record(5, outcome, 12)) == {"id": 5, "us": 12} | written


def test_states_are_written() -> None:
    assert json.loads(record_state(5, "unstarted")) == {"id": 5, "state": "unstarted"}


# -- context --------------------------------------------------------------------------------


def test_the_context() -> None:
    options = '{"timeout": 90, "max_attempts": 4, "meta": {"a": 1}}'
    (ticket,) = read_batch(9, line("curious", "[]", "{}", options))
    job = prepare(ticket, queue.registry)
    assert isinstance(job, Prepared)
    asked = False
    context = make_context(job, lambda: asked)
    assert context is not None
    assert (context.job_id, context.attempt, context.lost) == (5, 2, 1)
    assert (context.task, context.queue, context.priority) == ("curious", "mail", -3)
    assert (context.timeout, context.max_attempts, context.meta) == (90.0, 4, {"a": 1})
    left = context.remaining()
    assert left is not None
    assert 60 < left <= 90
    context.check_cancelled()
    asked = True
    assert context.cancelled
    with pytest.raises(Cancel):
        context.check_cancelled()


def test_no_context_unless_wanted() -> None:
    assert make_context(ready(thrice), lambda: False) is None
