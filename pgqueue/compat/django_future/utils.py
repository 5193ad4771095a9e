"""Offsets such as `5d`, and times as django-future takes them."""

import datetime as dt
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

_SUFFIXES: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_timedelta(s: str) -> dt.timedelta:
    """Read an offset: a whole number, which may be negative, and one of `m`, `h`, `d` and `w`.

    Raises:
        ValueError: there is no whole number.
        KeyError: the last character is none of these.
    """
    number, suffix = int(s[:-1]), s[-1]
    return dt.timedelta(**{_SUFFIXES[suffix]: number})


def to_moment(value: dt.date) -> dt.datetime:
    """Give a time as Django keeps it: one without a zone is meant in the current time zone."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time.min)
    if settings.USE_TZ and value.utcoffset() is None:
        return value.replace(tzinfo=timezone.get_current_timezone())
    if not settings.USE_TZ and value.utcoffset() is not None:
        return value.astimezone(timezone.get_current_timezone()).replace(tzinfo=None)
    return value


def to_time(value: Any, base: dt.datetime, name: str) -> dt.datetime:
    """Give the time that an offset, a timedelta, a date or a datetime means.

    Args:
        base: what offsets count from.
        name: of the argument, for the error.

    Raises:
        ValueError: an offset has no whole number.
        KeyError: an offset ends with another character than `m`, `h`, `d` and `w`.
        TypeError: it is something else.
    """
    if isinstance(value, str):
        value = parse_timedelta(value)
    if isinstance(value, dt.timedelta):
        return base + value
    if isinstance(value, dt.date):
        return to_moment(value)
    raise TypeError(
        f"{name} must be a datetime, a timedelta or an offset such as '5d'; got a value of type "
        f"{type(value).__name__}"
    )
