"""A call of the database as a value: its text, its parameters, and how to read the answer.

Every statement of pgqueue is written once, here in ``statements/``, and sent by whichever driver
the caller has. So that one text suits them all:

* placeholders are written ``%(name)s``, as psycopg has them; ``numbered()`` and ``colons()``
  give the forms of asyncpg (``$1``) and SQLAlchemy (``:name``);
* a parameter is a ``str`` or ``None``, and the text says ``CAST(CAST(%(x)s AS text) AS bigint)``:
  asyncpg would insist on an ``int`` where the server expects one, psycopg would send a ``smallint``
  today and a ``bigint`` tomorrow, each a statement to prepare of its own;
* a time is selected as ``EXTRACT(EPOCH FROM …)``, which is a number to every driver, in whatever
  time zone and beyond Python's calendar too ("infinity" parks a job);
* casts are written ``CAST(… AS …)``, never ``::``, which SQLAlchemy would read as a bind;
* no percent sign and no colon stands in a text but for these.

Nothing in this folder opens a connection or imports a driver.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Final, Generic, LiteralString, TypeAlias, TypeVar

from pgqueue.core import codec
from pgqueue.core.errors import DecodeError

T = TypeVar("T")

Param: TypeAlias = str | None
Row: TypeAlias = Sequence[object]
Rows: TypeAlias = Sequence[Row]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_LAST: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Generic[T]):
    """One SQL call, not yet made.

    Attributes:
        text: The SQL, with ``%(name)s`` placeholders.
        params: A value for every placeholder.
        decode: Turns the rows of the answer into what the caller asked for.
    """

    text: LiteralString
    params: Mapping[str, Param] = field(repr=False)
    decode: Callable[[Rows], T]


@cache
def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """Rewrite the placeholders of ``text`` as ``$1``, ``$2`` …

    Returns:
        The text, and the parameter names in the order of their numbers.
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACEHOLDER.sub(number, text), tuple(names)


@cache
def colons(text: str) -> str:
    """Rewrite the placeholders of ``text`` as ``:name``."""
    return _PLACEHOLDER.sub(r":\1", text)


def nothing(rows: Rows) -> None:
    """Read an answer that nobody needs."""


def first_int(rows: Rows) -> int:
    """Read the one number of the one row."""
    return as_int(rows[0][0])


def first_str(rows: Rows) -> str:
    """Read the one word of the one row."""
    return str(rows[0][0])


def first_bool(rows: Rows) -> bool:
    """Read the one yes or no of the one row."""
    return bool(rows[0][0])


def as_int(value: object) -> int:
    """Read a number that a driver gave as a number or as its text."""
    if isinstance(value, int):
        return value
    return int(str(value))


def from_json(value: object) -> object:
    """Read JSON that was selected as text, tagged values included; None stays None.

    What plain SQL stored need not be ours to decode, and one such row must not keep others from
    being looked at: tags that are malformed stay as they are, and what no parser here reads, for
    its depth, stays text.
    """
    if value is None:
        return None
    text = str(value)
    try:
        return codec.loads(text)
    except DecodeError:
        try:
            return json.loads(text)
        except (RecursionError, ValueError):
            return text


def as_time(value: object) -> dt.datetime | None:
    """Read a time that was selected as seconds since 1970; None stays None.

    Returns:
        A datetime in UTC; one that Python's calendar does not have becomes its first or last.
    """
    if value is None:
        return None
    seconds = Decimal(str(value))
    if not seconds.is_finite() or abs(seconds) > 10**12:
        return _LAST if seconds > 0 else _FIRST
    try:
        return _EPOCH + dt.timedelta(microseconds=int(seconds * 1_000_000))
    except OverflowError:
        return _LAST if seconds > 0 else _FIRST


def as_moment(value: object) -> dt.datetime:
    """Read a time that is never null; see `as_time`."""
    return as_time(value) or _FIRST


def as_list(value: object) -> list[object]:
    """Read a JSON array that was selected as text; anything else becomes an empty list."""
    found = from_json(value)
    return found if isinstance(found, list) else []


def as_dict(value: object) -> dict[str, object]:
    """Read a JSON object that was selected as text; anything else becomes an empty dict."""
    found = from_json(value)
    return found if isinstance(found, dict) else {}
