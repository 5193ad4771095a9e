"""Read pickles that nobody has signed, as far as they hold plain data; no code of theirs is run.

The old libraries kept finished tasks so, and django-future its arguments, in tables that whoever
could write rows could write. A pickle may call anything; here it may make numbers, texts, times and
collections, and name a row of the application's, which becomes a reference to it.
"""

import base64
import binascii
import collections
import datetime as dt
import decimal
import io
import pickle
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

from django.apps import apps
from django.db import router


class UnreadableError(Exception):
    """Say why a pickle is not read; nothing of what it holds is in the message."""


def read(text: str | None) -> Any:
    """Read a pickle as `picklefield` stores it: base64 of it, in the column of a text.

    Raises:
        UnreadableError: it is none, or holds more than plain data.
    """
    if text is None:
        return None
    try:
        data = base64.b64decode(text.encode("ascii"), validate=False)
    except (ValueError, binascii.Error):
        raise UnreadableError("it is no pickle") from None
    reader = _Reader(io.BytesIO(data))
    try:
        return _settled(reader.load())
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"it cannot be read ({type(error).__name__})") from None


class _Row:
    """Stand for a model instance in a pickle."""

    def __init__(self, model: Any, *_more: Any) -> None:
        self.model = model
        self.held: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.held = state


class _Ignored:
    """Stand for what belongs to a model instance and is not needed."""

    def __init__(self, *_more: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Wrapped:
    """Stand for the wrapper that picklefield puts around some values."""

    _obj: Any = None


class _Zone:
    """Stand for the class of time zones, of which only one thing is asked."""


class _Utc(dt.tzinfo):
    """Stand for the time zone UTC of older versions of Django."""

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta()

    def dst(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta()

    def tzname(self, when: dt.datetime | None) -> str:
        return "UTC"


def _encode(text: str, encoding: str) -> bytes:
    """Make bytes as protocols without them do."""
    if encoding not in ("latin1", "latin-1"):
        raise UnreadableError(f"it encodes text as {encoding[:20]}")
    return text.encode("latin1")


def _zone(key: str, *_more: Any) -> dt.tzinfo:
    return zoneinfo.ZoneInfo(key)


def _attribute(of: object, name: str) -> Any:
    """Do what `getattr` does, for the one thing that needs it."""
    if of is not _Zone or name != "_unpickle":
        raise UnreadableError("it looks something up")
    return _zone


def _dictionary(*_factory: Any) -> dict[Any, Any]:
    return {}


def _builtin(kind: type) -> tuple[tuple[str, str], Any]:
    return ("builtins", kind.__name__), kind


_ALLOWED: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    **dict(
        map(
            _builtin,
            (
                bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, range,
                set, slice, str, tuple,
            ),
        )
    ),
    ("datetime", "date"): dt.date,
    ("datetime", "datetime"): dt.datetime,
    ("datetime", "time"): dt.time,
    ("datetime", "timedelta"): dt.timedelta,
    ("datetime", "timezone"): dt.timezone,
    ("builtins", "getattr"): _attribute,
    ("zoneinfo", "ZoneInfo"): _Zone,
    ("zoneinfo", "ZoneInfo._unpickle"): _zone,
    ("backports.zoneinfo", "ZoneInfo"): _Zone,
    ("backports.zoneinfo", "ZoneInfo._unpickle"): _zone,
    ("pytz", "_UTC"): _Utc,
    ("pytz", "_p"): _zone,
    ("django.utils.timezone", "UTC"): _Utc,
    ("django.utils.timezone", "utc"): _Utc,
    ("decimal", "Decimal"): decimal.Decimal,
    ("uuid", "UUID"): uuid.UUID,
    ("uuid", "SafeUUID"): uuid.SafeUUID,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): _dictionary,
    ("collections", "deque"): collections.deque,
    ("_codecs", "encode"): _encode,
    ("django.utils.safestring", "SafeString"): str,
    ("django.utils.safestring", "SafeText"): str,
    ("django.utils.safestring", "SafeUnicode"): str,
    ("django.db.models.base", "model_unpickle"): _Row,
    ("django.db.models.base", "simple_class_factory"): _Ignored,
    ("django.db.models.base", "ModelState"): _Ignored,
    ("picklefield.fields", "_ObjectWrapper"): _Wrapped,
}  # fmt: skip

#: Modules of Python 2.
_RENAMED: Final = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def _reconstruct(kind: Any, base: Any, state: Any) -> Any:
    """Do what `copyreg._reconstructor` does, for the kinds that stand here."""
    if kind is _Wrapped or kind is _Ignored or kind is _Utc:
        return kind()
    if kind is uuid.UUID and base is object:
        return object.__new__(uuid.UUID)
    if kind not in _ALLOWED.values() or base is object:
        raise UnreadableError("it makes an object of an unknown kind")
    return base.__new__(kind, state)


class _Reader(pickle.Unpickler):
    """Read a pickle with these names and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """Give what a name stands for."""
        module = _RENAMED.get(module, module)
        if (module, name) == ("copyreg", "_reconstructor"):
            return _reconstruct
        if module == "django.db.models.fetch_modes":
            return _Ignored
        found = _ALLOWED.get((module, name))
        if found is None:
            raise UnreadableError(f"it holds more than plain data: {module}.{name}"[:200])
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what is stored elsewhere."""
        raise UnreadableError("it refers to something that is stored elsewhere")


def _settled(value: Any) -> Any:
    """Put in place what stood for something else."""
    kind = type(value)
    if kind is _Row:
        return _instance(value)
    if kind is _Wrapped:
        return _settled(value._obj)
    if kind in (_Ignored, _Zone, _Utc) or callable(value):
        raise UnreadableError("it holds more than plain data")
    if kind in (dict, collections.OrderedDict):
        return {_settled(key): _settled(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind([_settled(item) for item in value])
    if kind is collections.deque:
        return [_settled(item) for item in value]
    return value


def _instance(row: _Row) -> Any:
    """Give the instance that a pickle stands for, known by its key alone."""
    try:
        model = apps.get_model(*row.model)
    except (LookupError, TypeError, ValueError):
        raise UnreadableError("it holds an instance of a model that there is not") from None
    key = model._meta.pk.attname
    held = row.held.get(key) if isinstance(row.held, dict) else None
    if held is None:
        raise UnreadableError(f"it holds a {model._meta.label} that was never saved")
    return model.from_db(router.db_for_write(model), [key], [_settled(held)])
