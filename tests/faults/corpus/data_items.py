"""The tables of bad data, and of good data that looks bad; many are those of other tests."""

import datetime as dt
import decimal
import math
from typing import Any

from pgqueue.core.codec import MAX_BYTES
from tests.core import test_codec, test_codec_refusals
from tests.faults.corpus.echo import ODD_NAMES
from tests.sql import test_refusals

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def _parameters(test: Any) -> list[Any]:
    """Give the table that a test is parametrized with."""
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return [getattr(row, "values", row) for row in mark.args[1]]


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def _raw_nested(levels: int) -> str:
    return "[" * levels + "]" * levels


#: Python values that cannot be enqueued, and what is said.
REFUSED_VALUES: list[tuple[object, str]] = [
    *_parameters(
        test_codec_refusals.test_what_cannot_be_stored_is_refused_with_its_place_and_a_remedy
    ),
    (_nested(64), "nested deeper than 64"),
    (_nested(5_000), "nested deeper than 64"),
    ("x" * MAX_BYTES, "at most 1048576 bytes of JSON"),
    (b"x" * MAX_BYTES, "at most 1048576 bytes of JSON"),
    (10**4_300, "an int of more than 4,000 digits"),
    ({"deep": [{"er": math.nan}]}, "$.args[0].deep[0].er"),
    ({(1, 2): 3}, "a dictionary key of type tuple"),
    ({1.5: 3}, "a dictionary key of type float"),
    ({b"a": 3}, "a dictionary key of type bytes"),
]

#: Python values that must arrive as they were.
VALUES: list[object] = [
    *(row[0] for row in _parameters(test_codec.test_the_written_form)),
    *(2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63)),
    *(10**400, -(10**400), 0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e15 + 0.5),
    *(True, [True, 1, 1.0, "1"], decimal.Decimal("0E-10"), decimal.Decimal("-0")),
    *(dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)),
    *(dt.timedelta.max, dt.timedelta.min, dt.date.min, dt.time(23, 59, 59, 999_999)),
    _nested(63),
    "x" * (MAX_BYTES - 100),
    "\x01\x1f\x7f\u0085\u2028\ufffe\uffff\U0010ffff",
    {"": 1, "$t": 2, "v": {"$t": "set", "v": 3}, "é" * 100: 4, 'q"\'\\\n%s;': 5},
    *ODD_NAMES,
]  # fmt: skip

#: JSON as text that a hand writes as first argument, and what must arrive.
RAW: list[tuple[str, object]] = [
    *((str(n), n) for n in (2**31, 2**53 + 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63) - 1)),
    (str(10**400), 10**400),
    ("1e400", 10**400),
    ("1.0", 1.0),
    ("1.50", 1.5),
    ("1e5", 100_000),
    # The server's numbers have no sign on zero.
    ("-0.0", 0.0),
    ('{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
    ('{"$t": "dict", "v": {"$t": "set"}}', {"$t": "set"}),
    ('{"$t": "timedelta", "v": 90}', dt.timedelta(seconds=90)),
    ('"\\u00e9\\ud83d\\ude00"', "é😀"),
    (_raw_nested(64), _nested(64)),
    (_raw_nested(65), _nested(65)),
    (_raw_nested(900), _nested(900)),
    ('"' + "x" * 1_500_000 + '"', "x" * 1_500_000),
    ("null", None),
]

_MALFORMED = test_codec.test_a_malformed_tagged_value_is_refused_at_its_place

#: JSON that the server takes and no task can be given: the job fails and says where.
UNREADABLE: list[tuple[str, str]] = [
    *((text, "at $.args[0]") for text in _parameters(_MALFORMED)),
    (_raw_nested(1_500), "nested too deep"),
    (_raw_nested(5_000), "nested too deep"),
    ("1" + "0" * 5_000, "cannot be read"),
    ('{"a": [1, {"$t": "nothing", "v": 1}]}', "at $.args[0].a[1]"),
]  # fmt: skip

