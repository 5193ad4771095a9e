"""Tests of the options: what is taken in which form, and every refusal."""

import dataclasses
import datetime as dt
from typing import Any

import pytest

from pgqueue.core.errors import ConfigurationError, NotSerializableError
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.core.queue_list import QueueList, parse_queues

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
BOTH = [TaskOptions.from_kwargs, EnqueueOptions.from_kwargs]


def test_a_task_has_the_promised_defaults() -> None:
    options = TaskOptions()
    assert dataclasses.asdict(options) == {
        "queue": "default",
        "priority": 0,
        "max_attempts": 1,
        "backoff": "exponential",
        "timeout": None,
        "retry_on": (Exception,),
        "give_up_on": (),
        "expires": None,
        "context": False,
        "name": None,
        "aliases": (),
        "schedule": (),
        "atomic": False,
        "unique": False,
        "unique_while": None,
        "unique_for": None,
        "on_duplicate": None,
        "on_success": None,
        "on_failure": None,
        "on_finish": None,
        "concurrency": False,
        "max_running": None,
        "priority_step": 0,
        "rate": None,
        "fair_by": False,
        "batch": 1,
        "batch_wait": 0.05,
    }
    assert TaskOptions.from_kwargs() == options


def test_an_enqueue_sets_nothing_by_default() -> None:
    options = EnqueueOptions()
    assert set(dataclasses.asdict(options).values()) == {None, ()}
    assert EnqueueOptions.from_kwargs() == options


def test_options_are_frozen_values() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TaskOptions().queue = "mail"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        EnqueueOptions().queue = "mail"  # type: ignore[misc]


def test_every_form_of_duration_is_normalised() -> None:
    options = TaskOptions.from_kwargs(timeout="1m", expires="7d", backoff="5m", retry_on=OSError)
    assert options.timeout == 60.0
    assert options.expires == dt.timedelta(days=7)
    assert options.backoff == 300.0
    assert options.retry_on == (OSError,)


