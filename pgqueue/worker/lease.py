"""How long a worker may believe that its jobs are still its own, while it cannot ask.

Others take its jobs over when its lease is over, or, where it holds the lock that stands for its
life, soon after that lock is free (see ``sql/*/74_rescue.sql``). By then nothing may run here any
more. Only clocks of this machine are asked.
"""

import time
from collections.abc import Callable

#: Seconds without a sign of life after which others may rescue a worker whose lock is free are 8.
_LOCK = 7.0
#: Longest time between two signs of life with which that can be kept.
_LOCK_HEARTBEAT = 2.5
#: A lease shorter than this, in seconds, has no room for the margin of the others.
_SHORT = 6.0


def clock() -> float:
    """Give seconds that also pass while the machine is asleep, where it can tell them."""
    which = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if which is None else time.clock_gettime(which)


class Lease:
    """What this worker knows of its lease.

    Args:
        lease: seconds.
        heartbeat: seconds between its signs of life.
        clock: gives the seconds.

    Attributes:
        wants_lock: whether the worker should hold the lock that stands for its life. With rare
            signs of life it could not be sure in time that it still does.
        has_lock: it does, or did: others may look at that lock.
    """

    def __init__(
        self, lease: float, heartbeat: float = 2.0, clock: Callable[[], float] = clock
    ) -> None:
        self.clock = clock
        self.wants_lock = heartbeat <= _LOCK_HEARTBEAT
        self.has_lock = False
        self._limit = 0.6 * lease if lease < _SHORT else lease - max(2.0, lease / 10)
        self._renewed = self._down = clock()

    def renewed(self, sent_at: float) -> None:
        """Note a sign of life that the server has taken.

        Args:
            sent_at: when it was sent: the server counts from a later moment.
        """
        self._renewed = max(self._renewed, sent_at)

    def server_down(self, seen_at: float) -> None:
        """Note that the server was seen to be down, so that nobody can take a job over.

        Whoever rescues by the lock must have been connected for 10 seconds after it is up again.
        """
        self._down = max(self._down, seen_at)

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life that the server has taken."""
        return self.clock() - self._renewed

    def is_over(self) -> bool:
        """Tell whether others may have this worker's jobs."""
        now = self.clock()
        if now - self._renewed >= self._limit:
            return True
        return self.has_lock and now - max(self._renewed, self._down) >= min(_LOCK, self._limit)
