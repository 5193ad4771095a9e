"""The worker: its parts put together, started, watched and stopped. Runs no user code."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
from collections.abc import Callable
from typing import Any

from pgqueue.core.errors import ConnectionLostError, LeaseLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.children import Casualty
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.doorbell import Doorbell
from pgqueue.worker.fetcher import Fetcher
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.frames import Answer
from pgqueue.worker.heartbeat import Heartbeat
from pgqueue.worker.leader import Leader
from pgqueue.worker.pool import Pool
from pgqueue.worker.stats import Stats

log = logging.getLogger("pgqueue.worker")

_WATCH_EVERY = 0.1
_BACKOFF_CAP = 2.0


class Supervisor:
    """One worker, from registration to good-bye.

    Args:
        config: what it runs and how.
        version: of pgqueue, for people.
    """

    def __init__(self, config: WorkerConfig, version: str) -> None:
        self._config = config
        self._version = version
        self._queues = worker_calls.array_of(config.queues.names)
        self.stats = Stats()
        self._finisher = Finisher(self.stats)
        self._pool = Pool(
            apps=config.apps,
            processes=config.processes,
            threads=config.threads,
            max_batch=config.max_batch,
            on_answer=self._answered,
            on_death=self._died,
            on_room=self._nudge,
        )
        self._fetcher = Fetcher(
            queues=config.queues,
            pool=self._pool,
            finisher=self._finisher,
            stats=self.stats,
            open_session=self._open,
            reconcile=self._reconcile,
        )
        self._leader = Leader(fetcher=self._fetcher, listener=self._listener)
        self._doorbell = Doorbell(
            queues=self._queues,
            fetcher=self._fetcher,
            stats=self.stats,
            open_session=self._open,
            on_due=self._leader.ring,
            on_cancel=lambda: self._heartbeat.soon(),
            heartbeat=config.heartbeat,
        )
        self._heartbeat = Heartbeat(
            queues=self._queues,
            every=config.heartbeat,
            fallback=config.fallback or config.heartbeat,
            fetcher=self._fetcher,
            doorbell=self._doorbell,
            leader=self._leader,
            on_cancels=self._pool.cancel,
            on_unknown=self._given_up,
        )
        self._signals = 0
        #: The server cannot be reached, which was said once for all who try.
        self._away = False
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Work until told to stop, or until nothing is ready with `burst`.

        Raises:
            ConfigurationError: the application cannot be imported.
            PgQueueError: the server refused what a worker cannot do without.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if not await self._begin():
            return
        parts = [
            asyncio.ensure_future(part)
            for part in (
                self._work(),
                self._doorbell.run(),
                self._heartbeat.run(),
                self._leader.run(),
                self._watch(),
            )
        ]
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stop.wait())]
        if self._config.burst:
            ends.append(asyncio.ensure_future(self._emptied()))
        try:
            done, _ = await asyncio.wait([*parts, *ends], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
            await self._wind_down(parts[0])
        finally:
            self._pool.kill()
            for part in [*parts, *ends]:
                part.cancel()
            await asyncio.gather(*parts, *ends, return_exceptions=True)
            # Also after an error: what it still holds should not wait to be rescued.
            await self._say_good_bye()
        log.info("worker %d stopped: %s", self._fetcher.worker_id, self.stats.line())

    async def _begin(self) -> bool:
        """Start the children and register; False when told to stop before that was done."""
        beginning = asyncio.ensure_future(self._start())
        stop: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
        begun = False
        try:
            await asyncio.wait([beginning, stop], return_when=asyncio.FIRST_COMPLETED)
            begun = beginning.done()
            if begun:
                beginning.result()
        finally:
            for part in (beginning, stop):
                part.cancel()
            await asyncio.gather(beginning, stop, return_exceptions=True)
            if not begun:
                self._pool.quit()
                self._pool.kill()
        return begun

    async def _start(self) -> None:
        await self._pool.start()
        async with self._fetcher.turn:
            session = await self._open()
            self._fetcher.worker_id = await self._register(session)
            session.close()
        log.info(
            "worker %d ready: pid %d, queues %s, %d processes with %d threads",
            self._fetcher.worker_id, os.getpid(), self._config.queues,
            self._config.processes, self._config.threads,
        )  # fmt: skip

    # -- the parts' calls -------------------------------------------------------------------

    def _answered(self, answer: Answer) -> None:
        self._finisher.add(answer)

    def _died(self, casualties: list[Casualty], how: str) -> None:
        self._finisher.add_casualties(casualties, how)
        self._fetcher.nudge()

    def _nudge(self) -> None:
        self._fetcher.nudge()

    def _listener(self) -> Session | None:
        return self._doorbell.session

    def _given_up(self) -> None:
        self._lost.set()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals == 1:
            log.info("stopping: running jobs have %g s to end", self._config.grace)
            self._stop.set()
        else:
            log.warning("stopping now: running jobs are interrupted and run again elsewhere")
            self._stop_now.set()

    # -- connections ------------------------------------------------------------------------

    async def _open(self, on_notify: Callable[[str, str], None] | None = None) -> Session:
        """Connect, however long it takes; one line in the log for each change of state."""
        pause = 0.1
        while True:
            try:
                session = await Session.open(self._config.dsn, on_notify)
            except ConnectionLostError as error:
                if not self._away:
                    log.warning("%s; trying until it works", error)
                    self._away = True
                # Full jitter, so that a hundred workers do not come back at one moment.
                await asyncio.sleep(pause * random.random())
                pause = min(_BACKOFF_CAP, 2 * pause)
                continue
            if self._away:
                log.info("connected again")
                self._away = False
            return session

    async def _register(self, session: Session) -> int:
        config = self._config
        hostname = socket.gethostname()
        return await worker_calls.register(
            session,
            name=config.name or f"{hostname}:{os.getpid()}",
            queues=self._queues,
            hostname=hostname,
            pid=os.getpid(),
            processes=config.processes,
            threads=config.threads,
            version=self._version,
            lease=config.lease,
        )

    async def _reconcile(self, session: Session) -> None:
        """Compare what the database thinks we hold with what the children hold."""
        theirs = await worker_calls.held(session, self._fetcher.worker_id)
        ours = self._pool.holds() | self._finisher.holds()
        strange: dict[int, list[int]] = {}
        for job, batch_no in theirs.items():
            if ours.get(job) != batch_no:
                strange.setdefault(batch_no, []).append(job)
        if strange:
            log.info("giving back %d jobs of a lost reply", sum(map(len, strange.values())))
            self._finisher.give_back(strange)
        gone = [job for job, batch_no in ours.items() if theirs.get(job) != batch_no]
        self._pool.disown(gone)

    # -- running ----------------------------------------------------------------------------

    async def _work(self) -> None:
        """Fetch and finish; begin anew as another worker when this one was given up as lost."""
        while True:
            fetching: asyncio.Future[Any] = asyncio.ensure_future(self._fetcher.run())
            lost: asyncio.Future[Any] = asyncio.ensure_future(self._lost.wait())
            try:
                await asyncio.wait([fetching, lost], return_when=asyncio.FIRST_COMPLETED)
                if fetching.done():
                    fetching.result()
                    return
            except LeaseLostError:
                self._lost.set()
            finally:
                lost.cancel()
                fetching.cancel()
                await asyncio.gather(fetching, lost, return_exceptions=True)
            await self._begin_anew()

    async def _begin_anew(self) -> None:
        log.error("this worker was given up as lost; its jobs are stopped and it registers anew")
        self._finisher.clear()
        self._pool.restart()
        self._finisher.clear()
        async with self._fetcher.turn:
            session = await self._open()
            self._fetcher.worker_id = await self._register(session)
            session.close()
        if self._doorbell.session is not None:
            self._doorbell.session.close()
        self._lost.clear()
        self._fetcher.look("look")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            self._pool.watch()

    async def _emptied(self) -> None:
        """Return when nothing is ready or due, and nothing runs any more."""
        while True:
            await self._fetcher.drained.wait()
            # Asked again: while we waited for our turn, an outcome may have been stored that makes
            # the job due again, and the leader may have come before us.
            if self._is_empty() and await self._promote_due() and self._is_empty():
                return
            await asyncio.sleep(0.01)

    def _is_empty(self) -> bool:
        return self._fetcher.drained.is_set() and not (self._pool.held or len(self._finisher))

    async def _promote_due(self) -> bool:
        """Make ready what is due; a leader may not have come to it yet, or there is none.

        Returns:
            Whether that could be done.
        """
        try:
            async with self._fetcher.turn:
                session = await self._fetcher.session()
                promotion = await worker_calls.promote(session, None)
        except ConnectionLostError:
            return False
        except StatementError as error:
            if not error.may_pass:
                raise
            return False
        if promotion.moved:
            self._fetcher.look("look")
        return True

    async def _wind_down(self, working: "asyncio.Future[None]") -> None:
        """Start nothing more, let what runs end, write everything down."""
        self._fetcher.stopping = True
        self._pool.quit()
        self._fetcher.nudge()
        hurry = asyncio.ensure_future(self._stop_now.wait())
        try:
            both: list[asyncio.Future[Any]] = [working, hurry]
            await asyncio.wait(
                both, timeout=self._config.grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not working.done():
                log.warning("%d jobs did not end in time; they are interrupted", self._pool.held)
                self._pool.kill()
                self._fetcher.nudge()
                await asyncio.wait([working], timeout=5)
        finally:
            hurry.cancel()

    async def _say_good_bye(self) -> None:
        with contextlib.suppress(ConnectionLostError, TimeoutError):
            async with asyncio.timeout(5):
                session = await Session.open(self._config.dsn)
                await worker_calls.forget(session, self._fetcher.worker_id)
                session.close()


def run(config: WorkerConfig, version: str) -> None:
    """Run a worker in this process until it is told to stop."""

    async def main() -> None:
        await Supervisor(config, version).run()

    asyncio.run(main())
