"""Arguments and results as JSON: orjson, plus a closed set of tagged types; no pickle.

JSON itself carries None, bool, int, float, str, list and dict with string keys. Everything else
is an object with the key `$t`, the name of the type, and `v`, its value:

    datetime  aware, ISO 8601           date, time  ISO 8601
    timedelta seconds, a decimal text   decimal, uuid  text
    bytes     base64                    set, frozenset, tuple  an array
    int       outside 64 bits, text     float  from 1e16 on, text (jsonb would make it an integer);
                                               -0.0, text (jsonb has no sign on zero)
    dict      a dictionary that has a key `$t` of its own

A value is looked over before it is written, since orjson would write NaN as null and would not
say where a bad value stands. That look is on the path of every enqueue: exact types come first,
and containers are copied only when something inside had to be tagged.
"""

import json
import re
from typing import Any, Final, NoReturn

import orjson

from pgqueue.core.errors import DecodeError, NotSerializableError
from pgqueue.core.tagged import TAG, VALUE, RefusedError, json_path, read, with_plain_keys, write

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64

_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1
_MAX_PLAIN_FLOAT = 1e16
#: How far beyond the limit a value is still written out, to say its exact size in the error.
_SIZE_SLACK = 2
#: orjson reads an integer outside 64 bits as float, so such a text goes to the json module.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_PLAIN = frozenset({type(None), bool})


def dumps(
    value: object,
    *,
    path: str = "$",
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    name: str = "arguments",
) -> bytes:
    """Write a value as JSON.

    Args:
        value: anything the module's docstring lists.
        path: where the value stands, the beginning of the JSON path in errors.
        max_bytes: largest JSON text, in bytes.
        max_depth: most containers inside each other.
        name: what the value is, for the error about its size.

    Returns:
        UTF-8 JSON.

    Raises:
        NotSerializableError: at the JSON path that its message and its `path` name; it never
            shows the value.
    """
    kind = type(value)
    if not value and (kind is list or kind is dict):
        return b"[]" if kind is list else b"{}"
    walk = _Walk(max_bytes * _SIZE_SLACK, max_depth)
    try:
        data = orjson.dumps(walk.values([value], max_depth + 1)[0])
    except RefusedError as refused:
        where = path + json_path(refused.keys[1:])
        raise NotSerializableError(refused.sentence(where), where) from None
    except _TooLargeError:
        raise _too_large(name, f"more than {walk.most}", max_bytes, path) from None
    except TypeError:
        # All that the walk lets pass and orjson refuses: looked for only now, as it is rare.
        where = path + json_path(_surrogate_keys(value) or ())
        raise NotSerializableError(
            f"a string with a lone surrogate cannot be stored at {where}; "
            "encode it with errors='replace', or pass bytes",
            where,
        ) from None
    if len(data) > max_bytes:
        raise _too_large(name, str(len(data)), max_bytes, path)
    return data


