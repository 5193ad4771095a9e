"""Tasks that tell exactly what arrived, and have names that are hard to write."""

import datetime as dt
import hashlib
from typing import Any

from pgqueue import task

#: Longer descriptions are told by their hash.
_LONGEST = 200

ODD_NAMES = (
    "d'oh",
    'say "hi"',
    "100 %",
    "%s %(x)s {0}",
    "a;b; DROP TABLE pgqueue.jobs; --",
    "line\nbreak\ttab",
    "back\\slash",
    "żółć 日本語 🐘",
    "\u202egnol",
    "<script>alert(1)</script>",
    "x" * 200,
    "é" * 100,
    "pgqueue_control",
    "$1",
)


def shape(value: object) -> str:
    """Describe a value so that whatever differs in type or value differs here too."""
    text = _shape(value)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text if len(text) <= _LONGEST else f"{text[:40]}… {digest}"


def _shape(value: Any) -> str:
    opened: list[str] = []
    # Wrappers of one item are unfolded, so that depth is no matter of the stack.
    while type(value) in (list, tuple) and len(value) == 1:
        opened.append(type(value).__name__)
        value = value[0]
    return "".join(f"{name}(" for name in opened) + _leaf(value) + ")" * len(opened)


def _leaf(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, dict):
        items = sorted(f"{key!r}: {_shape(value[key])}" for key in value)
        return f"{kind}({', '.join(items)})"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(map(_shape, value)))})"
    if isinstance(value, list | tuple):
        return f"{kind}({', '.join(map(_shape, value))})"
    if isinstance(value, dt.datetime):
        return f"{kind} {value.astimezone(dt.UTC)}"
    return f"{kind} {value!r}"


@task
def tell(value: Any, *_others: object) -> str:
    return shape(value)


for _name in ODD_NAMES:

    @task(name=_name)
    def _odd(value: Any, *_others: object) -> str:
        return shape(value)
