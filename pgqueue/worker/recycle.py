"""When a child has lived long enough: it has run so many jobs, or has grown too large."""

import contextlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from pgqueue.worker.children import ChildProcess

log = logging.getLogger("pgqueue.worker")

#: Seconds between two looks at the memory of the children, and between two complaints.
_LOOK_EVERY = 1.0
_COMPLAIN_EVERY = 60.0


class Recycler:
    """Choose the children to replace.

    Args:
        processes: how many children there are.
        max_jobs: how many jobs each may get; None for any number.
        max_rss: bytes of memory above which one is replaced; None for never.

    Attributes:
        forked: how many children there were.
    """

    def __init__(self, processes: int, max_jobs: int | None, max_rss: int | None) -> None:
        self._processes = processes
        self._max_jobs = max_jobs
        self._max_rss = max_rss
        self.forked = 0
        self._looked_at = 0.0
        self._complained_at = 0.0
        if max_rss is not None and resident(os.getpid()) is None:
            log.warning("this system does not tell what memory a process uses: max_rss is ignored")

    def allow(self) -> int | None:
        """Give how many jobs the next child may get.

        Those that start together would end together, so the first ones get less, down to a half.
        """
        place = min(self.forked, self._processes)
        self.forked += 1
        if self._max_jobs is None:
            return None
        return self._max_jobs - self._max_jobs * (place % self._processes) // (2 * self._processes)

    def choose(self, children: Iterable[ChildProcess]) -> list[tuple[ChildProcess, str]]:
        """Give the children to replace now, each with the reason."""
        alive = [child for child in children if child.ready and not child.retiring]
        chosen = [(child, f"it got {child.given} jobs") for child in alive if child.is_used_up]
        alive = [child for child in alive if not child.is_used_up]
        chosen += [(child, "tasks left threads in it") for child in alive if child.worn]
        large = self._largest([child for child in alive if not child.worn])
        return chosen if large is None else [*chosen, large]

    def _largest(self, children: list[ChildProcess]) -> tuple[ChildProcess, str] | None:
        """Look at the memory now and then; one at a time, so that never all end together."""
        now = time.monotonic()
        if self._max_rss is None or now - self._looked_at < _LOOK_EVERY:
            return None
        self._looked_at = now
        sizes = [(resident(child.pid) or 0, child) for child in children]
        size, child = max(sizes, key=lambda pair: pair[0], default=(0, None))
        if child is None or size <= self._max_rss:
            return None
        if not child.answered:
            # Another one would be no smaller.
            if now - self._complained_at > _COMPLAIN_EVERY:
                self._complained_at = now
                log.warning(
                    "max_rss is %d MB, and a child that has run no job uses %d MB",
                    self._max_rss >> 20, size >> 20,
                )  # fmt: skip
            return None
        return child, f"it uses {size >> 20} MB"


def resident(pid: int) -> int | None:
    """Give the bytes of memory that a process uses; None where nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
