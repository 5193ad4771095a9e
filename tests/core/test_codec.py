"""Tests of the codec: what goes round, and reading what a hand has written; refusals are beside."""

import contextlib
import datetime as dt
import decimal
import json
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from asyncpg.pgproto.pgproto import UUID as DriverUUID
from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.core.codec import decode, dumps, loads
from pgqueue.core.errors import DecodeError

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
        return (type(value).__name__, {_like(item) for item in value})
    if isinstance(value, dt.datetime):
        return ("datetime", value.astimezone(dt.UTC) if value.year not in (1, 9999) else value)
    return (type(value).__name__, value)


def _kind(value: object) -> str:
    """Name a parameter whose own text would be too much for a test's name."""
    return type(value).__name__


def _reordered(data: bytes) -> bytes:
    """Give the same JSON as jsonb gives it back: spaces, keys in another order."""
    return json.dumps(json.loads(data), sort_keys=True, ensure_ascii=False).encode()


@settings(max_examples=150, deadline=None)
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
        (-0.0, '{"$t":"float","v":"-0.0"}'),
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


@settings(max_examples=100, deadline=None)
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
