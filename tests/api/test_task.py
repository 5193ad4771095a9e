"""Tasks: what @task makes, and what enqueueing says and sends."""

import asyncio
import datetime as dt
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import pgqueue
from pgqueue import JobState, PgQueue
from pgqueue.core.codec import MAX_BYTES
from pgqueue.core.errors import (
    BadArgumentsError,
    ConfigurationError,
    NotSerializableError,
)
from pgqueue.core.options import TaskOptions
from tests.fixtures.databases import Database


@pgqueue.task
def plain(a: int, b: int = 2, *, c: int = 3) -> int:
    """Add."""
    return a + b + c


@pgqueue.task(queue="mail", priority=5, max_attempts=4, timeout="30s", expires="1h")
def with_options(to: str) -> str:
    return to


@pgqueue.task(context=True)
def with_context(context: object, path: str) -> str:
    return f"{context}{path}"


@pgqueue.task
async def asynchronous(url: str) -> str:
    return url


@pytest.fixture
def default(app: PgQueue) -> Any:
    """Make the test's app the default one."""
    before = pgqueue.default_app()
    pgqueue.set_default_app(app)
    yield app
    pgqueue.set_default_app(before)


def test_a_task_is_still_the_function() -> None:
    assert plain(1, c=10) == 13
    assert with_context("ctx", "/x") == "ctx/x"
    assert asyncio.run(asynchronous("u")) == "u"
    assert plain.__doc__ == "Add."
    assert plain.__name__ == "plain"
    assert list(inspect.signature(plain).parameters) == ["a", "b", "c"]
    assert repr(plain) == "<pgqueue task tests.api.test_task.plain>"


def test_what_a_task_knows_of_itself() -> None:
    assert plain.name == "tests.api.test_task.plain"
    assert plain.options == TaskOptions()
    assert with_options.options.max_attempts == 4
    assert with_options.options.timeout == 30.0
    assert asynchronous.is_async
    assert not plain.is_async
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(asynchronous)
    assert not inspect.iscoroutinefunction(plain)


def test_enqueue_gives_a_handle(default: PgQueue) -> None:
    handle = plain.enqueue(1, c=7)
    assert handle.task == "tests.api.test_task.plain"
    assert repr(handle) == f"JobHandle(id={handle.id}, task='tests.api.test_task.plain')"
    assert handle.state() is JobState.READY
    job = handle.info()
    assert (job.args, job.kwargs, job.queue, job.priority) == ((1,), {"c": 7}, "default", 0)
    assert (job.max_attempts, job.timeout, job.expires_at, job.meta) == (None, None, None, {})


def test_what_the_worker_applies_is_not_sent(default: PgQueue) -> None:
    job = with_options.enqueue("ann").info()
    assert (job.queue, job.priority) == ("mail", 5)
    assert (job.max_attempts, job.timeout) == (None, None)
    assert job.expires_at is not None
    assert abs(job.expires_at - job.created_at - dt.timedelta(hours=1)) < dt.timedelta(minutes=1)


def test_using_sets_one_job_apart(default: PgQueue) -> None:
    at = dt.datetime(2040, 5, 6, tzinfo=dt.UTC)
    bound = with_options.using(queue="slow", max_attempts=9, timeout=1.5, meta={"a": [1]})
    job = bound.using(run_at=at, priority=0).enqueue("ann").info()
    assert (job.queue, job.priority, job.max_attempts, job.timeout) == ("slow", 0, 9, 1.5)
    assert (job.meta, job.run_at, job.expires_at) == ({"a": [1]}, at, at + dt.timedelta(hours=1))
    assert job.state is JobState.SCHEDULED
    late = with_options.using(expires_at=at).enqueue("ann").info()
    assert late.expires_at == at
    # None means: as the task says.
    assert with_options.using(queue=None).enqueue("ann").info().queue == "mail"


@pytest.mark.parametrize(
    "run_at", ["5m", 300, 300.0, dt.timedelta(minutes=5)], ids=["offset", "int", "float", "delta"]
)
def test_times_in_every_form(default: PgQueue, run_at: Any) -> None:
    job = plain.using(run_at=run_at).enqueue(1).info()
    assert job.run_at is not None
    assert abs(job.run_at - job.created_at - dt.timedelta(minutes=5)) < dt.timedelta(minutes=1)


def test_relative_times_count_from_the_statement_not_the_transaction(
    db: Database, app: PgQueue, default: PgQueue
) -> None:
    with psycopg.connect(db.dsn) as connection:
        connection.execute("SELECT pg_sleep(0.2)")
        began = connection.execute("SELECT now()").fetchone()
        handle = plain.using(run_at=1, connection=connection).enqueue(1)
    run_at = handle.info().run_at
    assert began is not None
    assert run_at is not None
    assert run_at - began[0] >= dt.timedelta(seconds=1.2)


