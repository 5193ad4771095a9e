"""Tests of the codec: what goes round, what is refused and where it says so, and the limits."""

import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import http
import json
import math
import uuid
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import pytest
from asyncpg.pgproto.pgproto import UUID as DriverUUID
from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.core.codec import MAX_BYTES, decode, dumps, loads
from pgqueue.core.errors import DecodeError, NotSerializableError

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.datetimes(timezones=st.just(dt.UTC)),
    st.datetimes(timezones=st.timezones(), min_value=dt.datetime(1900, 1, 1)),
    st.dates(),
    st.times(),
    st.times(timezones=st.just(dt.UTC)),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.binary(max_size=50),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(HASHABLE, st.sets(HASHABLE, max_size=3), st.frozensets(HASHABLE, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(TEXT, st.sampled_from(["$t", "v"])), inner, max_size=4),
    ),
    max_leaves=12,
)


def _like(value: Any) -> Any:
    """Give a value in which equal but different types (1, 1.0, True) differ too."""
    if isinstance(value, list | tuple):
        return (type(value).__name__, [_like(item) for item in value])
    if isinstance(value, dict):
        return ("dict", {key: _like(item) for key, item in value.items()})
    if isinstance(value, set | frozenset):
        return (type(value).__name__, {(type(item).__name__, item) for item in value})
    if isinstance(value, dt.datetime):
        return ("datetime", value.astimezone(dt.UTC) if value.year not in (1, 9999) else value)
    return (type(value).__name__, value)


def _kind(value: object) -> str:
    """Name a parameter whose own text would be too much for a test's name."""
    return type(value).__name__


def _reordered(data: bytes) -> bytes:
    """Give the same JSON as jsonb gives it back: spaces, keys in another order."""
    return json.dumps(json.loads(data), sort_keys=True, ensure_ascii=False).encode()


@settings(max_examples=150)
@given(VALUES)
def test_every_value_of_the_closed_set_goes_round(value: Any) -> None:
    data = dumps(value)
    assert json.loads(data) == json.loads(dumps(value))
    assert _like(loads(data)) == _like(value)
    assert _like(loads(_reordered(data))) == _like(value)
    assert _like(loads(data.decode())) == _like(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ({}, "{}"),
        (None, "null"),
        ("", '""'),
        ([1, "a", None, True, 1.0, 1.5], '[1,"a",null,true,1.0,1.5]'),
        ({"a": {"b": [1]}}, '{"a":{"b":[1]}}'),
        (NOON, '{"$t":"datetime","v":"2030-01-01T12:00:00+00:00"}'),
        (dt.date(2030, 1, 1), '{"$t":"date","v":"2030-01-01"}'),
        (dt.time(12, 30), '{"$t":"time","v":"12:30:00"}'),
        (dt.timedelta(days=1, microseconds=-500), '{"$t":"timedelta","v":"86399.9995"}'),
        (dt.timedelta(seconds=-90), '{"$t":"timedelta","v":"-90"}'),
        (decimal.Decimal("1.10"), '{"$t":"decimal","v":"1.10"}'),
        (uuid.UUID(int=1), '{"$t":"uuid","v":"00000000-0000-0000-0000-000000000001"}'),
        (b"\x00\xff", '{"$t":"bytes","v":"AP8="}'),
        ((1, 2), '{"$t":"tuple","v":[1,2]}'),
        ({2, 1}, '{"$t":"set","v":[1,2]}'),
        (frozenset(), '{"$t":"frozenset","v":[]}'),
        (2**64 - 1, "18446744073709551615"),
        (2**64, '{"$t":"int","v":"18446744073709551616"}'),
        (-(2**63) - 1, '{"$t":"int","v":"-9223372036854775809"}'),
        (1e16, '{"$t":"float","v":"1e+16"}'),
        ({"$t": 1}, '{"$t":"dict","v":{"$t":1}}'),
        ([{"a": (1,)}, "b"], '[{"a":{"$t":"tuple","v":[1]}},"b"]'),
    ],
)
def test_the_written_form(value: object, text: str) -> None:
    assert dumps(value).decode() == text
    assert loads(text) == value
    assert type(loads(text)) is type(value)


def test_equal_sets_are_written_alike() -> None:
    one, two = {8, 0, "a", None}, {None, "a", 0, 8}
    assert dumps(one) == dumps(two)


def test_what_is_passed_in_is_not_changed() -> None:
    value = {"when": NOON, "parts": [(1, 2), {"$t": "x"}]}
    dumps(value)
    assert value == {"when": NOON, "parts": [(1, 2), {"$t": "x"}]}
    parsed = json.loads(dumps(value))
    before = json.dumps(parsed)
    decode(parsed)
    assert json.dumps(parsed) == before


def test_decoding_plain_json_gives_the_same_object() -> None:
    plain = [1, {"a": [None, "b"]}, 2.5]
    assert decode(plain) is plain


@pytest.mark.parametrize(
    ("number", "exact"),
    [
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("[1000000000000000000000000000000.0]", [1e30]),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    ],
)
def test_long_numbers_written_by_hand_stay_exact(number: str, exact: object) -> None:
    assert loads(number) == exact
    assert type(loads(number)) is type(exact)


def test_a_time_zone_becomes_its_offset() -> None:
    berlin = dt.datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = loads(dumps(berlin))
    assert back == berlin
    assert isinstance(back, dt.datetime)
    assert back.utcoffset() == dt.timedelta(hours=2)


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    ONE = "one"


