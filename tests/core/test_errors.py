"""Tests of the tree of errors and of the words in it."""

import copy
import inspect
import pickle

import pytest

from pgqueue.core import errors
from pgqueue.core.errors import (
    SQLSTATES,
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    JobError,
    JobNotFoundError,
    JobStateError,
    JobTimeout,
    LeaseLostError,
    NotSerializableError,
    PgQueueError,
    RefusedJobError,
    SchemaOutdatedError,
    TaskNotFoundError,
    from_sqlstate,
    shown,
    suggest,
)

EXCEPTIONS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception)
]


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_every_exception_says_it_comes_from_pgqueue(kind: type[Exception]) -> None:
    assert kind.__module__ == "pgqueue"


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_all_but_the_timeout_stand_below_one_error(kind: type[Exception]) -> None:
    assert issubclass(kind, PgQueueError) == (kind is not JobTimeout)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ValueError),
        (TaskNotFoundError, LookupError),
        (NotSerializableError, TypeError),
        (DecodeError, ValueError),
        (RefusedJobError, ValueError),
        (JobNotFoundError, LookupError),
        (ConnectionLostError, ConnectionError),
    ],
)
def test_errors_can_be_caught_as_their_builtin_kind(
    kind: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)
    assert str(kind("what happened")) == "what happened"


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (NotSerializableError("no", "$.args[2].x"), {"path": "$.args[2].x"}),
        (DecodeError("no", "$[1]"), {"path": "$[1]"}),
        (SchemaOutdatedError("no", needed=3, found=2), {"needed": 3, "found": 2}),
        (JobStateError("no", job_id=7), {"job_id": 7}),
    ],
)
def test_facts_are_attributes_and_survive_pickle_and_copy(
    error: PgQueueError, facts: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pickle looks a class up where its __module__ says.
    monkeypatch.setattr(f"pgqueue.{type(error).__name__}", type(error), raising=False)
    for same in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert str(same) == "no"
        for name, value in facts.items():
            assert getattr(same, name) == value


@pytest.mark.parametrize("kind", [JobError, JobNotFoundError, SchemaOutdatedError, PgQueueError])
def test_errors_without_a_message_have_an_empty_one(kind: type[PgQueueError]) -> None:
    assert str(kind()) == ""


@pytest.mark.parametrize(("code", "kind"), SQLSTATES.items())
def test_a_sqlstate_of_ours_becomes_its_error(code: str, kind: type[PgQueueError]) -> None:
    error = from_sqlstate(code, "task is null", "give a task")
    assert type(error) is kind
    assert str(error) == "task is null; give a task"
    assert error is not None
    assert error.sqlstate == code


@pytest.mark.parametrize("code", [None, "", "23505", "PQ999"])
def test_a_foreign_sqlstate_becomes_nothing(code: str | None) -> None:
    assert from_sqlstate(code, "duplicate key") is None


def test_an_error_without_hint_keeps_its_message_alone() -> None:
    assert str(from_sqlstate("PQ005", "lease lost")) == "lease lost"
    assert isinstance(from_sqlstate("PQ005", "lease lost"), LeaseLostError)


def test_the_nearest_known_name_is_suggested() -> None:
    assert suggest("qeueu", ["queue", "priority"]) == "; did you mean 'queue'?"
    assert suggest("zzz", ["queue", "priority"]) == ""
    assert suggest("", []) == ""
    assert suggest("q" * 10_000_000, ["queue"]) == ""


class _Loud:
    def __repr__(self) -> str:
        raise AssertionError("repr of a stranger was called")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (True, "True"),
        (99999, "99999"),
        (1.5, "1.5"),
        ("mail", "'mail'"),
        ("x" * 61, "'" + "x" * 60 + "'… (61 characters)"),
        ([1, 2], "a value of type list"),
        (_Loud(), "a value of type _Loud"),
    ],
)
def test_values_are_shown_short_and_safe(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_a_huge_int_is_shown_by_its_size() -> None:
    assert shown(10**10_000) == "an int of 33220 bits"
