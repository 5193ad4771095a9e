"""Tests of what a task may ask for, and of the outcomes as values."""

import datetime as dt

import pytest

from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.core.outcome import (
    Cancel,
    Cancelled,
    ErrorInfo,
    Failed,
    Retried,
    Retry,
    Snooze,
    Snoozed,
    Succeeded,
    TaskControl,
)


@pytest.mark.parametrize("kind", [TaskControl, Retry, Snooze, Cancel])
def test_control_flow_is_no_error_of_pgqueue(kind: type[Exception]) -> None:
    assert kind.__module__ == "pgqueue"
    assert issubclass(kind, TaskControl)
    assert not issubclass(kind, PgQueueError)


def test_a_retry_without_words_leaves_the_delay_to_the_task() -> None:
    asked = Retry()
    assert asked.delay is None
    assert asked.reason == ""
    assert str(asked) == "retry asked for by the task"


@pytest.mark.parametrize("in_", ["10m", 600, 600.0, dt.timedelta(minutes=10)])
def test_delays_are_given_in_any_form_and_kept_in_seconds(
    in_: str | float | dt.timedelta,
) -> None:
    assert Retry(in_=in_, reason="rate limit").delay == 600.0
    assert Snooze(in_).delay == 600.0


def test_reasons_are_kept() -> None:
    assert str(Retry(reason="rate limit")) == "rate limit"
    assert str(Cancel("customer left")) == "customer left"
    assert str(Cancel()) == "cancelled by the task"
    assert str(Snooze("1h")) == "snoozed for 3600 seconds by the task"


@pytest.mark.parametrize("in_", ["soon", -1, float("nan"), True, [], dt.datetime.now(dt.UTC)])
def test_what_is_no_duration_is_refused_where_it_is_raised(in_: object) -> None:
    with pytest.raises(ConfigurationError, match="in_ must be"):
        Retry(in_=in_)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="in_ must be"):
        Snooze(in_)  # type: ignore[arg-type]


def test_a_snooze_needs_a_duration() -> None:
    with pytest.raises(TypeError):
        Snooze()  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError):
        Snooze(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [None, 5, b"why"])
def test_a_reason_must_be_text(reason: object) -> None:
    with pytest.raises(ConfigurationError, match="reason must be a string"):
        Cancel(reason)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="reason must be a string"):
        Retry(reason=reason)  # type: ignore[arg-type]


def test_a_reason_is_made_storable() -> None:
    assert Cancel("a\0b\ud800").reason == "a\N{SYMBOL FOR NULL}b\\ud800"
    assert len(Cancel("x" * 10_000_000).reason.encode()) <= 1_000


def test_outcomes_compare_as_values() -> None:
    error = ErrorInfo(kind="ValueError", message="no")
    assert Succeeded(result=b"42") == Succeeded(result=b"42")
    assert Succeeded().result == b"null"
    assert Failed(error=error) == Failed(error=ErrorInfo(kind="ValueError", message="no"))
    assert Retried(delay=5.0, error=error) != Retried(delay=6.0, error=error)
    assert Snoozed(delay=5.0) != Cancelled()
