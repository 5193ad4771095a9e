"""Which processes a worker runs jobs in, told to the database when that has changed."""

import asyncio
import contextlib
from collections.abc import Sequence

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.children import ChildProcess
from pgqueue.worker.recycle import Recycler


class Census:
    """Tell of the children beside a sign of life.

    Args:
        recycler: who knows how many there were.
        processes: how many there should be.
        children: those that there are.
    """

    def __init__(
        self, recycler: Recycler, processes: int, children: Sequence[ChildProcess]
    ) -> None:
        self._recycler = recycler
        self._processes = processes
        self._children = children
        self._told: tuple[int, list[int], int] = (0, [], 0)
        self._telling: asyncio.Future[None] | None = None

    def tell(self, session: Session, worker_id: int) -> None:
        """Write down the children, unless nothing has changed; nobody need wait for that."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._tell(session, worker_id))

    async def _tell(self, session: Session, worker_id: int) -> None:
        pids = [child.pid for child in self._children if child.ready]
        replaced = max(0, self._recycler.forked - self._processes)
        now = (worker_id, pids, replaced)
        if now != self._told and (pids or self._told[0]):
            with contextlib.suppress(ConnectionLostError, StatementError):
                await worker_calls.tell_children(session, worker_id, pids, replaced)
                self._told = now