def loads(data: bytes | str) -> object:
    """Read a value that `dumps` or a hand has written.

    Args:
        data: JSON, as the server gives it.

    Raises:
        DecodeError: it is not JSON, or a tagged value in it is malformed.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value: object
        if _LONG_NUMBER.search(raw):
            value = json.loads(raw, parse_constant=_refuse_constant)
        else:
            value = orjson.loads(raw)
    except (ValueError, RecursionError):
        # The parser's error holds the whole text, so it is not chained.
        raise DecodeError("stored JSON cannot be read; it is broken or nested too deep") from None
    return decode(value) if b'"$t"' in raw else value


def decode(value: object) -> object:
    """Turn the tagged values in parsed JSON back into what they were.

    Args:
        value: what a JSON parser gave; it is not changed.

    Raises:
        DecodeError: a tagged value is malformed or of an unknown type.
    """
    try:
        return _decoded(value)
    except RefusedError as refused:
        where = "$" + json_path(refused.keys)
        raise DecodeError(refused.sentence(where), where) from None
    except RecursionError:
        raise DecodeError("stored JSON is nested too deep") from None


class _TooLargeError(Exception):
    """Stop a walk over a value whose JSON is far too large."""


class _Walk:
    """One look over one value: refuses, tags, and counts bytes that will be needed at least.

    The count bounds the time as well: a small value may hold the same list many times over, level
    upon level, and would be walked for ever.
    """

    __slots__ = ("depth", "most", "seen")

    def __init__(self, most: int, depth: int) -> None:
        self.most = most
        self.depth = depth
        self.seen = 0

    def count(self, size: int) -> None:
        """Add to the bytes that will be needed at least."""
        self.seen += size
        if self.seen > self.most:
            raise _TooLargeError

    def values(self, items: list[Any], room: int) -> list[Any]:
        """Look over the values of one container.

        Args:
            items: the values.
            room: levels of containers that may still be opened, this one included.

        Returns:
            The same list when nothing in it had to be tagged, else a copy.
        """
        if room <= 0:
            raise RefusedError(
                f"a value nested deeper than {self.depth} levels, or inside itself, "
                "cannot be stored",
                "flatten it",
            )
        most = self.most
        # Each value is a byte at least, and a comma or a bracket goes with it.
        self.count(2 * len(items))
        out = items
        index = 0
        try:
            for index, item in enumerate(items):
                kind = type(item)
                if kind is str:
                    self.seen += len(item)
                    if self.seen > most:
                        raise _TooLargeError
                    if "\0" in item:
                        raise RefusedError(
                            "a string with a NUL character cannot be stored",
                            "remove it, or pass bytes",
                        )
                    continue
                if kind is int:
                    if _MIN_INT <= item <= _MAX_INT:
                        continue
                elif kind is float:
                    if -_MAX_PLAIN_FLOAT < item < _MAX_PLAIN_FLOAT and (
                        item or repr(item) == "0.0"
                    ):
                        continue
                elif kind in _PLAIN:
                    continue
                new = self.other(item, kind, room - 1)
                if new is not item:
                    if out is items:
                        out = items.copy()
                    out[index] = new
        except RefusedError as refused:
            refused.keys.insert(0, index)
            raise
        return out

    def other(self, item: Any, kind: type, room: int) -> Any:
        """Look over a value that is no plain leaf, and give its form for orjson."""
        if kind is list:
            return self.values(item, room)
        if kind is dict:
            return self.mapping(item, room)
        if kind is tuple or kind is set or kind is frozenset:
            inner = self.values(list(item), room)
            if kind is not tuple:
                # A set has no order; a stable one makes equal sets equal text.
                inner = sorted(inner, key=_sort_key)
            return {TAG: kind.__name__, VALUE: inner}
        if kind is bytes:
            self.count(len(item))
        plain = write(item)
        if type(plain) is dict:
            self.count(len(plain[VALUE]))
        elif type(plain) is str:
            plain = self.values([plain], 1)[0]
        return plain

    def mapping(self, item: dict[Any, Any], room: int) -> Any:
        """Look over a dictionary: its keys here, its values as those of a list."""
        size = 3 * len(item)
        for key in item:
            if type(key) is not str:
                return self.mapping(with_plain_keys(item), room)
            size += len(key)
            if size > self.most:
                raise _TooLargeError
            if "\0" in key:
                raise RefusedError(
                    "a dictionary key with a NUL character cannot be stored", "remove it"
                )
        self.count(size)
        values = list(item.values())
        try:
            new = self.values(values, room)
        except RefusedError as refused:
            if refused.keys:
                refused.keys[0] = list(item)[int(refused.keys[0])]
            raise
        out = item if new is values else dict(zip(item, new, strict=True))
        return {TAG: "dict", VALUE: out} if TAG in item else out


def _decoded(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return _decoded_list(value)
    if kind is dict:
        return _decoded_dict(value)
    return value


def _decoded_list(items: list[Any]) -> list[Any]:
    out = items
    for index, item in enumerate(items):
        kind = type(item)
        if kind is not list and kind is not dict:
            continue
        try:
            new = _decoded_list(item) if kind is list else _decoded_dict(item)
        except RefusedError as refused:
            refused.keys.insert(0, index)
            raise
        if new is not item:
            if out is items:
                out = items.copy()
            out[index] = new
    return out


def _decoded_dict(value: dict[str, Any]) -> Any:
    if TAG not in value:
        return _decoded_values(value)
    if len(value) != 2 or VALUE not in value:
        raise RefusedError(
            "a malformed tagged value stands",
            f'it must have exactly the keys "{TAG}" and "{VALUE}"',
        )
    held = value[VALUE]
    escaped = value[TAG] == "dict"
    if escaped and type(held) is not dict:
        raise RefusedError("a malformed tagged dict stands")
    try:
        held = _decoded_values(held) if escaped else _decoded(held)
    except RefusedError as refused:
        refused.keys.insert(0, VALUE)
        raise
    return held if escaped else read(value[TAG], held)


def _decoded_values(value: dict[str, Any]) -> dict[str, Any]:
    values = list(value.values())
    try:
        new = _decoded_list(values)
    except RefusedError as refused:
        if refused.keys:
            refused.keys[0] = list(value)[int(refused.keys[0])]
        raise
    return value if new is values else dict(zip(value, new, strict=True))


def _sort_key(item: object) -> bytes:
    return orjson.dumps(item)


def _surrogate_keys(value: Any) -> list[str | int] | None:
    """Find the first string with a lone surrogate; None if there is none."""
    if isinstance(value, str):
        return [] if _has_surrogate(value) else None
    pairs: Any
    if isinstance(value, dict):
        if any(_has_surrogate(key) for key in value):
            return []
        pairs = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        pairs = enumerate(value)
    else:
        return None
    for key, item in pairs:
        found = _surrogate_keys(item)
        if found is not None:
            return [key, *found]
    return None


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _too_large(name: str, size: str, max_bytes: int, path: str) -> NotSerializableError:
    return NotSerializableError(
        f"{name} must be at most {max_bytes} bytes of JSON; got {size}; "
        "store the data elsewhere and pass its id",
        path,
    )


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError
