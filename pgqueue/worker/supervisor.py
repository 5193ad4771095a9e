"""The worker: its parts put together, started, watched and stopped. Runs no user code."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

from pgqueue.core.errors import ConnectionLostError, LeaseLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session
from pgqueue.worker.burst import emptied
from pgqueue.worker.children import Casualty
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.connector import Connector
from pgqueue.worker.doorbell import Doorbell
from pgqueue.worker.fetcher import Fetcher
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.frames import Answer
from pgqueue.worker.heartbeat import Heartbeat
from pgqueue.worker.leader import Leader
from pgqueue.worker.lease import Lease
from pgqueue.worker.membership import Membership
from pgqueue.worker.pool import Pool
from pgqueue.worker.progress import Progress
from pgqueue.worker.schema_watch import SchemaWatch
from pgqueue.worker.signals import Signals, deafen, log_stacks
from pgqueue.worker.stats import Stats

log = logging.getLogger("pgqueue.worker")

_WATCH_EVERY = 0.1
#: Seconds for writing down what was interrupted: when its grace is over, and when there is hurry.
_WRITE_DOWN = 5.0
_WRITE_DOWN_NOW = 1.0
#: Seconds for saying good-bye, usually and when there is hurry.
_GOOD_BYE = 5.0
_GOOD_BYE_NOW = 3.0
#: Seconds until parts that were cancelled are cancelled again, and until that is given up.
_CANCEL_AGAIN = 0.5
_CANCEL_FOR = 5.0
#: Signs of life between two looks at the version of the schema.
_SCHEMA_BEATS = 10


class Supervisor:
    """One worker, from registration to good-bye.

    Args:
        config: what it runs and how.
        version: of pgqueue, for people.
    """

    def __init__(self, config: WorkerConfig, version: str) -> None:
        self._config = config
        queues = worker_calls.array_of(config.queues.names)
        self.stats = Stats()
        self._lease = Lease(config.lease, config.heartbeat)
        self._connector = Connector(config, self._lease)
        self._finisher = Finisher(self.stats)
        self._pool = Pool(
            config=config,
            lease=self._lease,
            on_answer=self._answered,
            on_death=self._died,
            on_room=lambda: self._fetcher.nudge(),
        )
        self._membership = Membership(
            config=config,
            version=version,
            connector=self._connector,
            lease=self._lease,
            pool=self._pool,
            finisher=self._finisher,
        )
        self._fetcher = Fetcher(
            queues=config.queues,
            pool=self._pool,
            finisher=self._finisher,
            stats=self.stats,
            open_session=self._connector.open,
            reconcile=lambda session: self._membership.reconcile(session, self._fetcher),
        )
        self._leader = Leader(self._fetcher, self._listener, self._pool.declared)
        self._doorbell = Doorbell(
            queues=queues,
            fetcher=self._fetcher,
            stats=self.stats,
            open_session=self._connector.open_listener,
            on_due=self._leader.ring,
            on_cancel=lambda: self._heartbeat.soon(),
            heartbeat=config.heartbeat,
            poll_every=config.fallback,
            check=self._check_listener,
            lease=self._lease,
        )
        self._heartbeat = Heartbeat(
            queues=queues,
            every=config.heartbeat,
            fallback=config.fallback or config.heartbeat,
            fetcher=self._fetcher,
            doorbell=self._doorbell,
            leader=self._leader,
            lease=self._lease,
            census=self._pool.census,
            on_cancels=self._pool.cancel,
            on_unknown=lambda: self._lost.set(),
            progress=Progress(
                taken=lambda: self._fetcher.taken,
                idle=lambda: self._fetcher.is_idle,
                reconnect=self._reconnect,
            ),
        )
        self._schema = SchemaWatch(
            fetcher=self._fetcher, every=_SCHEMA_BEATS * config.heartbeat, stop=self._told_to_stop
        )
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._quit = asyncio.Event()
        self._lost = asyncio.Event()
        self._joining = False
        self._broken: asyncio.Future[None] | None = None
        #: Parts that could not be ended; whoever runs this must not wait for them.
        self.stuck: list[str] = []

    async def run(self) -> None:
        """Work until told to stop, or until nothing is ready with `burst`.

        Raises:
            ConfigurationError: the application cannot be imported.
            ConnectionLostError: the database was away for longer than it may be.
            SchemaTooNewError: somebody has upgraded the schema beyond this worker.
            PgQueueError: the server refused what a worker cannot do without.
        """
        signals = Signals({
            signal.SIGTERM: self._told_to_stop,
            signal.SIGINT: self._told_to_stop,
            signal.SIGQUIT: self._told_to_quit,
            signal.SIGHUP: self._told_to_reload,
            signal.SIGUSR1: self._told_to_show_stacks,
            signal.SIGUSR2: self._told_to_be_quiet,
        })  # fmt: skip
        loop = asyncio.get_running_loop()
        self._broken = loop.create_future()
        loop.set_exception_handler(self._callback_failed)
        if not await self._begin():
            return
        parts: dict[asyncio.Future[Any], str] = {
            asyncio.ensure_future(part): name
            for name, part in (
                ("the fetcher", self._work()),
                ("the doorbell", self._doorbell.run()),
                ("the heartbeat", self._heartbeat.run()),
                ("the leader", self._leader.run()),
                ("the watch", self._watch()),
                ("the schema watch", self._schema.run()),
            )
        }
        working = next(iter(parts))
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stop.wait()), self._broken]
        if self._config.burst:
            ends.append(asyncio.ensure_future(emptied(self._fetcher, self._pool, self._finisher)))
        hurry = False
        try:
            done, _ = await asyncio.wait([*parts, *ends], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                await self._schema.look_into(part, parts.get(part, "a callback"))
            if not self._quit.is_set():
                await self._wind_down(working)
            hurry = self._stop_now.is_set()
        finally:
            self._pool.kill(now=self._quit.is_set())
            await self._end([*parts, *ends], parts)
            # Also after an error: what it still holds should not wait to be rescued.
            await self._membership.leave(
                self._fetcher.worker_id, _GOOD_BYE_NOW if hurry else _GOOD_BYE
            )
            signals.remove()
        log.info("worker %d stopped: %s", self._fetcher.worker_id, self.stats.line())
        if self._schema.problem is not None:
            raise self._schema.problem

    async def _begin(self) -> bool:
        """Start the children and register; False when told to stop before that was done."""
        beginning = asyncio.ensure_future(self._start())
        stop: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
        away: asyncio.Future[Any] = asyncio.ensure_future(self._outage())
        begun = False
        try:
            await asyncio.wait([beginning, stop, away], return_when=asyncio.FIRST_COMPLETED)
            if self._joining and not beginning.done() and self._connector.away_since is None:
                # It may be registered by now, and is to say good-bye then.
                await asyncio.wait([beginning], timeout=_GOOD_BYE_NOW)
            begun = beginning.done()
            for part in (beginning, away):
                if part.done():
                    part.result()
        finally:
            for part in (beginning, stop, away):
                part.cancel()
            await asyncio.gather(beginning, stop, away, return_exceptions=True)
            if not begun:
                self._pool.quit()
                self._pool.kill()
        return begun

    async def _start(self) -> None:
        await self._pool.start()
        self._joining = True
        await self._membership.join(self._fetcher)
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

    def _listener(self) -> Session | None:
        return self._doorbell.session

    def _reconnect(self) -> None:
        self._fetcher.reconnect()
        if self._doorbell.session is not None:
            self._doorbell.session.close()

    async def _check_listener(self, session: Session) -> None:
        await self._membership.check_listener(session, self._fetcher)

    def _callback_failed(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and self._broken is not None and not self._broken.done():
            # Nobody can tell what was lost in the middle of it.
            self._broken.set_exception(error or RuntimeError(str(context.get("message"))))
        else:
            loop.default_exception_handler(dict(context))

    # -- signals ----------------------------------------------------------------------------

    def _told_to_stop(self) -> None:
        if not self._stop.is_set():
            log.info("stopping: running jobs have %g s to end", self._config.grace)
            self._stop.set()
        elif not self._stop_now.is_set():
            log.warning("stopping now: running jobs are interrupted and run again elsewhere")
            self._stop_now.set()

    def _told_to_quit(self) -> None:
        log.warning("quitting: whatever it holds is given back, and nothing more is written down")
        self._quit.set()
        self._stop.set()
        self._stop_now.set()

    def _told_to_reload(self) -> None:
        log.info("reloading: the application is imported anew; running jobs may end")
        self._pool.reload()

    def _told_to_show_stacks(self) -> None:
        log_stacks()
        self._pool.show_stacks()

    def _told_to_be_quiet(self) -> None:
        self._pool.quiet = not self._pool.quiet
        if self._pool.quiet:
            log.info("quiet: running jobs may end, and no more are taken until the next SIGUSR2")
            self._pool.give_back()
        else:
            log.info("no longer quiet: jobs are taken again")
            self._fetcher.look("look")

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
        await self._membership.join(self._fetcher)
        if self._doorbell.session is not None:
            self._doorbell.session.close()
        self._lost.clear()
        self._fetcher.look("look")

    async def _watch(self) -> None:
        """Look after the children, and after how long the database has been away."""
        outage = asyncio.ensure_future(self._outage())
        try:
            while not outage.done():
                self._pool.watch()
                await asyncio.sleep(_WATCH_EVERY)
            outage.result()
        finally:
            outage.cancel()

    async def _outage(self) -> None:
        """Wait until the database has been away for longer than it may be.

        Raises:
            ConnectionLostError: it has.
        """
        most = self._config.max_outage
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            # Between two signs of life nobody has been away.
            silence = self._lease.silence - self._config.heartbeat
            since = self._connector.away_since
            if not self._fetcher.worker_id:
                silence = 0.0 if since is None else self._lease.clock() - since
            if most is not None and silence > most:
                raise ConnectionLostError(
                    f"PostgreSQL could not be reached for {silence:.0f} s, and this worker was "
                    f"told to wait for no more than {most:g} s"
                )

    async def _wind_down(self, working: "asyncio.Future[None]") -> None:
        """Start nothing more, let what runs end, write everything down."""
        self._fetcher.stopping = True
        self._pool.quit()
        self._fetcher.nudge()
        hurry: asyncio.Future[Any] = asyncio.ensure_future(self._stop_now.wait())
        try:
            await asyncio.wait(
                [working, hurry], timeout=self._config.grace, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done() or self._quit.is_set():
                return
            log.warning("%d jobs did not end in time; they are interrupted", self._pool.held)
            self._pool.kill()
            self._fetcher.nudge()
            hurried = hurry.done()
            if not hurried:
                await asyncio.wait(
                    [working, hurry], timeout=_WRITE_DOWN, return_when=asyncio.FIRST_COMPLETED
                )
            if not working.done() and not self._quit.is_set():
                await asyncio.wait([working], timeout=_WRITE_DOWN_NOW)
            if not working.done():
                log.warning("%d outcomes could not be written down", len(self._finisher))
        finally:
            hurry.cancel()

    async def _end(
        self, parts: "list[asyncio.Future[Any]]", names: "Mapping[asyncio.Future[Any], str]"
    ) -> None:
        """Cancel until all have ended: what is cancelled may be just about to swallow that."""
        left = set(parts)
        for _ in range(int(_CANCEL_FOR / _CANCEL_AGAIN)):
            for part in left:
                part.cancel()
            _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN)
            if not left:
                break
        for part in parts:
            if part.done() and not part.cancelled():
                part.exception()  # looked at, so that asyncio does not complain
        self.stuck = [names.get(part, "a part") for part in left]


def run(config: WorkerConfig, version: str) -> None:
    """Run a worker in this process until it is told to stop."""

    async def main() -> None:
        supervisor = Supervisor(config, version)
        try:
            await supervisor.run()
        finally:
            deafen()
            if supervisor.stuck:
                log.critical("%s did not end", ", ".join(supervisor.stuck))
                logging.shutdown()
                os._exit(1)

    asyncio.run(main())
