"""Tests of what the codec refuses, where it says the value stands, and of its limits."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import http
import json
import math
from collections.abc import Callable
from pathlib import PurePath
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from pgqueue.core.codec import MAX_BYTES, dumps, loads
from pgqueue.core.errors import NotSerializableError

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    ONE = "one"


class Number(enum.IntEnum):
    ONE = 1


class _Text(str):
    def __str__(self) -> str:
        return self


class _Share(float):
    pass


class _Row(NamedTuple):
    number: int


@dataclasses.dataclass
class _Order:
    secret: str = "swordfish"


class _Zone(dt.tzinfo):
    def utcoffset(self, at: dt.datetime | None) -> dt.timedelta:
        raise ValueError("swordfish")


def _kind(value: object) -> str:
    """Name a parameter whose own text would be too much for a test's name."""
    return type(value).__name__


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "NaN cannot be stored at $.args[0]; use None"),
        (math.inf, "an infinite number cannot be stored at $.args[0]; use None"),
        (-math.inf, "an infinite number"),
        (_Share("nan"), "NaN cannot be stored"),
        (decimal.Decimal("NaN"), "a Decimal that is NaN or infinite"),
        (decimal.Decimal("sNaN"), "a Decimal that is NaN or infinite"),
        (decimal.Decimal("-Infinity"), "a Decimal that is NaN or infinite"),
        (dt.datetime(2030, 1, 1), "a naive datetime cannot be stored at $.args[0]; give it a time"),
        (dt.time(12, tzinfo=ZoneInfo("Europe/Berlin")), "a time whose zone has no fixed offset"),
        (dt.datetime(2030, 1, 1, tzinfo=_Zone()), "(writing it raised ValueError) at $.args[0]"),
        ("a\0b", "a string with a NUL character cannot be stored at $.args[0]; remove it"),
        (_Text("a\0b"), "a string with a NUL character"),
        ("a\ud800", "a string with a lone surrogate cannot be stored at $.args[0]; encode it"),
        (_Text("\udfff"), "a string with a lone surrogate"),
        (
            Colour.RED,
            "test_codec_refusals.Colour) cannot be stored at $.args[0]; use .value",
        ),
        (Word.ONE, "use .value"),
        (Number.ONE, "use .value"),
        (http.HTTPStatus.OK, "an enum member (http.HTTPStatus)"),
        (10**5_000, "an int of more than 4,000 digits"),
        (object(), "a value of type object cannot be stored at $.args[0]; convert it to a type"),
        (PurePath("/a"), "cannot be stored at $.args[0]; convert it to a type that JSON has"),
        (_Order(), "_Order cannot be stored at $.args[0]; convert it with dataclasses.asdict"),
        (_Row(1), "_Row cannot be stored at $.args[0]; convert it with tuple(...), or ._asdict()"),
        (collections.OrderedDict(a=1), "convert it with dict(...)"),
        (collections.UserList([1]), "convert it with list(...)"),
        (range(3), "a value of type range cannot be stored at $.args[0]; convert it with list"),
        ((number for number in [1]), "a value of type generator"),
        (bytearray(b"a"), "convert it with bytes(...)"),
        (memoryview(b"a"), "convert it with bytes(...)"),
        (1j, "pass its real and imaginary part"),
        (ValueError("swordfish"), "pass str(...) of it"),
        (int, "a value of type type cannot be stored at $.args[0]; pass its name"),
        ({1: 2}, "a dictionary key of type int stands at $.args[0]; use str(key)"),
        ({None: 2}, "a dictionary key of type NoneType"),
        ({Word.ONE: 2}, "use .value"),
        ({"a\0": 2}, "a dictionary key with a NUL character cannot be stored at $.args[0]"),
        ({"\ud800": 2}, "a string with a lone surrogate cannot be stored at $.args[0]"),
        ({object}, "at $.args[0][0]"),
        ({"\ud800", "a"}, "a string with a lone surrogate"),
    ],
    ids=_kind,
)
def test_what_cannot_be_stored_is_refused_with_its_place_and_a_remedy(
    value: object, words: str
) -> None:
    with pytest.raises(NotSerializableError) as caught:
        dumps([value], path="$.args")
    assert words in str(caught.value)
    assert caught.value.path.startswith("$.args[0]")
    assert caught.value.path in str(caught.value)
    assert "swordfish" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "$"),
        ([1, math.nan], "$[1]"),
        ({"x": math.nan}, "$.x"),
        ([0, 1, {"x": math.nan}], "$[2].x"),
        ({"a b": [math.nan]}, '$["a b"][0]'),
        ({'"': math.nan}, '$["\\""]'),
        ({"k" * 50: math.nan}, "$[" + json.dumps("k" * 40 + "…") + "]"),
        ([(1, (2, math.nan))], "$[0][1][1]"),
        ({"$t": math.nan}, '$["$t"]'),
        ([{"a": {1: 2}}], "$[0].a"),
        ({"a": [["\ud800"]]}, "$.a[0][0]"),
        ({"first": NOON, "then": {"x": [NOON, object()]}}, "$.then.x[1]"),
    ],
)
def test_the_json_path_leads_to_the_value(value: object, path: str) -> None:
    with pytest.raises(NotSerializableError) as caught:
        dumps(value)
    assert caught.value.path == path


