"""The listener session: sleep so that every writer rings, wake, and never miss one in between.

This is the sleeper of the proof in ``sql/*/31_ring.sql``. The session listens, holds the locks that
tell writers somebody sleeps, gives the worker's sign of life, and finds out by a probe whether
notifications still arrive. Where they do not, as behind a transaction pooler, the worker looks for
jobs by itself (poll mode) and keeps nothing in the session.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.fetcher import Fetcher, fail
from pgqueue.worker.lease import Lease
from pgqueue.worker.stats import Stats
from pgqueue.worker.trouble import Trouble

log = logging.getLogger("pgqueue.worker")

#: Above this many rings a second the worker looks by itself instead of asking to be rung.
_MAX_RINGS = 100
#: Seconds between such looks, and how many of them must find nothing before it asks again.
_LINGER = 0.007
_QUIET_LOOKS = 3
#: Heartbeats, but no more than so many seconds, between probes; and seconds until one is heard.
_PROBE_BEATS = 7.5
_PROBE_EVERY = 15.0
_PROBE_WITHIN = 5.0
#: Seconds between looks in poll mode.
_POLL_EVERY = 0.25


class Doorbell:
    """Listen for one worker.

    Args:
        queues: a text array of what the worker takes.
        open_session: gives a new connection that calls back with notifications, waiting as long
            as it takes.
        on_due: called when a job falls due soon.
        on_cancel: called when somebody cancels a running job.
        heartbeat: seconds; the longest wait between two looks at who still writes.
        lease: says whether to hold the lock that stands for the worker's life, and is told.
        poll_every: seconds between looks where no notification arrives.
        check: called with each new session, before it is used.
    """

    def __init__(
        self,
        *,
        queues: bytes,
        fetcher: Fetcher,
        stats: Stats,
        open_session: Callable[[Callable[[str, str], None]], Awaitable[Session]],
        on_due: Callable[[], None],
        on_cancel: Callable[[], None],
        heartbeat: float,
        lease: Lease,
        poll_every: float | None = None,
        check: Callable[[Session], Awaitable[None]] | None = None,
    ) -> None:
        self._queues = queues
        self._fetcher = fetcher
        self._stats = stats
        self._open = open_session
        self._on_due = on_due
        self._on_cancel = on_cancel
        self._heartbeat = heartbeat
        self._lease = lease
        self._poll_every = poll_every or _POLL_EVERY
        self._check = check
        self._trouble = Trouble("listener")
        # Another server process has answered, though the pooler between hides itself.
        self._hidden_pooler = False
        self._rung = asyncio.Event()
        self._rings: deque[float] = deque(maxlen=5)
        self._probe_mark = ""
        self._probed = asyncio.Event()
        #: The session, once connected; the heartbeat uses it too.
        self.session: Session | None = None
        self.connected = asyncio.Event()
        #: Notifications do not arrive here (a pooler in the way): the worker looks by itself.
        self.deaf = False

    async def run(self) -> None:
        """Connect, and sleep and wake until cancelled."""
        while True:
            session = self.session = await self._open(self._notified)
            try:
                await self._serve(session)
                said = f"the connection to PostgreSQL is gone: {session.why}"
            except (ConnectionLostError, StatementError) as error:
                said = str(error)
            finally:
                self.connected.clear()
                session.close()
            if session.was_silent:
                self._fetcher.doubt()
            self._hidden_pooler |= session.shared
            self._stats.reconnects += 1
            await self._trouble.wait(said)

    async def _serve(self, session: Session) -> None:
        """Use a session until it is lost."""
        session.shared |= self._hidden_pooler
        if self._check is not None:
            await self._check(session)
        if session.shared and not await self._is_lent(session):
            await self._poll(session)
            return
        fail(session, "before_listen")
        # From the moment at which others may look at the lock, and not only once we know it.
        self._lease.has_lock |= self._lease.wants_lock
        self._lease.has_lock = await worker_calls.listen(
            session, self._fetcher.worker_id, hold=self._lease.wants_lock
        )
        fail(session, "after_listen")
        # A job that was committed before LISTEN was, rang for nobody.
        self._fetcher.look("look")
        self.connected.set()
        probing = asyncio.ensure_future(self._probe(session))
        try:
            await self._sleep_and_wake(session)
        finally:
            probing.cancel()

    async def _sleep_and_wake(self, session: Session) -> None:
        while not session.lost.done():
            await _first(self._fetcher.drained.wait(), session.lost)
            if session.lost.done() or session.shared:
                return
            self._trouble.works()
            if self.deaf:
                await _first(asyncio.sleep(self._poll_every), session.lost)
                self._fetcher.look("look")
            else:
                if self._rings_too_often():
                    await self._linger(session)
                await self._sleep(session)

    # -- poolers ----------------------------------------------------------------------------

    async def _is_lent(self, session: Session) -> bool:
        """Find out whether the pooler in the way lends a server process for the whole session, so
        that notifications arrive; then the session is used as one without a pooler.

        They are sent from the other connection: one that a process sends to itself comes with the
        answer, through any pooler. And they are sent twice, on a channel of their own, lest one is
        heard that comes just while a heartbeat has borrowed the right process, or by others.
        """
        token = os.urandom(8).hex()
        # Beats need no answer to this, and jobs do not wait for it.
        self.connected.set()
        looking = asyncio.ensure_future(self._look_about(session))
        try:
            await worker_calls.listen_for(session, token)
            heard = await self._hears(session, token) and await self._hears(session, token)
            await worker_calls.unlisten_for(session, token)
        finally:
            looking.cancel()
            self.connected.clear()
        if heard:
            await session.own()
            self._hears_now(True)
        return heard

    async def _hears(self, session: Session, token: str) -> bool:
        self._probe_mark = os.urandom(8).hex()
        self._probed.clear()
        async with self._fetcher.turn:
            await worker_calls.ring_for(await self._fetcher.session(), token, self._probe_mark)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_WITHIN):
                await _first(self._probed.wait(), session.lost)
        return self._probed.is_set()

    async def _look_about(self, session: Session) -> None:
        """Look for jobs that nobody rings for."""
        while not session.lost.done():
            await _first(self._fetcher.drained.wait(), session.lost)
            await _first(asyncio.sleep(self._poll_every), session.lost)
            self._fetcher.look("look")

    async def _poll(self, session: Session) -> None:
        """Look for jobs until the session is lost, which only beats here."""
        self._hears_now(False)
        self._fetcher.look("look")
        self.connected.set()
        await self._look_about(session)

    def _hears_now(self, hears: bool) -> None:
        if hears and self.deaf:
            log.info("notifications arrive after all")
        elif not hears and not self.deaf:
            log.warning(
                "notifications do not arrive, as behind a transaction pooler; looking for jobs "
                "every %g s instead, without session state; to be rung for them give the worker "
                "a way past the pooler for its listener: --listen-dsn",
                self._poll_every,
            )
        self.deaf = not hears

    # -- asleep -----------------------------------------------------------------------------

    def _rings_too_often(self) -> bool:
        full = len(self._rings) == self._rings.maxlen
        return full and time.monotonic() - self._rings[0] < len(self._rings) / _MAX_RINGS

    async def _linger(self, session: Session) -> None:
        """Look every few milliseconds until nothing came for a while.

        Asking to be rung at once would make every insert of a busy writer notify: four workers
        brought 32 writers down from 12,700 to 1,600 inserts a second that way.
        """
        quiet = 0
        while quiet < _QUIET_LOOKS and not session.lost.done():
            await asyncio.sleep(_LINGER)
            found = self._stats.by_look
            self._fetcher.look("look")
            await _first(self._fetcher.drained.wait(), session.lost)
            quiet = quiet + 1 if self._stats.by_look == found else 0

    async def _sleep(self, session: Session) -> None:
        """Go through the handshake S1 to S5, and sleep until something rings."""
        self._rung.clear()
        armed, writers = await worker_calls.arm(session, self._queues, False)
        if not armed:
            await asyncio.sleep(0.001)
            return
        try:
            await self._outwait(session, writers)
            await self._look_last(session)
            await _first(self._rung.wait(), session.lost)
        finally:
            # A session that is lost meanwhile has given the locks back itself. Its error must not
            # take the place of a cancellation, which would then be lost: at the end of the worker
            # the heartbeat may have abandoned its statement on this session just before.
            with contextlib.suppress(ConnectionLostError):
                await worker_calls.disarm(session, self._queues, False)

    async def _look_last(self, session: Session) -> None:
        """Look once more, from zero, after S3 (S4). A job that a transaction holds just now counts
        as well: if that rolls back, nobody rings. Whatever is found, this session stays armed."""
        pause = 0.002
        while not self._rung.is_set():
            self._fetcher.look("look")
            await _first(self._fetcher.drained.wait(), self._rung.wait(), session.lost)
            if self._rung.is_set() or not await worker_calls.waiting(session, self._queues):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), pause)
            pause = min(2 * pause, self._heartbeat)

    async def _outwait(self, session: Session, writers: bytes) -> None:
        """Wait until no transaction is left that may commit without ringing (S3).

        One of them may last for hours, so jobs are looked for meanwhile: those that came between
        the scan before and S1 rang for nobody, and those of the other writers will not either.
        """
        pause = 0.001
        while writers != b"{}" and not self._rung.is_set():
            self._fetcher.look("look")
            await _first(self._fetcher.drained.wait(), self._rung.wait(), session.lost)
            if self._rung.is_set() or not await worker_calls.still_writing(session, writers):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), pause)
            pause = min(2 * pause, self._heartbeat)

    async def _probe(self, session: Session) -> None:
        """Send ourselves a notification now and then; a session that does not hear it is dead."""
        heard = False
        while True:
            self._probe_mark = f"probe {session.backend_pid} {time.monotonic_ns()}"
            self._probed.clear()
            sent = True
            try:
                await worker_calls.probe(session, self._probe_mark)
            except StatementError:
                # What was not sent, as while the queue of notifications is full, tells nothing.
                sent = False
            except ConnectionLostError:
                return
            if sent:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._probed.wait(), _PROBE_WITHIN)
                # It may have come in the moment in which a process that was frozen goes on.
                if self._probed.is_set():
                    heard = True
                    self._hears_now(True)
                elif session.lost.done():
                    return
                elif heard:
                    log.warning("listener: no notification arrives any more; connecting anew")
                    session.close()
                    return
                else:
                    self._hears_now(False)
            await asyncio.sleep(min(_PROBE_EVERY, _PROBE_BEATS * self._heartbeat))

    def _notified(self, channel: str, payload: str) -> None:
        # The probe's may come over a channel of its own.
        if channel == "pgqueue":
            self._stats.rings += 1
            self._rings.append(time.monotonic())
            # The claim first: giving back the locks may wait behind it.
            self._fetcher.look("ring")
            self._rung.set()
        elif payload == "due":
            self._on_due()
        elif payload == "cancel":
            self._on_cancel()
        elif payload == self._probe_mark:
            self._probed.set()


async def _first(*waits: "Awaitable[object]") -> None:
    """Wait for the first of these; futures are left as they are, the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one, task in zip(waits, tasks, strict=True):
            if task is not one:
                task.cancel()