def test_a_task_tells_which_exceptions_are_tried_again() -> None:
    options = TaskOptions.from_kwargs(retry_on=[OSError, KeyError], give_up_on=FileNotFoundError)
    assert options.retries(PermissionError())
    assert options.retries(KeyError())
    assert not options.retries(FileNotFoundError())
    assert not options.retries(ValueError())
    assert not TaskOptions.from_kwargs(retry_on=()).retries(ValueError())
    assert not TaskOptions().retries(KeyboardInterrupt())


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": ""}, "queue must be a non-empty string; got ''"),
        ({"queue": 5}, "queue must be a non-empty string; got 5"),
        ({"queue": b"mail"}, "queue must be a non-empty string; got a value of type bytes"),
        ({"queue": "*"}, r"'\*' stands for every queue"),
        ({"queue": "a\0"}, "queue must be text without NUL"),
        ({"queue": "\ud800"}, "queue must be text without lone surrogates"),
        ({"queue": "x" * 201}, "queue must be at most 200 bytes"),
        ({"queue": "é" * 101}, "queue must be at most 200 bytes"),
        ({"queue": "x" * 50_000_000}, "queue must be at most 200 bytes"),
        ({"priority": 99999}, "priority must be between -32768 and 32767; got 99999"),
        ({"priority": -32769}, "priority must be between"),
        ({"priority": 10**5_000}, "got an int of"),
        ({"priority": 1.0}, "priority must be a whole number; got 1.0"),
        ({"priority": "1"}, "priority must be a whole number; got '1'"),
        ({"priority": True}, "priority must be a whole number; got True"),
        ({"max_attempts": 0}, "max_attempts must be between 1 and 32767; got 0"),
        ({"max_attempts": 32768}, "max_attempts must be between"),
        ({"max_attempts": 2.5}, "max_attempts must be a whole number"),
        ({"timeout": 0}, "timeout must be above 0 and at most 365 days; got 0"),
        ({"timeout": "0s"}, "timeout must be above 0"),
        ({"timeout": "366d"}, "timeout must be above 0"),
        ({"timeout": -1}, "timeout must be between 0 seconds"),
        ({"timeout": float("nan")}, "timeout must be between 0 seconds"),
        ({"timeout": True}, "timeout must be a timedelta"),
        ({"timeout": "soon"}, "timeout must be an offset"),
        ({"expires": NOON}, "expires must be a timedelta"),
        ({"expires": "-7d"}, "expires must be an offset"),
        ({"qeueu": "mail"}, "option 'qeueu'; did you mean 'queue'\\?; known are queue, priority"),
        ({"in_": "5m"}, "option 'in_'"),
        ({"x" * 1_000: 1}, "option 'x"),
    ],
    ids=range(30),
)
def test_a_wrong_option_is_refused_in_one_sentence(
    make: Any, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ""}, "name must be a non-empty string"),
        ({"name": "x" * 501}, "name must be at most 500 bytes"),
        ({"name": "a\0"}, "name must be text without NUL"),
        ({"name": 5}, "name must be a non-empty string; got 5"),
        ({"aliases": "old.name"}, "aliases must be a tuple of task names; got 'old.name'"),
        ({"aliases": [""]}, "aliases must be a non-empty string"),
        ({"aliases": None}, "aliases must be a tuple"),
        ({"context": 1}, "context must be True or False; got 1"),
        ({"context": None}, "context must be True or False"),
        ({"backoff": "fibonacci"}, "backoff must be a number of seconds"),
        ({"backoff": None}, "backoff must be"),
        ({"retry_on": "OSError"}, "retry_on must be an exception class or a tuple"),
        ({"retry_on": [int]}, "retry_on must hold exception classes; got a value of type type"),
        ({"retry_on": int}, "retry_on must hold exception classes"),
        ({"give_up_on": [OSError()]}, "give_up_on must hold exception classes"),
        ({"give_up_on": None}, "give_up_on must be an exception class"),
        ({"queue": None}, "queue must be a non-empty string; got None"),
        ({"priority": None}, "priority must be a whole number; got None"),
        ({"max_attempts": None}, "max_attempts must be a whole number"),
        ({"max_attempt": 3}, "unknown task option 'max_attempt'; did you mean 'max_attempts'"),
        ({"run_at": "5m"}, "unknown task option 'run_at'"),
    ],
)
def test_a_wrong_task_option_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TaskOptions.from_kwargs(**options)
    known = {field.name for field in dataclasses.fields(TaskOptions)}
    if options.keys() <= known:
        with pytest.raises(ConfigurationError, match=words):
            TaskOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"run_at": dt.datetime(2030, 1, 1)}, "run_at must be an aware datetime; got a naive one"),
        ({"run_at": "tomorrow"}, "run_at must be an offset"),
        ({"run_at": "-5m"}, "run_at must be an offset"),
        ({"run_at": -5}, "run_at must be between 0 seconds"),
        ({"run_at": dt.date(2030, 1, 1)}, "run_at must be an aware datetime, a timedelta"),
        ({"run_at": True}, "run_at must be"),
        ({"expires_at": "7d"}, "expires_at must be an aware datetime; got '7d'"),
        ({"expires_at": dt.datetime(2030, 1, 1)}, "expires_at must be an aware datetime"),
        ({"expires_at": NOON, "expires": "7d"}, "expires and expires_at exclude each other"),
        ({"meta": []}, "meta must be a dictionary; got a value of type list"),
        ({"meta": "{}"}, "meta must be a dictionary; got '{}'"),
        ({"backoff": "linear"}, "unknown option 'backoff'"),
    ],
)
def test_a_wrong_enqueue_option_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        EnqueueOptions.from_kwargs(**options)


@pytest.mark.parametrize(
    ("meta", "path"),
    [
        ({"a": float("nan")}, "$.meta.a"),
        ({1: 2}, "$.meta"),
        ({"a": [object()]}, "$.meta.a[0]"),
        ({"a": "\ud800"}, "$.meta.a"),
    ],
)
def test_meta_must_be_json(meta: dict[Any, object], path: str) -> None:
    with pytest.raises(NotSerializableError) as caught:
        EnqueueOptions(meta=meta)
    assert caught.value.path == path


def test_meta_that_is_too_large_is_called_meta() -> None:
    with pytest.raises(NotSerializableError, match="meta must be at most 1048576 bytes"):
        EnqueueOptions(meta={"a": "x" * 2_000_000})


def test_meta_is_a_copy() -> None:
    meta: dict[str, object] = {"a": 1}
    options = EnqueueOptions(meta=meta)
    meta["b"] = 2
    assert options.meta == {"a": 1}


@pytest.mark.parametrize("run_at", ["5m", 300, 300.0, dt.timedelta(minutes=5)])
def test_a_relative_run_at_stays_relative(run_at: object) -> None:
    assert EnqueueOptions.from_kwargs(run_at=run_at).run_at == dt.timedelta(minutes=5)


