"""Tests of the delay before the next attempt."""

import datetime as dt
import math

import pytest

from pgqueue.core.backoff import NAMES, Backoff, delay, validate_backoff
from pgqueue.core.errors import ConfigurationError


def _middle() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("constant", [15, 15, 15, 15]),
        ("linear", [15, 30, 45, 60]),
        ("exponential", [15, 30, 60, 120]),
        (7.5, [7.5, 7.5, 7.5, 7.5]),
        (lambda attempt: attempt * 10, [10, 20, 30, 40]),
        (lambda attempt: dt.timedelta(minutes=attempt), [60, 120, 180, 240]),
    ],
)
def test_the_curves_without_jitter(backoff: Backoff, expected: list[float]) -> None:
    assert [delay(backoff, n, random=_middle) for n in (1, 2, 3, 4)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_jitter_spreads_by_a_tenth_to_both_sides(name: str) -> None:
    middle = delay(name, 3, random=_middle)
    assert delay(name, 3, random=lambda: 0.0) == pytest.approx(middle * 0.9)
    assert delay(name, 3, random=lambda: math.nextafter(1.0, 0.0)) == pytest.approx(middle * 1.1)
    assert len({delay(name, 3) for _ in range(20)}) > 1


def test_a_number_and_a_callable_have_no_jitter() -> None:
    assert {delay(5.0, 1) for _ in range(20)} == {5.0}
    assert {delay(lambda _: 5, 1) for _ in range(20)} == {5.0}


@pytest.mark.parametrize("attempt", [1_000, 10**6, 2**31])
def test_a_late_attempt_waits_a_day_and_does_not_overflow(attempt: int) -> None:
    assert delay("constant", attempt, random=_middle) == 15
    assert delay("linear", max(attempt, 10**6), random=_middle) == 86_400
    assert delay("exponential", attempt, random=_middle) == 86_400


@pytest.mark.parametrize("attempt", [0, -5])
def test_an_attempt_below_the_first_counts_as_the_first(attempt: int) -> None:
    assert delay("exponential", attempt, random=_middle) == 15


@pytest.mark.parametrize(
    ("value", "expected"),
    [(30, 30.0), (0, 0.0), (1.5, 1.5), ("5m", 300.0), (dt.timedelta(hours=1), 3600.0)],
)
def test_durations_become_seconds(value: object, expected: float) -> None:
    assert validate_backoff(value) == expected
    assert type(validate_backoff(value)) is float


@pytest.mark.parametrize("name", NAMES)
def test_names_and_callables_stay_what_they_are(name: str) -> None:
    assert validate_backoff(name) == name
    assert validate_backoff(_middle) is _middle


@pytest.mark.parametrize("value", [None, True, [15], b"linear", {"base": 3}])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="backoff must be a number of seconds"):
        validate_backoff(value)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "-5m", "5 minutes"])
def test_bad_durations_are_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="backoff must be"):
        validate_backoff(value)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="got 'exponental'; did you mean 'exponential'"):
        validate_backoff("exponental")


def test_a_coroutine_function_is_refused() -> None:
    async def later(attempt: int) -> float:
        return 1.0

    with pytest.raises(ConfigurationError, match="coroutine function"):
        validate_backoff(later)


@pytest.mark.parametrize("answer", [None, -1, float("nan"), "soon", 10**400])
def test_a_callable_that_gives_no_duration_is_an_error(answer: object) -> None:
    with pytest.raises(ConfigurationError, match="the delay that backoff returned must be"):
        delay(lambda _: answer, 1)  # type: ignore[arg-type, return-value]


def test_an_error_of_the_callable_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        delay(lambda attempt: attempt / 0, 1)


def test_an_unknown_name_is_refused_late_as_well() -> None:
    with pytest.raises(ConfigurationError, match="backoff must be"):
        delay("fibonacci", 1)
