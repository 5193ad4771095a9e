"""The sign of life of a process that runs jobs as a program, not as a worker."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db.client import Client
from pgqueue.db.statements import here as statements

_log: Final = logging.getLogger("pgqueue.compat")

#: Seconds between two signs of life, and until the first: whoever is done by then needs none.
_EVERY: Final = 2.0
_FIRST: Final = 0.5
#: Seconds for which such a process is taken to live without one: long, since a job that holds
#: Python's lock keeps the signs back.
LEASE: Final = 60.0


class Pulse:
    """Give signs of life while jobs run.

    Args:
        dsn: of the queue.
        worker_id: of this process.
        lose: called when this process is taken for dead.
    """

    def __init__(self, dsn: str | None, worker_id: int, lose: Callable[[], None]) -> None:
        self._client = Client(dsn)
        self._worker_id = worker_id
        self._lose = lose
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pgqueue-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        held = False
        if self._over.wait(_FIRST):
            return
        try:
            while True:
                try:
                    if not held:
                        self._client.run(statements.hold(self._worker_id))
                        held = True
                    is_known = self._client.run(statements.keep_alive(self._worker_id))
                except ConnectionLostError:
                    held = False
                except Exception:
                    # Whatever it is, a timeout of a statement or a deadlock, which the driver
                    # raises as its own, it may be over at the next sign, and the lease outlasts
                    # many. Without this thread the program would lose its jobs and never know.
                    _log.warning("worker %s gave no sign of life", self._worker_id, exc_info=True)
                else:
                    if not is_known:
                        self._lose()
                        return
                if self._over.wait(_EVERY):
                    return
        finally:
            self._client.close()
