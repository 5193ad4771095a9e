"""Small helpers that projects import."""

import calendar
import datetime as dt
import inspect
from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from pgqueue.compat.django_q.conf import Conf
from pgqueue.django import framework

Date = TypeVar("Date", bound=dt.date)


def add_months(d: Date, months: int) -> Date:
    """Give the same day of a later month, or its last day where it is too short."""
    years, month = divmod(d.month - 1 + months, 12)
    year, month = d.year + years, month + 1
    last = calendar.monthrange(year, month)[1]
    return d.replace(year=year, month=month, day=min(d.day, last))


def add_years(d: Date, years: int) -> Date:
    """Give the same day of a later year; 28 February for a 29th that it has not."""
    return add_months(d, 12 * years)


def localtime(value: dt.datetime | None = None) -> dt.datetime:
    """Give a time, or now, in the time zone of the cluster; without one where the project has none.

    Args:
        value: an aware time; one without a zone where USE_TZ is False.
    """
    if not settings.USE_TZ:
        return dt.datetime.now() if value is None else value
    found: dt.datetime = timezone.localtime(value, ZoneInfo(Conf.TIME_ZONE))
    return found


def get_func_repr(func: str | Callable[..., Any] | None) -> str | None:
    """Give the dotted path of a function or of a class's method; else whatever it is as text."""
    if inspect.isfunction(func):
        return f"{func.__module__}.{func.__name__}"
    if inspect.ismethod(func) and hasattr(func.__self__, "__name__"):
        owner = func.__self__
        return f"{owner.__module__}.{owner.__name__}.{func.__name__}"
    return str(func) if func else None


def close_old_django_connections() -> None:
    """Close the connections of this thread that are unusable or too old; none in a transaction."""
    framework.close_old()
