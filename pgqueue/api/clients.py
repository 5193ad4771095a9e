"""The two clients of one database, as the app, its tasks and its handles share them."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from pgqueue.db.async_client import AsyncClient
from pgqueue.db.callers import Lender
from pgqueue.db.client import Client

T = TypeVar("T")


class Clients:
    """Hold the sync and the async client of one database.

    Args:
        dsn: where their own connections go.
        lender: whose connections are used instead; None for nobody's.
    """

    __slots__ = ("_dsn", "_lender", "asynchronous", "sync")

    def __init__(self, dsn: str | None, lender: Lender | None = None) -> None:
        self._dsn = dsn
        self._lender = lender
        self.sync = Client(dsn, lender)
        self.asynchronous = AsyncClient(dsn, lender)

    @property
    def dsn(self) -> str | None:
        """Where the database is, as it was given or as the lender says."""
        return self._dsn if self._lender is None else self._lender.dsn()

    async def aside(self, call: Callable[[], T]) -> T:
        """Make calls of the sync client from a coroutine, in a thread where they may be made."""
        if self._lender is not None:
            return await self._lender.aside(call)
        return await asyncio.to_thread(call)
