"""See that what is ready is also taken: the last resort against a fault that nobody thought of."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("pgqueue.worker")

#: Seconds for which jobs may be ready while an idle worker takes none.
_PATIENCE = 30.0


class Progress:
    """Connect anew when jobs are ready, the worker is idle, and nothing is taken.

    Args:
        taken: gives how many jobs were taken so far.
        idle: tells whether the worker would take one.
        reconnect: gives up every connection of the worker.
        clock: gives seconds.
    """

    def __init__(
        self,
        *,
        taken: Callable[[], int],
        idle: Callable[[], bool],
        reconnect: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._taken = taken
        self._idle = idle
        self._reconnect = reconnect
        self._clock = clock
        self._since: float | None = None
        self._last = 0
        self._said = False

    def beaten(self, waiting: bool) -> None:
        """Hear what a heartbeat has told.

        Args:
            waiting: a job is ready; that may also be one whose row somebody holds.
        """
        taken = self._taken()
        if not waiting or taken != self._last or not self._idle():
            self._said = self._said and waiting and taken == self._last
            self._since, self._last = None, taken
            return
        now = self._clock()
        if self._since is None:
            self._since = now
        elif now - self._since >= _PATIENCE:
            self._since = None
            if not self._said:
                log.warning(
                    "jobs have been ready for %.0f s and none could be taken; connecting again; "
                    "if that does not help, look for a transaction that holds their rows",
                    _PATIENCE,
                )
                self._said = True
            self._reconnect()
