"""Which jobs count as the same: unique keys, and what may be said about them.

A key that is made from arguments holds a digest of them, not the arguments: keys are shown to
people, and stand in errors.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from pgqueue.core import codec
from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import to_delta
from pgqueue.core.tagged import TAG, VALUE

MAX_KEY_BYTES: Final = 1000
#: How long a job keeps its key.
WHILE: Final = ("live", "waiting")
#: What a duplicate does.
ON_DUPLICATE: Final = ("ignore", "replace", "reschedule", "error")
MAX_UNIQUE_FOR: Final = dt.timedelta(days=3660)


def check_key(value: object, option: str) -> str:
    """Give back a key, or raise ConfigurationError."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{option} must be a non-empty string; got {shown(value)}")
    try:
        size = len(value[: MAX_KEY_BYTES + 1].encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{option} must be text without lone surrogates") from None
    if size > MAX_KEY_BYTES:
        raise ConfigurationError(f"{option} must be at most {MAX_KEY_BYTES} bytes")
    if "\0" in value:
        raise ConfigurationError(f"{option} must be text without NUL")
    return value


def check_word(value: object, option: str, known: tuple[str, ...]) -> str:
    """Give back one of the words of an option, or raise ConfigurationError."""
    if not isinstance(value, str) or value not in known:
        near = suggest(value, known) if isinstance(value, str) else ""
        raise ConfigurationError(
            f"{option} must be one of {', '.join(known)}; got {shown(value)}{near}"
        )
    return value


def check_period(value: object) -> dt.timedelta:
    """Give how long a key is kept, or raise ConfigurationError."""
    period = to_delta(value, "unique_for")
    if not dt.timedelta(0) < period <= MAX_UNIQUE_FOR:
        raise ConfigurationError(
            f"unique_for must be above 0 and at most 3660 days; got {shown(value)}"
        )
    return period


def check_names(value: object, option: str) -> tuple[str, ...] | bool:
    """Give the names of arguments that make a key, True for all of them, False for no key.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) or not isinstance(value, tuple | list | set | frozenset):
        raise ConfigurationError(
            f"{option} must be True or a tuple of argument names, as ('order_id',); "
            f"got {shown(value)}"
        )
    for name in value:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{option} must hold argument names; got {shown(name)}")
    return tuple(sorted(value)) or False


class Unknown:
    """Stand for an argument that is not known yet: the result of another job, or what ended."""


UNKNOWN: Final = Unknown()


def key_of(task: str, arguments: Mapping[str, object], names: tuple[str, ...] | bool) -> str:
    """Make the key of a job from its arguments.

    Args:
        task: the task's name.
        arguments: by name, defaults included.
        names: which of them count; True for all. One that is not there counts as left out.

    Raises:
        NotSerializableError: one of them cannot be stored.
        ConfigurationError: one of them is not known yet.
    """
    chosen = {
        name: value
        for name, value in arguments.items()
        if names is True or (isinstance(names, tuple) and name in names)
    }
    for name, value in chosen.items():
        if value is UNKNOWN or (isinstance(value, tuple) and UNKNOWN in value):
            raise ConfigurationError(
                f"the key of a job of {task} cannot be made from '{name}', which it is given only "
                "when it starts; give concurrency_key= or fair_key= with using()"
            )
    plain = json.loads(codec.dumps(chosen, path="$.kwargs"))
    text = json.dumps(_ordered(plain), sort_keys=True, ensure_ascii=False)
    return f"{task}:{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _ordered(value: object) -> object:
    """Give sets one order, whatever they are iterated in."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _ordered(item) for name, item in value.items()}
    items = found.get(VALUE)
    if found.get(TAG) in ("set", "frozenset") and isinstance(items, list):
        found[VALUE] = sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return found
