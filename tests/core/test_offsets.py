"""Tests of durations and times in every form people write them."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.offsets import parse_offset, to_delay_or_time, to_seconds

HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("90m", 5_400),
        ("3h", 10_800),
        ("5d", 432_000),
        ("2w", 1_209_600),
        ("1d12h", 129_600),
        ("1.5h", 5_400),
        ("0.25s", 0.25),
        ("0s", 0),
        ("  1d  12h ", 129_600),
        ("1w2d3h4m5.5s", 788_645.5),
        ("36525d", 36_525 * 86_400),
    ],
)
def test_offsets_are_read(text: str, seconds: float) -> None:
    assert parse_offset(text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5",
        "d",
        "5 days",
        "5D",
        "-5m",
        "+5m",
        "12h1d",
        "1h1h",
        "1.h",
        ".5h",
        "1e3s",
        "\N{ARABIC-INDIC DIGIT ONE}s",
        "5m\0",
        "nans",
        "infs",
        "1d,12h",
        "9" * 101 + "s",
    ],
)
def test_what_is_no_offset_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match="run_at must be an offset such as '30s'"):
        parse_offset(text, "run_at")


@pytest.mark.parametrize("value", ["36525d1s", "9" * 90 + "w", 1e300, 10**400, dt.timedelta.max])
def test_a_duration_beyond_a_hundred_years_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="between 0 seconds and 100 years"):
        to_seconds(value, "timeout")


@pytest.mark.parametrize(
    "value", [-1, -0.001, float("nan"), float("inf"), float("-inf"), -HOUR, dt.timedelta.min]
)
def test_negative_and_endless_durations_are_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be between 0 seconds"):
        to_seconds(value, "timeout")
    with pytest.raises(ConfigurationError, match="run_at must be between 0 seconds"):
        to_delay_or_time(value, "run_at")


@pytest.mark.parametrize("value", [None, True, False, [], b"5m", 1j, dt.date(2030, 1, 1)])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a timedelta, a number"):
        to_seconds(value, "timeout")
    with pytest.raises(ConfigurationError, match="run_at must be an aware datetime, a timedelta"):
        to_delay_or_time(value, "run_at")


def test_a_datetime_is_no_duration() -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a timedelta"):
        to_seconds(dt.datetime.now(dt.UTC), "timeout")


@pytest.mark.parametrize("value", [5, 5.0, "5s", dt.timedelta(seconds=5)])
def test_a_relative_time_stays_relative(value: object) -> None:
    assert to_delay_or_time(value, "run_at") == dt.timedelta(seconds=5)
    assert to_seconds(value, "timeout") == 5.0
    assert type(to_seconds(value, "timeout")) is float


def test_an_aware_datetime_is_given_in_utc() -> None:
    berlin = dt.datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    given = to_delay_or_time(berlin, "run_at")
    assert given == berlin
    assert isinstance(given, dt.datetime)
    assert given.tzinfo is dt.UTC


def test_both_readings_of_a_repeated_hour_are_told_apart() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = dt.datetime(2030, 10, 27, 2, 30, tzinfo=zone)
    second = first.replace(fold=1)
    one, two = to_delay_or_time(first, "run_at"), to_delay_or_time(second, "run_at")
    assert isinstance(one, dt.datetime)
    assert isinstance(two, dt.datetime)
    assert two - one == HOUR


class _NoOffset(dt.tzinfo):
    def utcoffset(self, at: dt.datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    "value", [dt.datetime(2030, 1, 1), dt.datetime(2030, 1, 1, tzinfo=_NoOffset())]
)
def test_a_naive_datetime_is_refused_and_the_remedy_named(value: dt.datetime) -> None:
    with pytest.raises(ConfigurationError, match=r"got a naive one; give it a time zone"):
        to_delay_or_time(value, "run_at")


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime.max.replace(tzinfo=dt.timezone(-HOUR)),
        dt.datetime.min.replace(tzinfo=dt.timezone(HOUR)),
    ],
)
def test_a_datetime_off_the_calendar_in_utc_is_refused(value: dt.datetime) -> None:
    with pytest.raises(ConfigurationError, match="between the years 1 and 9999"):
        to_delay_or_time(value, "run_at")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789.wdhms -", max_size=120))
def test_any_text_is_an_offset_or_a_clear_error(text: str) -> None:
    try:
        value = parse_offset(text)
    except ConfigurationError:
        return
    assert dt.timedelta(0) <= value <= dt.timedelta(days=36_525)
