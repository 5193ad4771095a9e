"""Which queues a worker takes from, and how it chooses between them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.options import ALL_QUEUES, check_queue

MAX_WEIGHT: Final = 1_000

_WEIGHTED = re.compile(r"(.*)\*([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueList:
    """Say which queues a worker takes from, and how it chooses between them.

    Attributes:
        names: in the order given; `*` stands for every queue that is not named.
        weights: one a name when any weight was given: queues are chosen by chance in this
            proportion. Empty: strictly in order.
    """

    names: tuple[str, ...]
    weights: tuple[int, ...] = ()

    @property
    def has_all(self) -> bool:
        """Tell whether every queue is taken from."""
        return ALL_QUEUES in self.names

    def __str__(self) -> str:
        """Write it as `parse_queues` reads it."""
        if not self.weights:
            return ",".join(self.names)
        pairs = zip(self.names, self.weights, strict=True)
        return ",".join(f"{name}*{weight}" for name, weight in pairs)


def parse_queues(value: str | Iterable[str]) -> QueueList:
    """Read which queues a worker takes from.

    Args:
        value: `"mail,default*2"`, or an iterable of such items (for names with a comma): names
            in order, or with weights when any has one (the others count 1); `*` is every queue.

    Raises:
        ConfigurationError: no name, a name twice, a bad name or weight.
    """
    if not isinstance(value, Iterable):
        raise ConfigurationError(f"queues must be names; got {shown(value)}")
    items = value.split(",") if isinstance(value, str) else list(value)
    names: list[str] = []
    weights: list[int | None] = []
    for item in items:
        name, weight = _weighted(item)
        if name != ALL_QUEUES:
            check_queue(name)
        if name in names:
            raise ConfigurationError(f"queues must differ; got {shown(name)} twice")
        names.append(name)
        weights.append(weight)
    if not names:
        raise ConfigurationError("queues must name at least one queue, or * for all")
    if all(weight is None for weight in weights):
        return QueueList(names=tuple(names))
    return QueueList(names=tuple(names), weights=tuple(weight or 1 for weight in weights))


def _weighted(item: object) -> tuple[str, int | None]:
    if not isinstance(item, str):
        raise ConfigurationError(f"queues must be names; got {shown(item)}")
    text = item.strip()
    match = _WEIGHTED.fullmatch(text)
    if match is None:
        if text.endswith(ALL_QUEUES) and text != ALL_QUEUES:
            raise ConfigurationError(
                f"queues must be given as name or name*weight; got {shown(text)}"
            )
        return text, None
    name, weight = match[1], int(match[2])
    if not 1 <= weight <= MAX_WEIGHT:
        raise ConfigurationError(
            f"a queue's weight must be between 1 and {MAX_WEIGHT}; got {shown(text)}"
        )
    return name, weight