#: JSON that the server itself does not take, by SQLSTATE.
NO_JSON: list[tuple[str, str]] = [
    ('"a\\u0000b"', "22P05"),
    ('"\\ud800"', "22P02"),
    ("NaN", "22P02"),
    ("Infinity", "22P02"),
    ("[1", "22P02"),
    ("'a'", "22P02"),
]

#: Rows that are refused with PQ001 and a sentence; the word SECRET is replaced.
REFUSED_ROWS = test_refusals.REFUSED

#: Columns that the server's own types or names refuse, by SQLSTATE.
REFUSED_COLUMNS: list[tuple[dict[str, Any], set[str]]] = [
    ({"priority": 32768}, {"22003"}),
    ({"priority": -32769}, {"22003"}),
    ({"max_attempts": 32768}, {"22003"}),
    ({"run_at": "294277-01-01"}, {"22008"}),
    ({"run_at": "yesterday noonish"}, {"22007"}),
    ({"timeout": "infinity"}, {"PQ001", "22007"}),
    ({"timeout": "200 years"}, {"PQ001"}),
    ({"id": 7}, {"428C9"}),
    ({"state": "running"}, {"42703"}),
    ({"arguments": "[]"}, {"42703"}),
]

#: Columns of a job that is stored, and the state it must come to.
STORED: list[tuple[dict[str, Any], str]] = [
    ({"priority": 32767}, "succeeded"),
    ({"priority": -32767}, "succeeded"),
    ({"priority": -32768}, "succeeded"),
    ({"run_at": "infinity"}, "scheduled"),
    ({"run_at": "-infinity"}, "succeeded"),
    ({"run_at": "294276-12-31"}, "scheduled"),
    ({"run_at": "4713-01-01 BC"}, "succeeded"),
    ({"expires_at": "2000-01-01"}, "expired"),
    ({"expires_at": "-infinity"}, "expired"),
    ({"expires_at": "infinity"}, "succeeded"),
    ({"timeout": "365 days"}, "succeeded"),
    ({"max_attempts": 1}, "succeeded"),
    ({"max_attempts": 32767}, "succeeded"),
    ({"meta": "{}"}, "succeeded"),
    *(({"queue": name}, "succeeded") for name in ODD_NAMES),
    *(({"task": name}, "succeeded") for name in ODD_NAMES),
    ({"task": "no.such.task"}, "scheduled"),
    ({"task": "os.system"}, "scheduled"),
    ({"task": "é" * 250}, "scheduled"),
]

#: Options that Python refuses, and the word that must be in the sentence.
REFUSED_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"queue": ""}, "queue must be"),
    ({"queue": "*"}, "queue must be"),
    ({"queue": "é" * 150}, "queue must be at most 200 bytes"),
    ({"queue": "a\0b"}, "queue must be text without NUL"),
    ({"queue": "\ud800"}, "queue must be text without lone surrogates"),
    ({"priority": 99_999}, "priority must be between -32768 and 32767; got 99999"),
    ({"priority": 1.5}, "priority must be"),
    ({"max_attempts": 0}, "max_attempts must be"),
    ({"max_attempts": 10**9}, "max_attempts must be"),
    ({"timeout": 0}, "timeout must be"),
    ({"timeout": -1}, "timeout"),
    ({"timeout": math.inf}, "timeout"),
    ({"timeout": math.nan}, "timeout"),
    ({"timeout": "366d"}, "timeout must be"),
    ({"run_at": dt.datetime(2030, 1, 1)}, "run_at"),
    ({"run_at": "yesterday"}, "run_at"),
    ({"expires": 5, "expires_at": NOON}, "exclude each other"),
    ({"meta": ["list"]}, "meta"),
    ({"meta": {"a": math.nan}}, "$.meta.a"),
    ({"prority": 5}, "did you mean"),
]

#: Where the identity is restarted, so that ids cross what 32 bits and doubles can hold.
ID_STARTS = (2**31 - 5, 2**53 - 5)
