"""Something that fails again and again: said once, and tried with growing pauses."""

import asyncio
import logging
import random
import time

log = logging.getLogger("pgqueue.worker")

_FIRST = 0.1
_CAP = 1.0
#: Seconds without a failure after which the next one is news.
_CALM = 10.0


class Trouble:
    """Failures of one thing: one line when they begin, and one when they are over.

    A server that lets us in and throws us out looks well in between, so what ends trouble is that
    nothing fails for a while, and not that something works.

    Args:
        what: whose trouble it is, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._failed_at = -_CALM
        self._pause = _FIRST
        self._failures = 0

    def failed(self, said: object) -> float:
        """Note a failure; give the seconds to wait before the next try."""
        now = time.monotonic()
        if now - self._failed_at >= _CALM:
            self._pause, self._failures = _FIRST, 0
            log.warning("%s: %s; trying again", self._what, said)
        else:
            log.debug("%s: %s", self._what, said)
        self._failed_at = now
        self._failures += 1
        # Full jitter, so that a hundred workers do not come back at one moment.
        pause = self._pause * random.random()
        self._pause = min(_CAP, 2 * self._pause)
        return pause

    async def wait(self, said: object) -> None:
        """Note a failure, and wait before the next try."""
        await asyncio.sleep(self.failed(said))

    def works(self) -> None:
        """Note that it has worked."""
        if self._failures and time.monotonic() - self._failed_at >= _CALM:
            if self._failures > 1:
                log.info("%s: steady again after %d failures", self._what, self._failures)
            self._failures = 0
