"""Unique keys: what may be said of them, and how they are made from arguments."""

import datetime as dt
import uuid
from typing import Any

import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.core.uniqueness import check_names, key_of


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique_key": ""}, "unique_key must be a non-empty string; got ''"),
        ({"unique_key": 7}, "unique_key must be a non-empty string; got 7"),
        ({"unique_key": "é" * 501}, "unique_key must be at most 1000 bytes"),
        ({"unique_key": "a\0"}, "unique_key must be text without NUL"),
        ({"unique_key": "\ud800"}, "unique_key must be text without lone surrogates"),
        ({"unique_while": "alive"}, "unique_while must be one of live, waiting; got 'alive'"),
        ({"unique_for": 0}, "unique_for must be above 0 and at most 3660 days; got 0"),
        ({"unique_for": "4000d"}, "unique_for must be above 0 and at most 3660 days; got '40"),
        (
            {"on_duplicate": "replaces"},
            "on_duplicate must be one of ignore, replace, reschedule, error; got 'replaces'; did"
            " you mean 'replace'?",
        ),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EnqueueOptions.from_kwargs(**options)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("value", ["order_id", 7, None, [1], ("",)])
def test_names_are_a_tuple_of_names(value: object) -> None:
    with pytest.raises(ConfigurationError, match="unique must"):
        TaskOptions.from_kwargs(unique=value)


def test_options_of_a_key_need_a_key() -> None:
    with pytest.raises(ConfigurationError, match="unique_for says how a key is kept; give unique="):
        TaskOptions.from_kwargs(unique_for="10m")
    with pytest.raises(ConfigurationError, match="give unique_key= with it"):
        EnqueueOptions.from_kwargs(on_duplicate="error").check_keyless()
    EnqueueOptions.from_kwargs().check_keyless()
    assert TaskOptions.from_kwargs(unique=True, unique_for="10m").unique_for == dt.timedelta(0, 600)


def test_names_take_their_plain_form() -> None:
    assert check_names(["b", "a"], "unique") == ("a", "b")
    assert check_names((), "unique") is False
    assert check_names(True, "unique") is True


def test_a_key_is_the_same_for_what_is_the_same() -> None:
    first = key_of("t", {"a": {"x": 1, "y": {3, 1, 2}}, "b": 2}, ("a",))
    assert first == key_of("t", {"b": 3, "a": {"y": {2, 3, 1}, "x": 1}}, ("a",))
    assert first != key_of("t", {"a": {"x": 1, "y": {3, 1}}, "b": 2}, ("a",))
    assert first != key_of("u", {"a": {"x": 1, "y": {3, 1, 2}}, "b": 2}, ("a",))
    assert first != key_of("t", {"a": {"x": 1, "y": {3, 1, 2}}, "b": 2}, True)
    assert key_of("t", {"a": [1, 2]}, True) != key_of("t", {"a": [2, 1]}, True)
    assert key_of("t", {"a": 1}, True) != key_of("t", {"a": "1"}, True)


def test_a_key_shows_no_argument_and_is_short() -> None:
    secret = str(uuid.uuid4())
    key = key_of("é" * 250, {"a": secret * 1000}, True)
    assert secret not in key
    assert len(key.encode()) <= 1000
