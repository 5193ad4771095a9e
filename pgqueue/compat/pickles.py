"""Values that JSON cannot express, as signed pickles: only in jobs of the facades, only there.

What the codec refuses, an unsaved model or an object of a class of the application's, is pickled
and signed with SECRET_KEY, for one task in one queue. In the row it is the tagged value `pickle`,
which the codec reads as something sealed; only the code of a facade opens it, and only when the
signature is right. The native API has no pickle: without a facade the tag is unknown and the job
fails.
"""

import base64
import binascii
import hmac
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.crypto import salted_hmac

from pgqueue.core import codec, tagged
from pgqueue.core.errors import DecodeError, NotSerializableError
from pgqueue.django import conf

TAG: Final = "pickle"
_SALT: Final = "pgqueue.compat.pickle"
#: Values that are looked at one by one; of more, each argument is one pickle, and what is deeper.
_MOST: Final = 10_000
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickled:
    """A value that was pickled, and is not opened yet.

    Attributes:
        mac: the signature, hexadecimal.
        data: the pickle.
    """

    mac: str
    data: bytes

    def __repr__(self) -> str:
        return f"<signed pickle of {len(self.data)} bytes>"


class PickleRefusedError(DecodeError):
    """Say that a pickle is not opened: the setting forbids it, or its signature is wrong."""

    __module__ = "pgqueue.compat"


def register() -> None:
    """Let arguments and results hold signed pickles, sealed. Call it in `AppConfig.ready()`."""
    tagged.register(TAG, Pickled, _write, _read)


def pack(value: Any, *, task: str, queue: str) -> Any:
    """Give a value in which everything that the codec refuses is a signed pickle.

    Args:
        value: arguments as a list or dictionary, or a result.
        task: the name of the task, with the facade's prefix.
        queue: of the job.

    Raises:
        NotSerializableError: the setting forbids pickles, or something cannot be pickled either.
    """
    try:
        codec.dumps(value)
    except NotSerializableError as error:
        if not conf.pickle():
            raise NotSerializableError(f'{error}; PGQUEUE["PICKLE"] is False', error.path) from None
    else:
        return value
    packing = _Packing(task, queue)
    try:
        return packing.walk(value, 0)
    except _TooManyError:
        return packing.outside(value)


def unpack(
    value: Any, *, task: str, queue: str, producers_queue: Callable[[], str | None] | None = None
) -> Any:
    """Open the signed pickles in a value.

    Args:
        value: what the codec has read.
        task: of the job.
        queue: of the job.
        producers_queue: gives the queue that the job was enqueued for, when it is in another now.

    Raises:
        PickleRefusedError: the setting forbids pickles, or a signature is wrong.
        DecodeError: the pickle cannot be read, as when its class is gone.
    """
    kind = type(value)
    if kind is Pickled:
        return _open(value, task, queue, producers_queue)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return kind(
            [
                unpack(item, task=task, queue=queue, producers_queue=producers_queue)
                for item in value
            ]
        )
    if kind is dict:
        return {
            key: unpack(item, task=task, queue=queue, producers_queue=producers_queue)
            for key, item in value.items()
        }
    return value


class _TooManyError(Exception):
    """Stop a walk: too many values to look at each."""


class _Packing:
    """One walk over one value."""

    def __init__(self, task: str, queue: str) -> None:
        self._task = task
        self._queue = queue
        self._left = _MOST

    def walk(self, value: Any, depth: int) -> Any:
        """Give a value with pickles in the place of what the codec refuses."""
        self._left -= 1
        kind = type(value)
        if kind is list or kind is tuple or kind is set or kind is frozenset or kind is dict:
            if self._left < len(value):
                raise _TooManyError
            if depth >= _DEEPEST:
                return self._seal(value)
            if kind is not dict:
                return kind([self.walk(item, depth + 1) for item in value])
            if all(type(key) is str and _is_storable(key) for key in value):
                return {key: self.walk(item, depth + 1) for key, item in value.items()}
            return self._seal(value)
        return value if _is_storable(value) else self._seal(value)

    def outside(self, value: Any) -> Any:
        """Give the same, looking at the outermost values only."""
        if type(value) is list:
            return [item if _is_storable(item) else self._seal(item) for item in value]
        if type(value) is dict and all(type(key) is str and _is_storable(key) for key in value):
            return {
                key: item if _is_storable(item) else self._seal(item) for key, item in value.items()
            }
        return self._seal(value)

    def _seal(self, value: Any) -> Pickled:
        try:
            data = pickle.dumps(value)
        except Exception as error:
            raise NotSerializableError(
                f"a value of type {tagged.type_name(value)} can neither be stored as JSON nor be "
                f"pickled ({type(error).__name__}); pass what identifies it, as its id"
            ) from None
        return Pickled(mac=_mac(data, self._task, self._queue, settings.SECRET_KEY), data=data)


def _is_storable(value: Any) -> bool:
    try:
        codec.dumps(value)
    except NotSerializableError:
        return False
    return True


def _open(
    sealed: Pickled, task: str, queue: str, producers_queue: Callable[[], str | None] | None
) -> Any:
    if not conf.pickle():
        raise PickleRefusedError('PGQUEUE["PICKLE"] is False and the job has a pickled value')
    if not _is_signed(sealed, task, queue):
        first = producers_queue() if producers_queue is not None else None
        if first is None or first == queue or not _is_signed(sealed, task, first):
            raise PickleRefusedError(
                f"a pickled value is not signed for the task {task} in the queue {queue} with "
                "SECRET_KEY or one of SECRET_KEY_FALLBACKS"
            )
    try:
        return pickle.loads(sealed.data)
    except Exception as error:
        raise DecodeError(
            f"a pickled value cannot be read ({type(error).__name__}); its class may have changed"
        ) from error


def _is_signed(sealed: Pickled, task: str, queue: str) -> bool:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(hmac.compare_digest(sealed.mac, _mac(sealed.data, task, queue, key)) for key in keys)


def _mac(data: bytes, task: str, queue: str, key: str) -> str:
    names = [name.encode() for name in (task, queue)]
    # With their lengths, so that nothing can be moved from one to the other.
    text = b"".join(b"%d:%b" % (len(name), name) for name in names) + data
    return str(salted_hmac(_SALT, text, secret=key, algorithm="sha256").hexdigest())


def _write(value: Pickled) -> dict[str, str]:
    held = f"{value.mac}:{base64.b64encode(value.data).decode()}"
    return {tagged.TAG: TAG, tagged.VALUE: held}


def _read(held: Any) -> Pickled:
    mac, colon, text = held.partition(":")
    if not colon:
        raise ValueError
    return Pickled(mac=mac, data=binascii.a2b_base64(text.encode("ascii"), strict_mode=True))