def _nested(levels: int, kind: type = list) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("kind", [list, dict, tuple])
def test_sixty_four_levels_are_the_most(kind: type) -> None:
    deep = _nested(64, kind)
    assert loads(dumps(deep)) == deep
    with pytest.raises(NotSerializableError, match="nested deeper than 64") as caught:
        dumps(_nested(65, kind))
    assert len(caught.value.path) >= 64
    with pytest.raises(NotSerializableError, match="nested deeper than 64 levels"):
        dumps(_nested(100_000, kind))


def test_the_depth_can_be_set() -> None:
    assert dumps([[1]], max_depth=2) == b"[[1]]"
    with pytest.raises(NotSerializableError, match=r"deeper than 1 levels.* at \$\[0\]"):
        dumps([[1]], max_depth=1)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    ring: dict[str, object] = {}
    ring["x"] = (ring,)
    for value in (loop, ring):
        with pytest.raises(NotSerializableError, match="nested deeper than 64"):
            dumps(value)


def test_a_small_value_that_grows_without_end_is_refused_soon() -> None:
    value: list[object] = [1]
    for _ in range(60):
        value = [value] * 10
    with pytest.raises(NotSerializableError, match=r"got more than \d+"):
        dumps(value)


def test_empty_containers_that_multiply_without_end_are_refused_soon() -> None:
    value: object = ()
    for _ in range(60):
        value = {"": value, "a": value}
    with pytest.raises(NotSerializableError, match=r"got more than \d+"):
        dumps(value)


def test_the_size_is_counted_in_bytes_of_json() -> None:
    fits = ["x" * (MAX_BYTES - 4)]
    assert len(dumps(fits)) == MAX_BYTES
    with pytest.raises(NotSerializableError) as caught:
        dumps(["x" * (MAX_BYTES - 3)])
    assert str(caught.value).startswith(
        f"arguments must be at most 1048576 bytes of JSON; got {MAX_BYTES + 1}"
    )
    with pytest.raises(NotSerializableError, match="got 2000004"):
        dumps(["é" * 1_000_000])
    with pytest.raises(
        NotSerializableError, match="result must be at most 10 bytes of JSON; got 12"
    ):
        dumps("x" * 10, max_bytes=10, name="result")


# Made by name, so that they exist only while their test runs.
HUGE: dict[str, Callable[[], object]] = {
    "text": lambda: ["x" * 100_000_000],
    "texts": lambda: ["x" * 1_000_000] * 1_000,
    "subclass texts": lambda: [_Text("x" * 1_000_000)] * 1_000,
    "numbers": lambda: [0] * 10_000_000,
    "lists": lambda: [[0] * 1_000_000] * 1_000,
    "bytes": lambda: b"x" * 100_000_000,
    "many bytes": lambda: [b"x" * 1_000_000] * 1_000,
    "key": lambda: {"x" * 100_000_000: 1},
    "keys": lambda: [{"x" * 1_000_000: 1}] * 1_000,
}


@pytest.mark.parametrize("name", HUGE)
def test_a_value_far_too_large_is_refused_before_it_is_written(name: str) -> None:
    with pytest.raises(NotSerializableError, match="got more than 2097152"):
        dumps(HUGE[name]())
