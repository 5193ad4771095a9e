"""Durations and points in time as people write them: `"1d12h"`, seconds, timedelta, datetime.

A relative time stays relative here: the server's clock, not ours, turns it into a point in time.
"""

import datetime as dt
import math
import re
from typing import Final

from pgqueue.core.errors import ConfigurationError, shown

#: What the public functions take for a duration: an offset, seconds or a timedelta.
Duration = str | int | float | dt.timedelta
#: What they take for a time: a duration from now, or an aware datetime.
When = Duration | dt.datetime

#: The longest duration, 100 years: beyond it a server's timestamp leaves Python's calendar.
MAX_OFFSET: Final = dt.timedelta(days=36_525)

_MAX_SECONDS: Final = MAX_OFFSET.total_seconds()
_MAX_TEXT: Final = 100
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_OFFSET = re.compile(
    rf"(?:{_NUMBER}w)?\s*(?:{_NUMBER}d)?\s*(?:{_NUMBER}h)?\s*(?:{_NUMBER}m)?\s*(?:{_NUMBER}s)?"
    rf"\s*(?:{_NUMBER}ms)?"
)
_UNIT_SECONDS = (604_800, 86_400, 3_600, 60, 1, 0.001)
_FORMS = "such as '30s', '90m', '3h', '5d', '2w' or '1d12h'"


def parse_offset(text: str, name: str = "offset") -> dt.timedelta:
    """Read an offset such as `"5d"`, `"90m"` or `"1d12h"`.

    Args:
        text: numbers with the units w, d, h, m, s and ms, each at most once, the largest first;
            decimals are allowed (`"1.5h"`), signs are not.
        name: the option it was given for, for the error.

    Raises:
        ConfigurationError: it is not an offset, or longer than 100 years.
    """
    stripped = text.strip()
    match = _OFFSET.fullmatch(stripped) if 0 < len(stripped) <= _MAX_TEXT else None
    if match is None:
        raise ConfigurationError(f"{name} must be an offset {_FORMS}; got {shown(text)}")
    seconds = math.fsum(
        float(number) * unit
        for number, unit in zip(match.groups(), _UNIT_SECONDS, strict=True)
        if number is not None
    )
    return _delta(seconds, text, name)


def to_delay_or_time(value: object, name: str) -> dt.timedelta | dt.datetime:
    """Normalise any form of time.

    Args:
        value: an aware datetime, a timedelta, seconds, or an offset string.
        name: the option it was given for, for the error.

    Returns:
        A datetime in UTC for a datetime, else the delay as a timedelta, never negative.

    Raises:
        ConfigurationError: a naive datetime, a negative or endless duration, or another type.
    """
    if isinstance(value, dt.datetime):
        return to_time(value, name)
    return to_delta(value, name, also="an aware datetime, ")


def to_time(value: object, name: str) -> dt.datetime:
    """Take an aware datetime and give it in UTC.

    Raises:
        ConfigurationError: it is not a datetime, is naive, or is not on the calendar in UTC.
    """
    if not isinstance(value, dt.datetime):
        raise ConfigurationError(f"{name} must be an aware datetime; got {shown(value)}")
    if value.utcoffset() is None:
        raise ConfigurationError(
            f"{name} must be an aware datetime; got a naive one; "
            "give it a time zone, as in datetime.now(timezone.utc)"
        )
    try:
        return value.astimezone(dt.UTC)
    except (OverflowError, ValueError):
        raise ConfigurationError(
            f"{name} must lie between the years 1 and 9999 in UTC; got year {value.year}"
        ) from None


def to_delta(value: object, name: str, *, also: str = "") -> dt.timedelta:
    """Take any form of duration and give it as a timedelta.

    Args:
        value: a timedelta, seconds, or an offset string.
        name: the option it was given for, for the error.
        also: other forms the caller takes, named first in the error.

    Raises:
        ConfigurationError: it is negative, not finite, longer than 100 years, or another type.
    """
    if isinstance(value, str):
        return parse_offset(value, name)
    if isinstance(value, dt.timedelta):
        if not dt.timedelta(0) <= value <= MAX_OFFSET:
            raise _out_of_range(value, name)
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(
            f"{name} must be {also}a timedelta, a number of seconds or an offset {_FORMS}; "
            f"got {shown(value)}"
        )
    return _delta(value, value, name)


def to_seconds(value: object, name: str) -> float:
    """Take any form of duration and give it in seconds; see `to_delta`."""
    return to_delta(value, name).total_seconds()


def _delta(seconds: float, given: object, name: str) -> dt.timedelta:
    # NaN fails this comparison too; an int of any size is compared exactly.
    if not 0 <= seconds <= _MAX_SECONDS:
        raise _out_of_range(given, name)
    return dt.timedelta(seconds=seconds)


def _out_of_range(given: object, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} must be between 0 seconds and 100 years (36525 days); got {shown(given)}"
    )
