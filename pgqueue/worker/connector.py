"""Connections of the worker: opened however long it takes, one line for each change of state."""

import asyncio
import logging
import random
from collections.abc import Callable

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import connections
from pgqueue.db.session import CAP, LISTENER_CAP, Session
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.lease import Lease

log = logging.getLogger("pgqueue.worker")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Connector:
    """Open the connections of one worker.

    Args:
        config: where to.
        lease: told when the server is down.
    """

    def __init__(self, config: WorkerConfig, lease: Lease) -> None:
        self._config = config
        self._lease = lease
        self._away: dict[str, float] = {}
        # When a server could last be reached.
        self._reached: dict[str, float] = {}

    @property
    def away_since(self) -> float | None:
        """When a server could first not be reached, by the lease's clock; None while all can."""
        return min(self._away.values(), default=None)

    async def open(self) -> Session:
        """Open a connection for statements."""
        return await self._open(self._config.dsn, None, CAP)

    async def open_listener(self, on_notify: Callable[[str, str], None]) -> Session:
        """Open the connection that listens.

        Args:
            on_notify: called with channel and payload of each notification.
        """
        dsn = self._config.listen_dsn or self._config.dsn
        return await self._open(dsn, on_notify, LISTENER_CAP)

    async def _open(
        self, dsn: str, on_notify: Callable[[str, str], None] | None, cap: float
    ) -> Session:
        pause = _FIRST_PAUSE
        while True:
            began = self._lease.clock()
            try:
                session = await Session.open(dsn, on_notify, cap=cap)
            except ConnectionLostError as error:
                if connections.says_server_is_down(error):
                    self._note_down(dsn)
                # One that began before the other connection was opened tells nothing new.
                if dsn not in self._away and began >= self._reached.get(dsn, 0.0):
                    log.warning("%s; trying until it works", error)
                    self._away[dsn] = self._lease.clock()
                # Full jitter, so that a hundred workers do not come back at one moment.
                await asyncio.sleep(pause * random.random())
                pause = min(_LONGEST_PAUSE, 2 * pause)
                continue
            self._reached[dsn] = self._lease.clock()
            if self._away.pop(dsn, None) is not None:
                log.info("connected again")
            return session

    def _note_down(self, dsn: str) -> None:
        # A pooler that is down tells nothing about the server behind it.
        if dsn == (self._config.listen_dsn or dsn):
            self._lease.server_down(self._lease.clock())
