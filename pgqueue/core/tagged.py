"""The tagged types of the codec: one entry a type, to JSON and back, and what is refused.

`codec` walks containers and knows limits; here stands how a single value is written and read.
"""

import base64
import binascii
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

#: The key that marks a tagged value, and the key of what it holds.
TAG: Final = "$t"
VALUE: Final = "v"

#: In a job's meta: the names of the rows that its arguments stand for, see `object_name`.
OBJECTS: Final = "pgqueue_objects"
#: The tag of what stands for a row of the application's: `["shop.order", "42"]`.
OBJECT_TAG: Final = "model"

_MAX_INT_BITS = 14_000
_MAX_KEY_SHOWN = 40
_SECONDS = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RefusedError(Exception):
    """Carry why a value is refused up to the top of a walk, which adds the path.

    Attributes:
        reason: what is wrong and what to do, without the value.
        remedy: what to do, without the value; may be empty.
        keys: keys and indexes from the outermost container to the value.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.keys: list[str | int] = []

    def sentence(self, path: str) -> str:
        """Give the whole message for a value at a JSON path."""
        return (
            f"{self.reason} at {path}; {self.remedy}" if self.remedy else f"{self.reason} at {path}"
        )


def json_path(keys: Iterable[str | int]) -> str:
    """Write keys and indexes as the end of a JSON path: `[2].x["a b"]`."""
    return "".join(_step(key) for key in keys)


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if len(key) > _MAX_KEY_SHOWN:
        key = key[:_MAX_KEY_SHOWN] + "…"
    return f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{json.dumps(key)}]"


def register(
    tag: str, kind: type, writer: Callable[[Any], object], reader: Callable[[Any], object]
) -> None:
    """Take a framework's values into the closed set.

    Args:
        tag: what is stored as the type.
        kind: the class, whose subclasses are meant too.
        writer: gives the tagged object of a value, or raises RefusedError.
        reader: gives what stands for the value, from what was held; any exception means that it is
            malformed. It is called where nothing may be waited for.
    """
    global _SUBCLASS_WRITERS
    others = tuple(pair for pair in _SUBCLASS_WRITERS if pair[0] is not kind)
    _SUBCLASS_WRITERS = (*others, (kind, writer))
    _READERS[tag] = reader


def object_name(label: object, key: object) -> str:
    """Name a row: `shop.order:42`."""
    return f"{label}:{key}"


def object_names(value: Any) -> list[str]:
    """Name the rows that parsed JSON stands for, each once."""
    found: dict[str, None] = {}
    _find_objects(value, found)
    return list(found)


def _find_objects(value: Any, found: dict[str, None]) -> None:
    if type(value) is list:
        for item in value:
            _find_objects(item, found)
    elif type(value) is dict:
        held = value.get(VALUE)
        if value.get(TAG) == OBJECT_TAG and type(held) is list and len(held) > 1:
            found[object_name(*held[:2])] = None
            return
        for item in value.values():
            _find_objects(item, found)


def write(value: Any) -> Any:
    """Give the plain form of a value that is not JSON itself and holds no other values.

    Returns:
        A tagged object; or, for a subclass of str, int or float, the plain str, int or float.

    Raises:
        RefusedError: the type is none of the closed set, or this value cannot be stored.
    """
    writer = _WRITERS.get(type(value))
    if writer is None:
        if isinstance(value, enum.Enum):
            raise RefusedError(
                f"an enum member ({type_name(value)}) cannot be stored", "use .value"
            )
        for base, base_writer in _SUBCLASS_WRITERS:
            if isinstance(value, base):
                writer = base_writer
                break
        else:
            raise unknown_type(value)
    try:
        return writer(value)
    except RefusedError:
        raise
    except Exception as error:
        # A subclass or a time zone of a stranger; its message may hold the value.
        raise RefusedError(
            f"a value of type {type_name(value)} cannot be stored "
            f"(writing it raised {type(error).__name__})"
        ) from None


def read(tag: object, held: Any) -> object:
    """Give the value of a tagged object whose inner values are already read.

    Raises:
        RefusedError: the tag is unknown, or does not fit what it holds.
    """
    reader = _READERS.get(tag) if type(tag) is str else None
    if reader is None:
        known = ", ".join(_READERS)
        raise RefusedError("an unknown tagged type stands", f"known types are {known}")
    try:
        return reader(held)
    except Exception:
        raise RefusedError(f"a malformed tagged {tag} stands") from None


def type_name(value: object) -> str:
    """Name a value's type, with its module unless it is built in."""
    kind = type(value)
    name = str(kind.__qualname__)[:100]
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def unknown_type(value: object) -> RefusedError:
    """Say that a type is outside the closed set, and how its values could be stored."""
    remedy = next((text for kind, text in _REMEDIES if isinstance(value, kind)), None)
    if remedy is None and dataclasses.is_dataclass(value):
        remedy = "convert it with dataclasses.asdict(...)"
    if remedy is None and isinstance(value, Iterable):
        remedy = "convert it with list(...)"
    remedy = remedy or "convert it to a type that JSON has, or pass its id"
    return RefusedError(f"a value of type {type_name(value)} cannot be stored", remedy)


