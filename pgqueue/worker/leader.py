"""What one worker does for all: make due jobs ready on time, rescue, expire, prune, file strays.

Every worker could do it at any moment without harm; the leader lock only avoids double work.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.fetcher import Fetcher, fail
from pgqueue.worker.firing import Firing
from pgqueue.worker.trouble import Trouble

log = logging.getLogger("pgqueue.worker")

#: Longest wait between two looks at what is due, in seconds.
_TIMER = 1.0
_RESCUE_EVERY = 0.9
_SWEEP_EVERY = 10.0
_SWEEP_JOBS = 1000
#: Ids are looked at once more after this long, for rows that committed late.
_STRAYS_AGAIN = 600.0


class Leader:
    """Tend the queue while this worker leads.

    Args:
        listener: gives the listener session, or None while it is away.
        declared: gives the schedules that the application declares, or None.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        listener: Callable[[], Session | None],
        declared: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._fetcher = fetcher
        self._listener = listener
        self._due = asyncio.Event()
        self._trouble = Trouble("leader")
        self._firing = Firing(fetcher, declared)
        self._floor: bytes | None = None
        self._floors = worker_calls.Floors()
        self._strays_before = b"0"
        self._armed_on: Session | None = None
        self._full_at = self._rescued_at = self._swept_at = self._strays_at = 0.0
        #: Set while this worker leads.
        self.leads = asyncio.Event()

    def ring(self) -> None:
        """Say that a job falls due soon."""
        self._due.set()

    def lead(self, leads: bool) -> None:
        """Begin or end leading."""
        if leads and not self.leads.is_set():
            log.info("leading: promotes, rescues and prunes for all workers")
            self.leads.set()
        elif not leads:
            self.leads.clear()

    async def run(self) -> None:
        """Tend until cancelled."""
        await asyncio.gather(self._tend(), self._firing.declare())

    async def _tend(self) -> None:
        while True:
            await self.leads.wait()
            try:
                wait = await self.run_once()
                self._trouble.works()
            except ConnectionLostError as error:
                wait = 0.05 + self._trouble.failed(error)
            except StatementError as error:
                if not error.may_pass:
                    raise
                wait = 0.5 + self._trouble.failed(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), wait)
                # Rings that follow closely are answered together.
                await asyncio.sleep(0.002)
            self._due.clear()

    async def run_once(self) -> float:
        """Do what is due now; give the seconds until there is more to do."""
        await self._arm()
        async with self._fetcher.turn:
            session = await self._fetcher.session()
            now = time.monotonic()
            full = now - self._full_at >= _TIMER
            promotion = await worker_calls.promote(session, None if full else self._floor)
            self._floor = promotion.reached
            if full:
                self._full_at = now
            if now - self._rescued_at >= _RESCUE_EVERY:
                self._rescued_at = now
                workers, jobs = await worker_calls.rescue(session, _SWEEP_JOBS)
                if workers or jobs:
                    log.warning("rescued %d jobs of %d lost workers", jobs, workers)
                if jobs >= _SWEEP_JOBS:
                    # There is more; others get their turn first.
                    self._rescued_at = 0.0
                    self._due.set()
            if now - self._swept_at >= _SWEEP_EVERY:
                self._swept_at = now
                fail(session, "sweep_mid_batch")
                await self._sweep(session, now)
        if promotion.moved:
            self._fetcher.look("look")
        due_in = min(
            _TIMER if promotion.due_in is None else promotion.due_in,
            await self._firing.run(promotion.fire_in, _TIMER),
        )
        # Never quite zero: a row that another session has locked stays due.
        return min(_TIMER, max(0.0005, due_in))

    async def _sweep(self, session: Session, now: float) -> None:
        floors = self._floors
        if now - self._strays_at >= _STRAYS_AGAIN:
            self._strays_at = now
            floors.strays, self._strays_before = self._strays_before, floors.strays
            # Full scans again for these too, for the same reason.
            floors.expire = floors.prune = None
        before = floors.strays
        most = await worker_calls.sweep(session, floors, _SWEEP_JOBS)
        if most >= _SWEEP_JOBS or floors.strays != before:
            self._swept_at = now - _SWEEP_EVERY + 1.0

    async def _arm(self) -> None:
        """Ask to be rung when a job falls due before the timer ends, once a listener session.

        The lock is kept while the session lives: a ring is one notification for each commit that
        files a job due within two seconds, and those are rare beside plain ones. A writer that was
        under way when it was taken is found by the timer.
        """
        session = self._listener()
        if session is None or session is self._armed_on or session.lost.done():
            return
        if session.shared:
            return  # no lock can be held there
        with contextlib.suppress(ConnectionLostError, StatementError):
            armed, _writers = await worker_calls.arm(session, b"{}", True)
            if armed:
                self._armed_on = session
