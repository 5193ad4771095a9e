"""The sign of life: one statement every two seconds, which also brings the news.

It goes over the listener session. If no answer comes soon, that session may be dead without
our knowing (half-open, through a proxy), and with it the lock that stands for the worker's life. So
a second one goes over the work connection, before others think that the worker is lost.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from pgqueue.core import failpoints
from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.census import Census
from pgqueue.worker.doorbell import Doorbell
from pgqueue.worker.fetcher import Fetcher, fail
from pgqueue.worker.leader import Leader
from pgqueue.worker.lease import Lease
from pgqueue.worker.progress import Progress
from pgqueue.worker.trouble import Trouble

#: Seconds until those are asked for again that should stop and are not known here yet.
_ASK_AGAIN = 0.05
#: Seconds after which a sign of life is also given over the other connection.
_PATIENCE = 1.5


class Heartbeat:
    """Beat on the listener session.

    Args:
        queues: a text array of what the worker takes.
        every: seconds.
        fallback: seconds between looks that nobody rang for.
        on_cancels: called with jobs that should stop; true if one of them is not known here yet.
        on_unknown: called when the worker was given up as lost.
        progress: told at each beat whether jobs are ready.
        lease: told of each beat that was taken.
        census: told where to write down the children.
    """

    def __init__(
        self,
        *,
        queues: bytes,
        every: float,
        fallback: float,
        fetcher: Fetcher,
        doorbell: Doorbell,
        leader: Leader,
        on_cancels: Callable[[list[int]], bool],
        on_unknown: Callable[[], None],
        progress: Progress,
        lease: Lease,
        census: Census,
    ) -> None:
        self._queues = queues
        self._every = every
        self._fallback = fallback
        self._fetcher = fetcher
        self._doorbell = doorbell
        self._leader = leader
        self._on_cancels = on_cancels
        self._on_unknown = on_unknown
        self._progress = progress
        self._lease = lease
        self._census = census
        self._trouble = Trouble("heartbeat")
        self._otherwise: asyncio.Future[None] | None = None
        self._now = asyncio.Event()
        self._looked_at = time.monotonic()

    def soon(self) -> None:
        """Beat at once: there is news."""
        self._now.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        leads_on: object = None
        again = _ASK_AGAIN
        while True:
            await self._doorbell.connected.wait()
            session = self._doorbell.session
            if session is None or session.lost.done():
                self._leader.lead(False)
                await asyncio.sleep(0.05)
                continue
            worker_id = self._fetcher.worker_id
            try:
                if failpoints.on:
                    fail(session, "before_beat")
                sent_at = self._lease.clock()
                beat = await self._beat(session, worker_id, leads_on is session)
            except ConnectionLostError:
                self._leader.lead(False)
                continue
            except StatementError as error:
                if not error.may_pass:
                    raise
                await asyncio.sleep(0.2 + self._trouble.failed(error))
                continue
            self._trouble.works()
            leads_on = session if beat.locked else None
            self._leader.lead(beat.leader)
            if not beat.known and worker_id == self._fetcher.worker_id:
                self._on_unknown()
            if beat.known:
                self._census.tell(session, worker_id)
                was_over = self._lease.is_over()
                self._lease.renewed(sent_at)
                if was_over and not self._lease.is_over():
                    self._fetcher.look("look")
            self._progress.beaten(beat.waiting)
            # A job is seen to run before the answer to its claim arrives here.
            early = bool(beat.cancels) and self._on_cancels(beat.cancels)
            again = 2 * again if early else _ASK_AGAIN
            if beat.waiting and not self._fetcher.may_have_work:
                now = time.monotonic()
                if now - self._looked_at >= self._fallback:
                    self._looked_at = now
                    self._fetcher.look("fallback")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._now.wait(), min(again, self._every) if early else self._every
                )
            self._now.clear()

    async def _beat(self, session: Session, worker_id: int, leads: bool) -> worker_calls.Beat:
        beating = asyncio.ensure_future(worker_calls.beat(session, worker_id, self._queues, leads))
        try:
            await asyncio.wait([beating], timeout=_PATIENCE)
            if not beating.done() and (self._otherwise is None or self._otherwise.done()):
                self._otherwise = asyncio.ensure_future(self._beat_otherwise(worker_id))
            return await beating
        finally:
            beating.cancel()

    async def _beat_otherwise(self, worker_id: int) -> None:
        """Give a sign of life over the work connection; as late as that is free."""
        with contextlib.suppress(ConnectionLostError, StatementError):
            async with self._fetcher.turn:
                session = await self._fetcher.session()
                sent_at = self._lease.clock()
                beat = await worker_calls.beat(session, worker_id, self._queues, None)
            if beat.known:
                self._lease.renewed(sent_at)