def test_points_in_time_are_kept_in_utc() -> None:
    given = NOON.astimezone(dt.timezone(dt.timedelta(hours=5)))
    options = EnqueueOptions(run_at=given, expires_at=given)
    assert options.run_at == options.expires_at == NOON
    assert isinstance(options.run_at, dt.datetime)
    assert options.run_at.tzinfo is dt.UTC


@pytest.mark.parametrize("options", [{"priority": -32768}, {"priority": 32767}, {"timeout": 0.001}])
def test_the_ends_of_a_range_belong_to_it(options: dict[str, object]) -> None:
    for make in (TaskOptions.from_kwargs, EnqueueOptions.from_kwargs):
        made = make(**options)
        assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize("queue", ["x" * 200, "é" * 100, "a,b*2", " ", "ready jobs"])
def test_any_short_text_is_a_queue_name(queue: str) -> None:
    assert TaskOptions(queue=queue).queue == queue


def test_later_options_are_laid_over_earlier_ones() -> None:
    first = EnqueueOptions.from_kwargs(queue="mail", priority=5, expires_at=NOON)
    second = first.updated(priority=7, expires="7d")
    assert (second.queue, second.priority) == ("mail", 7)
    assert (second.expires, second.expires_at) == (dt.timedelta(days=7), None)
    third = second.updated(expires_at=NOON, queue=None)
    assert (third.expires, third.expires_at, third.queue) == (None, NOON, None)
    assert (first.priority, first.expires_at) == (5, NOON)
    assert third.updated() == third


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"qeueu": "mail"}, "did you mean 'queue'"),
        ({"expires": "1d", "expires_at": NOON}, "exclude each other"),
        ({"priority": 99999}, "priority must be between"),
    ],
)
def test_wrong_later_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        EnqueueOptions().updated(**options)


@pytest.mark.parametrize(
    ("given", "names", "weights"),
    [
        ("mail", ("mail",), ()),
        ("mail,default", ("mail", "default"), ()),
        (" mail , default ", ("mail", "default"), ()),
        ("*", ("*",), ()),
        ("mail,*", ("mail", "*"), ()),
        ("mail,default*2", ("mail", "default"), (1, 2)),
        ("mail*5,**2", ("mail", "*"), (5, 2)),
        (["a,b", "c"], ("a,b", "c"), ()),
        (["a*2*1", "c"], ("a*2", "c"), (1, 1)),
        ("ready jobs", ("ready jobs",), ()),
    ],
)
def test_queues_are_read_in_order_or_with_weights(
    given: str | list[str], names: tuple[str, ...], weights: tuple[int, ...]
) -> None:
    queues = parse_queues(given)
    assert queues == QueueList(names=names, weights=weights)
    assert queues.has_all == ("*" in names)
    if not any("," in name for name in names):
        assert parse_queues(str(queues)) == queues


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "queue must be a non-empty string"),
        ("mail,", "queue must be a non-empty string"),
        ([], "at least one queue"),
        ("mail,mail*2", "queues must differ; got 'mail' twice"),
        ("mail*0", "weight must be between 1 and 1000; got 'mail\\*0'"),
        ("mail*1001", "weight must be between"),
        ("mail*", "must be given as name or name\\*weight"),
        ("**", "must be given as name or name\\*weight"),
        ("*2", "queue must be a non-empty string"),
        (["mail", 5], "queues must be names; got 5"),
        ([None], "queues must be names; got None"),
        (["x" * 201], "at most 200 bytes"),
        (["a\0"], "without NUL"),
    ],
)
def test_wrong_queues_are_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_queues(given)


@pytest.mark.parametrize("given", [None, 5, b"mail"])
def test_queues_must_be_text_or_a_list_of_it(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="queues must be"):
        parse_queues(given)


def test_a_wait_for_others_needs_a_batch() -> None:
    words = "batch_wait waits for a batch; give batch= with it"
    with pytest.raises(ConfigurationError, match=words):
        TaskOptions.from_kwargs(batch_wait="1s")
    with pytest.raises(ConfigurationError, match=words):
        TaskOptions.from_kwargs(batch=1, batch_wait=1)
    assert TaskOptions.from_kwargs(batch=2, batch_wait="1s").batch_wait == 1.0
