"""How a call becomes a job: its arguments as JSON, and the options checked against each other."""

import re
from collections.abc import Callable
from typing import Final

import orjson

from pgqueue.core import codec, tagged
from pgqueue.core.errors import ConfigurationError, NotSerializableError
from pgqueue.core.options import EnqueueOptions
from pgqueue.db.statements.adding import JobSpec

_OBJECT: Final = f'"{tagged.TAG}":"{tagged.OBJECT_TAG}"'.encode()
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def spec_of(
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    options: EnqueueOptions,
    unique_key: str | None = None,
    complain: Callable[[int], str] | None = None,
    concurrency_key: str | None = None,
    fair_key: str | None = None,
    keys: Callable[[int], tuple[str | None, str | None]] | None = None,
) -> JobSpec:
    """Encode the arguments of a job.

    Raises:
        ConfigurationError: the options say how a unique key is kept, and there is none.
        NotSerializableError: one of them cannot be stored, or all together are too large.
    """
    positional = codec.dumps(list(args), path="$.args") if args else b"[]"
    named = codec.dumps(kwargs, path="$.kwargs") if kwargs else b"{}"
    if _OBJECT in positional or _OBJECT in named:
        options = _with_objects(options, positional, named)
    meta = b"" if options.meta is None else codec.dumps(options.meta, path="$.meta", name="meta")
    if len(positional) + len(named) + len(meta) > codec.MAX_BYTES // 2:
        _check_size(positional, named, meta)
    if unique_key is None:
        options.check_keyless()
    if concurrency_key is None and options.rate is not None:
        concurrency_key = f"rate:{name}"
    if concurrency_key is None and options.max_running is not None and keys is None:
        raise ConfigurationError("max_running limits a key; give concurrency_key= with it")
    if concurrency_key is not None and fair_key is not None:
        raise ConfigurationError(
            "concurrency_key and fair_key exclude each other; give only one of them"
        )
    return JobSpec(
        task=name,
        args=positional.decode(),
        kwargs=named.decode(),
        options=options,
        unique_key=unique_key,
        complain=complain,
        concurrency_key=concurrency_key,
        fair_key=fair_key,
        keys=keys,
    )


def _with_objects(options: EnqueueOptions, *parts: bytes) -> EnqueueOptions:
    """Note in the job's meta which rows it was given: an index finds it there."""
    names = tagged.object_names([orjson.loads(part) for part in parts])
    return options.updated(meta={**(options.meta or {}), tagged.OBJECTS: names})


def _check_size(*parts: bytes) -> None:
    """Refuse here what the server would: there it would spoil the caller's transaction.

    The server counts JSON as it writes it, with a space behind each comma and colon.
    """
    size = 0
    for part in parts:
        bare = _STRING.sub(b"", part)
        size += len(part) + bare.count(b",") + bare.count(b":")
    if size > codec.MAX_BYTES:
        raise NotSerializableError(
            f"arguments and meta must be at most {codec.MAX_BYTES} bytes of JSON together, written "
            f"with a space behind each comma and colon; got {size}; store the data elsewhere and "
            "pass its id"
        )