class Number(enum.IntEnum):
    ONE = 1


class _Text(str):
    def __str__(self) -> str:
        return self


class _Count(int):
    pass


class _Share(float):
    pass


class _Moment(dt.datetime):
    pass


class _Raw(bytes):
    pass


class _Row(NamedTuple):
    number: int


@dataclasses.dataclass
class _Order:
    secret: str = "swordfish"


class _Zone(dt.tzinfo):
    def utcoffset(self, at: dt.datetime | None) -> dt.timedelta:
        raise ValueError("swordfish")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_Text("a"), "a"),
        (_Count(5), 5),
        (_Count(2**70), 2**70),
        (_Share(0.5), 0.5),
        (_Raw(b"a"), b"a"),
        (_Moment(2030, 1, 1, 12, tzinfo=dt.UTC), NOON),
        ({_Text("a"): 1}, {"a": 1}),
        (DriverUUID("00000000-0000-0000-0000-000000000001"), uuid.UUID(int=1)),
    ],
)
def test_a_subclass_of_a_plain_value_is_stored_as_the_plain_value(
    value: object, plain: object
) -> None:
    assert loads(dumps([value])) == [plain]
    assert type(loads(dumps(value))) is type(plain)


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
        (Colour.RED, "an enum member (tests.core.test_codec.Colour) cannot be stored at $.args[0]"),
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


def test_the_tag_is_data_when_the_application_says_so() -> None:
    for value in (
        {"$t": "datetime", "v": "2030"},
        {"$t": {"$t": {"$t": 1}}},
        [{"$t": "dict", "v": {"$t": 1}}],
        {"v": {"$t": "int", "v": "1", "x": NOON}},
        "$t",
        ["$t", {"x": "$t"}],
    ):
        assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"$t":"datetime"}',
        '{"$t":"datetime","v":"2030-01-01T00:00:00Z","x":1}',
        '{"$t":"datetime","v":"2030-01-01T00:00:00"}',
        '{"$t":"datetime","v":5}',
        '{"$t":"datetime","v":null}',
        '{"$t":"date","v":"yesterday"}',
        '{"$t":"time","v":"25:00"}',
        '{"$t":"timedelta","v":"1h"}',
        '{"$t":"timedelta","v":true}',
        '{"$t":"timedelta","v":"999999999999999"}',
        '{"$t":"decimal","v":"one"}',
        '{"$t":"decimal","v":1}',
        '{"$t":"decimal","v":"NaN"}',
        '{"$t":"uuid","v":"1"}',
        '{"$t":"uuid","v":[]}',
        '{"$t":"bytes","v":"a"}',
        '{"$t":"bytes","v":"é"}',
        '{"$t":"bytes","v":5}',
        '{"$t":"set","v":"abc"}',
        '{"$t":"set","v":[[]]}',
        '{"$t":"set","v":{}}',
        '{"$t":"tuple","v":{"a":1}}',
        '{"$t":"int","v":1}',
        '{"$t":"int","v":"0x10"}',
        '{"$t":"int","v":"' + "9" * 5_000 + '"}',
        '{"$t":"float","v":"nan"}',
        '{"$t":"float","v":1}',
        '{"$t":"dict","v":[1]}',
        '{"$t":"pickle","v":"gASVBAAAAAAAAACMAWGULg=="}',
        '{"$t":"os.system","v":"true"}',
        '{"$t":null,"v":1}',
        '{"$t":["set"],"v":[]}',
    ],
    ids=_kind,
)
def test_a_malformed_tagged_value_is_refused_at_its_place(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        loads('[1,{"a":' + text + "}]")
    assert caught.value.path == "$[1].a"
    assert "$[1].a" in str(caught.value)
    assert "99999" not in str(caught.value)


def test_the_path_goes_on_inside_a_tagged_value() -> None:
    with pytest.raises(DecodeError) as caught:
        loads('{"$t":"tuple","v":[0,{"$t":"nothing","v":0}]}')
    assert caught.value.path == "$.v[1]"


def test_a_timedelta_may_be_written_as_a_number_by_hand() -> None:
    assert loads('{"$t":"timedelta","v":90}') == dt.timedelta(seconds=90)
    assert loads('{"$t":"timedelta","v":1.5}') == dt.timedelta(seconds=1.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "NaN",
        "[12345678901234567890123, NaN]",
        "9" * 5_000,
        "[" * 100_000,
        '["secret 12345678901234567890", ',
        b"\xff",
        "\ud800",
    ],
    ids=_kind,
)
def test_what_is_no_json_is_refused_without_showing_it(text: str | bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        loads(text)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_parsed_json_of_any_depth_is_decoded_or_refused() -> None:
    value: object = {"$t": "date", "v": "2030-01-01"}
    for _ in range(100_000):
        value = [value]
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(value)


@settings(max_examples=100)
@given(
    st.recursive(
        st.one_of(st.none(), st.integers(-9, 9), st.sampled_from(["set", "tuple", "int", "2030"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["$t", "v", "x"]), inner, max_size=3),
        ),
        max_leaves=10,
    )
)
def test_rows_written_by_hand_are_decoded_or_refused_and_nothing_else(value: object) -> None:
    with contextlib.suppress(DecodeError):
        loads(orjson.dumps(value))