def with_plain_keys(mapping: dict[Any, Any]) -> dict[str, Any]:
    """Give a copy of a dictionary in which keys of subclasses of str are plain strings.

    Raises:
        RefusedError: a key is no string, or a member of an enum.
    """
    plain: dict[str, Any] = {}
    for key, value in mapping.items():
        if not isinstance(key, str) or isinstance(key, enum.Enum):
            remedy = "use .value" if isinstance(key, enum.Enum) else "use str(key)"
            raise RefusedError(f"a dictionary key of type {type_name(key)} stands", remedy)
        plain[str.__str__(key)] = value
    return plain


def _tagged(tag: str, held: str) -> dict[str, str]:
    return {TAG: tag, VALUE: held}


def _write_int(value: int) -> object:
    number = int.__int__(value)
    if -(2**63) <= number < 2**64:
        return number
    if number.bit_length() > _MAX_INT_BITS:
        raise RefusedError(
            "an int of more than 4,000 digits cannot be stored", "pass it as bytes or hex text"
        )
    return _tagged("int", str(number))


def _write_float(value: float) -> object:
    number = float.__float__(value)
    if not math.isfinite(number):
        name = "NaN" if math.isnan(number) else "an infinite number"
        raise RefusedError(f"{name} cannot be stored", "use None")
    plain = abs(number) < 1e16 and (number or repr(number) == "0.0")
    return number if plain else _tagged("float", repr(number))


def _write_datetime(value: dt.datetime) -> object:
    if value.utcoffset() is None:
        raise RefusedError(
            "a naive datetime cannot be stored",
            "give it a time zone, as in datetime.now(timezone.utc)",
        )
    return _tagged("datetime", dt.datetime.isoformat(value))


def _write_time(value: dt.time) -> object:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise RefusedError(
            "a time whose zone has no fixed offset cannot be stored",
            "use a datetime, or a time without tzinfo",
        )
    return _tagged("time", dt.time.isoformat(value))


def _write_timedelta(value: dt.timedelta) -> object:
    total = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    seconds, rest = divmod(abs(total), 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return _tagged("timedelta", f"{'-' if total < 0 else ''}{seconds}{fraction}")


def _write_decimal(value: decimal.Decimal) -> object:
    if not value.is_finite():
        raise RefusedError("a Decimal that is NaN or infinite cannot be stored", "use None")
    return _tagged("decimal", decimal.Decimal.__str__(value))


def _write_bytes(value: bytes) -> object:
    return _tagged("bytes", base64.b64encode(value).decode("ascii"))


def _write_str(value: str) -> object:
    return str.__str__(value)


def _read_timedelta(held: Any) -> dt.timedelta:
    text = str(held) if type(held) in (int, float) else held
    if not _SECONDS.fullmatch(text):
        raise ValueError
    return dt.timedelta(microseconds=int(decimal.Decimal(text).scaleb(6)))


def _read_datetime(held: Any) -> dt.datetime:
    value = dt.datetime.fromisoformat(held)
    if value.utcoffset() is None:
        raise ValueError
    return value


def _read_decimal(held: Any) -> decimal.Decimal:
    value = decimal.Decimal(held)
    if type(held) is not str or not value.is_finite():
        raise ValueError
    return value


def _read_bytes(held: Any) -> bytes:
    return binascii.a2b_base64(held.encode("ascii"), strict_mode=True)


def _read_int(held: Any) -> int:
    if type(held) is not str:
        raise ValueError
    return int(held)


def _read_float(held: Any) -> float:
    value = float(held)
    if type(held) is not str or not math.isfinite(value):
        raise ValueError
    return value


def _read_list(make: Callable[[list[object]], object]) -> Callable[[Any], object]:
    def reader(held: Any) -> object:
        if type(held) is not list:
            raise ValueError
        return make(held)

    return reader


_WRITERS: dict[type, Callable[[Any], object]] = {
    int: _write_int,
    float: _write_float,
    dt.datetime: _write_datetime,
    dt.date: lambda value: _tagged("date", dt.date.isoformat(value)),
    dt.time: _write_time,
    dt.timedelta: _write_timedelta,
    decimal.Decimal: _write_decimal,
    uuid.UUID: lambda value: _tagged("uuid", uuid.UUID.__str__(value)),
    bytes: _write_bytes,
}

# Subclasses of plain values (a frozen clock's datetime, a driver's UUID, numpy's float64, a
# template engine's str) mean the plain value. Subclasses of containers carry more than that.
_SUBCLASS_WRITERS: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (str, _write_str),
    *_WRITERS.items(),
)

_REMEDIES: tuple[tuple[type, str], ...] = (
    (dict, "convert it with dict(...)"),
    (list, "convert it with list(...)"),
    (tuple, "convert it with tuple(...), or ._asdict() for a namedtuple"),
    (set, "convert it with set(...)"),
    (frozenset, "convert it with frozenset(...)"),
    (bytearray, "convert it with bytes(...)"),
    (memoryview, "convert it with bytes(...)"),
    (complex, "pass its real and imaginary part"),
    (BaseException, "pass str(...) of it"),
    (type, "pass its name"),
)

_READERS: dict[str, Callable[[Any], object]] = {
    "datetime": _read_datetime,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "timedelta": _read_timedelta,
    "decimal": _read_decimal,
    "uuid": lambda held: uuid.UUID(held),
    "bytes": _read_bytes,
    "int": _read_int,
    "float": _read_float,
    "set": _read_list(set),
    "frozenset": _read_list(frozenset),
    "tuple": _read_list(tuple),
}
