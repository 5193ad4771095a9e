"""Hear of the ends of jobs in coroutines; the twin of ``ends``, one connection an event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from pgqueue.core.errors import PgQueueError
from pgqueue.db.ends import CHANNEL, LINGER, LINGER_LENT, ids_of, notified

#: Seconds between two attempts to connect.
_AGAIN: Final = 1.0


class AsyncEnds:
    """Wake coroutines of one event loop when jobs end.

    Args:
        connect: opens a connection.
        lent: whether all other calls go over the connections of a framework.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[psycopg.AsyncConnection[TupleRow]]],
        *,
        lent: bool = False,
    ) -> None:
        self._connect = connect
        self._lent = lent
        self._of_id: dict[int, list[asyncio.Event]] = {}
        self._opening = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None
        self._tried = float("-inf")
        self._visits = 0

    @contextlib.asynccontextmanager
    async def watch(self, ids: Collection[int]) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set when one of these ids is told; see `Ends.watch`."""
        event = asyncio.Event()
        for one in ids:
            self._of_id.setdefault(one, []).append(event)
        self._visits += 1
        try:
            await self.open()
            yield event
        finally:
            for one in ids:
                self._of_id[one].remove(event)
                if not self._of_id[one]:
                    del self._of_id[one]
            if not self._of_id:
                asyncio.get_running_loop().call_later(
                    LINGER_LENT if self._lent else LINGER, self._linger, self._visits
                )

    async def open(self) -> None:
        """Listen, unless that is so already, or failed just now."""
        loop = asyncio.get_running_loop()
        async with self._opening:
            if self._connection is not None or loop.time() - self._tried < _AGAIN:
                return
            self._tried = loop.time()
            with contextlib.suppress(psycopg.Error, PgQueueError):
                connection = await self._connect()
                try:
                    await connection.execute(f"LISTEN {CHANNEL}")
                except BaseException:
                    connection.pgconn.finish()
                    raise
                self._connection = connection
                loop.add_reader(connection.fileno(), self._readable)

    def _linger(self, visits: int) -> None:
        if visits == self._visits and not self._of_id:
            self.drop()
            self._tried = float("-inf")

    def drop(self) -> None:
        """Close the connection; the next who waits opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, RuntimeError):
                asyncio.get_running_loop().remove_reader(connection.fileno())
            connection.pgconn.finish()

    def _readable(self) -> None:
        if self._connection is None:
            return
        try:
            for payload in notified(self._connection.pgconn):
                for one in ids_of(payload):
                    for event in self._of_id.get(one, ()):
                        event.set()
        except psycopg.Error:
            self.drop()
            self._tried = float("-inf")
            for events in self._of_id.values():
                for event in events:
                    event.set()