def test_every_tagged_type_comes_back(default: PgQueue) -> None:
    @default.task(name="test.any")
    def anything(*args: object, **kwargs: object) -> None: ...

    values = ((1, 2), {3}, b"\0", dt.timedelta(1), 2**70, {"$t": 1}, "\u2028ü😀", None, 1.5)
    job = anything.enqueue(*values, x=values[0]).info()
    assert job.args == values
    assert job.kwargs == {"x": (1, 2)}


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: plain.enqueue(), BadArgumentsError, "missing a required argument: 'a'"),  # type: ignore[call-arg]
        (lambda: plain.enqueue(1, 2, 3), BadArgumentsError, "at most 2 positional"),  # type: ignore[call-arg]
        (lambda: plain.enqueue(1, cc=3), BadArgumentsError, "did you mean 'c'"),  # type: ignore[call-arg]
        (lambda: with_context.enqueue("ctx", "p"), BadArgumentsError, "at most 1 positional"),  # type: ignore[call-arg]
        (lambda: plain.enqueue(float("nan")), NotSerializableError, r"\$\.args\[0\]"),  # type: ignore[arg-type]
        (lambda: plain.enqueue(1, c={"x": object()}), NotSerializableError, r"\$\.kwargs\.c\.x"),  # type: ignore[arg-type]
        (lambda: plain.enqueue("x" * 2**21), NotSerializableError, "at most 1048576 bytes"),  # type: ignore[arg-type]
        (
            lambda: plain.enqueue("x" * 600_000, c="y" * 600_000),  # type: ignore[arg-type]
            NotSerializableError,
            "together",
        ),
        (lambda: plain.using(priority=99999), ConfigurationError, "between -32768 and 32767"),
        (lambda: plain.using(priorty=1), ConfigurationError, "did you mean 'priority'"),  # type: ignore[call-arg]
        (lambda: plain.using(queue="*"), ConfigurationError, "every queue"),
        (lambda: plain.using(run_at="soon"), ConfigurationError, "run_at must be an offset"),
        (lambda: plain.using(run_at=dt.datetime(2030, 1, 1)), ConfigurationError, "naive"),
        (lambda: plain.using(timeout=0), ConfigurationError, "above 0"),
        (lambda: plain.using(max_attempts=0), ConfigurationError, "between 1 and"),
        (lambda: plain.using(meta={"x": object()}), NotSerializableError, r"\$\.meta\.x"),
        (
            lambda: plain.using(expires="1h", expires_at=dt.datetime.now(dt.UTC)),
            ConfigurationError,
            "exclude each other",
        ),
        (lambda: plain.using(connection="x"), ConfigurationError, "connection must be"),
    ],
)
def test_wrong_input_is_refused_before_any_sql(
    call: Callable[[], object], error: type[Exception], said: str
) -> None:
    # There is no database here to which anything could be sent.
    with pytest.raises(error, match=said):
        call()


def test_the_server_takes_whatever_python_lets_pass(app: PgQueue) -> None:
    def passes(argument: object) -> bool:
        try:
            plain.job(argument)  # type: ignore[arg-type]
        except NotSerializableError:
            return False
        return True

    def longest(make: Callable[[int], object]) -> int:
        # As long as the text that the server writes, so two lengths tell about where it ends.
        one, two = (len(json.dumps([make(n)], ensure_ascii=False).encode()) for n in (1000, 2000))
        about = 1000 + (MAX_BYTES - one) * 1000 // (two - one)
        low, high = about - 2, about + 2
        assert passes(make(low))
        assert not passes(make(high))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if passes(make(middle)) else (low, middle)
        return low

    makers: list[Callable[[int], object]] = [
        lambda n: [1] * n,
        lambda n: [{"": ""}] * n,
        lambda n: "x" * n,
        lambda n: ',:"\\' * n,
        lambda n: [["ü", 1.5, None]] * n,
    ]
    lengths = {make: longest(make) for make in makers}
    for make, most in lengths.items():
        assert app.enqueue(plain.name, [make(most)]).id
    for make, most in list(lengths.items())[:2]:
        assert app.enqueue(plain.name, [make(most // 2)], meta={"m": make(most // 3)}).id


def test_a_refused_enqueue_leaves_the_transaction_usable(db: Database, app: PgQueue) -> None:
    with psycopg.connect(db.dsn) as connection:
        bound = plain.using(connection=connection)
        bound.enqueue(1)
        with pytest.raises(NotSerializableError):
            bound.enqueue(float("nan"))  # type: ignore[arg-type]
        with pytest.raises(BadArgumentsError):
            bound.enqueue()  # type: ignore[call-arg]
        bound.enqueue(2)
    assert [job.args for job in app.jobs()] == [(2,), (1,)]


def test_enqueue_from_a_coroutine(default: PgQueue) -> None:
    async def main() -> None:
        handle = await asynchronous.aenqueue("u")
        assert await handle.astate() is JobState.READY
        assert (await handle.ainfo()).args == ("u",)
        later = await asynchronous.using(run_at="1h").aenqueue("v")
        assert await later.astate() is JobState.SCHEDULED
        assert await later.aretry() is JobState.READY
        assert await later.aset_priority(3) is JobState.READY
        assert await later.aerrors() == []
        assert await later.acancel("no") is JobState.CANCELLED
        assert await later.adelete()
        await default.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pgqueue.task(lambda: None), "give a name"),
        (lambda: pgqueue.task(print_later()), "give a name"),
        (lambda: pgqueue.task("mail"), "makes a task of a function; got 'mail'"),  # type: ignore[call-overload]
        (lambda: pgqueue.task(plain), "is a task already"),
        (lambda: pgqueue.task(name="t")(generator), "returns? a value instead of yielding"),
        (lambda: pgqueue.task(name="t", context=True)(no_parameter), "first parameter"),  # type: ignore[arg-type]
        (lambda: pgqueue.task(quue="x"), "did you mean 'queue'"),  # type: ignore[call-overload]
        (lambda: pgqueue.task(backoff="expnential"), "did you mean 'exponential'"),
        (lambda: pgqueue.task(context="yes"), "context must be True or False"),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_be_a_task(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make()


def print_later() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


def generator() -> Any:
    yield 1


def no_parameter() -> None: ...
