"""Keep the children busy: one `work()` after the other, each taking what the last one left.

A call stores the outcomes that have come in and takes a batch for the child with the most room.
While a call is under way the children run the batches before it, and their answers gather.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable

from pgqueue.core import failpoints
from pgqueue.core.errors import ConnectionLostError
from pgqueue.core.queue_list import QueueList
from pgqueue.db import worker_calls
from pgqueue.db.session import LISTENER_CAP, Session, StatementError
from pgqueue.worker.children import ChildProcess
from pgqueue.worker.finisher import REFUSALS, Finisher, is_about_data
from pgqueue.worker.pool import Pool
from pgqueue.worker.stats import Stats
from pgqueue.worker.trouble import Trouble

log = logging.getLogger("pgqueue.worker")

#: A scan from zero at least this often, in seconds; rarer where it is slow.
_FULL_EVERY = 1.0
_MAX_BYTES = 16 << 20


class Fetcher:
    """Claim and finish.

    Args:
        queues: what is taken, in order or by weight.
        open_session: gives a new work connection, waiting as long as it takes.
        reconcile: called with each new one, before it is used.
        may_claim: asked before each claim; what is held is finished all the same.
    """

    def __init__(
        self,
        *,
        queues: QueueList,
        pool: Pool,
        finisher: Finisher,
        stats: Stats,
        open_session: Callable[[], Awaitable[Session]],
        reconcile: Callable[[Session], Awaitable[None]],
        may_claim: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queues = queues
        self._pool = pool
        self._finisher = finisher
        self._stats = stats
        self._open = open_session
        self._reconcile = reconcile
        self._may_claim = may_claim
        self._trouble = Trouble("work connection")
        self._reconciled = False
        self._session: Session | None = None
        self._hint: bytes | None = None
        self._from_zero = True
        self._full_at = 0.0
        self._full_took = 0.0
        self._batch_no = 0
        self._uncertain = False
        self._wake = asyncio.Event()
        self._cause = "look"
        self._looks = 0
        #: Whether a ready job may be there that nobody would ring for.
        self.may_have_work = True
        #: Set while a scan from zero has found nothing more since the last cause to look.
        self.drained = asyncio.Event()
        self.stopping = False
        self.worker_id = 0
        #: How many jobs were taken so far.
        self.taken = 0
        #: Held by whoever uses the work connection.
        self.turn = asyncio.Lock()

    def nudge(self) -> None:
        """Say that something changed: an answer came, a child has room."""
        self._wake.set()

    def look(self, cause: str) -> None:
        """Ask for a scan from zero.

        Args:
            cause: `ring`, `look` or `fallback`; counted when the scan finds something.
        """
        self._from_zero = True
        self._looks += 1
        self._cause = cause
        self.may_have_work = True
        self.drained.clear()
        self._wake.set()

    def reconnect(self) -> None:
        """Give up the work connection, whatever it does; the next call opens another."""
        if self._session is not None:
            self._session.close()
        self._wake.set()

    def doubt(self) -> None:
        """Be less patient with the work connection: another one to the same place fell silent."""
        if self._session is not None:
            self._session.doubt(LISTENER_CAP)

    @property
    def is_idle(self) -> bool:
        """Whether a child waits for jobs and none has any."""
        return self._room(anyway=True) is not None and not self._pool.held

    @property
    def last_batch(self) -> int:
        """The last number that `next_batch` gave."""
        return self._batch_no

    def next_batch(self) -> int:
        """Give a batch number that was never used."""
        self._batch_no += 1
        return self._batch_no

    async def session(self) -> Session:
        """Give the work connection, opened and reconciled; the caller holds `turn`."""
        while self._session is None or self._session.lost.done() or not self._reconciled:
            if self._session is None or self._session.lost.done():
                if self._session is not None:
                    self._stats.reconnects += 1
                self._reconciled = False
                self._hint = None
                self._session = await self._open()
            try:
                # This may have to wait for a statement of the connection that was lost, which the
                # server has not given up yet; it waits for a few seconds and is tried again.
                await self._reconcile(self._session)
                self._reconciled = True
                self.look("look")
            except ConnectionLostError as error:
                # Not so fast that a server which lets us in and throws us out is kept busy by it.
                await self._trouble.wait(error)
            except StatementError as error:
                if not error.may_pass:
                    self._session.close()
                    raise
                await self._trouble.wait(error)
            except BaseException:
                self._session.close()
                raise
        return self._session

    async def run(self) -> None:
        """Work until stopping and everything is written down."""
        while True:
            self._wake.clear()
            room = self._room()
            due_in = self._finisher.next_in
            if room is None and due_in != 0:
                if self.stopping and not self._pool.held and due_in is None:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due_in)
                continue
            async with self.turn:
                try:
                    await self._call()
                    self._trouble.works()
                    continue
                except ConnectionLostError as error:
                    # Outcomes are kept and sent again.
                    pause = self._trouble.failed(error)
                except StatementError as error:
                    if not error.may_pass:
                        raise
                    pause = 0.05 + self._trouble.failed(error)
            # The turn is free meanwhile: what others ask may well be answered.
            await asyncio.sleep(pause)

    def _room(self, *, anyway: bool = False) -> tuple[ChildProcess, int] | None:
        """The child that should get jobs now, if any, and how many."""
        if self.stopping or not (anyway or self.may_have_work) or not self._may_claim():
            return None
        return self._pool.hungriest()

    async def _call(self) -> None:
        session = await self.session()
        # Whoever was frozen kills its children before it writes anything.
        self._pool.check_lease()
        answers = self._finisher.take()
        resent, self._uncertain = self._uncertain, False
        found = self._room()
        now = time.monotonic()
        full = self._from_zero or now - self._full_at > max(_FULL_EVERY, 10 * self._full_took)
        batch_no = self.next_batch()
        looks = self._looks
        try:
            if answers:
                fail(session, "before_finish")
            reply = await worker_calls.work(
                session,
                self.worker_id,
                batch_no,
                self._order(),
                0 if found is None else found[1],
                [answer.document for answer in answers],
                self._hint,
                _MAX_BYTES,
                full_scan=full,
            )
            if answers:
                fail(session, "finish_reply_lost")
        except REFUSALS as error:
            if not answers or not is_about_data(error):
                self._finisher.put_back(answers)
                # This one was not carried out; the one before may have been.
                self._uncertain = resent
                raise
            log.warning("%s; storing outcomes one by one", error)
            self._uncertain = True
            await self._finisher.store_one_by_one(
                session, self.worker_id, self.next_batch(), answers
            )
            self._uncertain = False
            return
        except BaseException:
            self._finisher.put_back(answers)
            self._uncertain = True
            raise
        self._stats.calls += 1
        self._finisher.stored(answers, reply.refused, reply.again, resent=resent)
        if answers:
            fail(session, "after_finish")
        if any(answer.started < len(answer.ids) for answer in answers):
            # What went back unstarted is ready again, and nobody rings us while we are awake.
            self.look("look")
        if found is None:
            return
        if full:
            self._full_at = time.monotonic()
            self._full_took = self._full_at - now
        self._deal(found[0], batch_no, reply)
        if looks != self._looks:
            # Somebody asked meanwhile; what this scan saw may be older than that.
            return
        self._hint = reply.hint
        self._from_zero = reply.drained and not full
        if reply.drained and full:
            self.may_have_work = False
            self.drained.set()

    def _deal(self, child: ChildProcess, batch_no: int, reply: worker_calls.WorkReply) -> None:
        if not reply.ids:
            return
        if self._session is not None:
            fail(self._session, "after_claim")
        self.taken += len(reply.ids)
        if self._cause == "ring":
            self._stats.by_ring += 1
        elif self._cause == "fallback":
            self._stats.by_fallback += 1
        else:
            self._stats.by_look += 1
        self._cause = "look"
        if not self._pool.give(child, batch_no, reply.ids, reply.payload, self.worker_id):
            self._finisher.give_back({batch_no: reply.ids})

    def _order(self) -> bytes:
        """The queues of this call: in their order, or drawn by weight."""
        names = self._queues.names
        if not self._queues.weights:
            return worker_calls.array_of(names)
        # Efraimidis and Spirakis: sorting by u^(1/weight) draws without replacement by weight.
        drawn = sorted(
            zip(names, self._queues.weights, strict=True),
            key=lambda pair: random.random() ** (1.0 / pair[1]),
            reverse=True,
        )
        return worker_calls.array_of(name for name, _ in drawn)


def fail(session: Session, name: str) -> None:
    """Pass a failpoint at which a connection can be lost.

    Raises:
        ConnectionLostError: with `drop`.
    """
    if not failpoints.on:
        return
    try:
        failpoints.hit(name)
    except failpoints.DropConnection:
        session.close()
        raise ConnectionLostError(f"the connection was dropped by failpoint {name}") from None
