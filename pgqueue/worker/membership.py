"""This worker as the database knows it: registered, compared with what it holds, signed off."""

import asyncio
import contextlib
import logging
import os
import socket

from pgqueue.core.errors import ConfigurationError, ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.connector import Connector
from pgqueue.worker.fetcher import Fetcher
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.lease import Lease
from pgqueue.worker.pool import Pool

log = logging.getLogger("pgqueue.worker")


class Membership:
    """Join, stay and leave.

    Args:
        config: what the worker says of itself.
        version: of pgqueue, for people.
    """

    def __init__(
        self,
        *,
        config: WorkerConfig,
        version: str,
        connector: Connector,
        lease: Lease,
        pool: Pool,
        finisher: Finisher,
    ) -> None:
        self._config = config
        self._version = version
        self._connector = connector
        self._lease = lease
        self._pool = pool
        self._finisher = finisher

    async def join(self, fetcher: Fetcher) -> None:
        """Register, and let the fetcher work under the new number."""
        async with fetcher.turn:
            session = await self._connector.open()
            sent_at = self._lease.clock()
            try:
                fetcher.worker_id = await self._register(session)
            finally:
                session.close()
            self._lease.has_lock = False
            self._lease.renewed(sent_at)

    async def reconcile(self, session: Session, fetcher: Fetcher) -> None:
        """Compare what the database thinks we hold with what the children hold."""
        theirs = await worker_calls.held(session, fetcher.worker_id, fetcher.last_batch)
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

    async def check_listener(self, session: Session, fetcher: Fetcher) -> None:
        """Make sure that the listener's own way leads to the database of the jobs.

        Raises:
            ConfigurationError: it does not.
        """
        if self._config.listen_dsn is None:
            return
        async with fetcher.turn:
            theirs = await worker_calls.identity(await fetcher.session())
        if theirs != await worker_calls.identity(session):
            raise ConfigurationError(
                "the DSN of the listener leads to another database than that of the jobs; give "
                "--listen-dsn the same server and database, past the pooler"
            )

    async def leave(self, worker_id: int, within: float) -> None:
        """Say good-bye, so that what the worker still holds goes back at once: one statement.

        Args:
            worker_id: the number it works under.
            within: seconds after which others have to find out.
        """
        with contextlib.suppress(ConnectionLostError, StatementError, TimeoutError):
            async with asyncio.timeout(within):
                session = await Session.open(self._config.dsn)
                try:
                    given_back = await worker_calls.forget(session, worker_id)
                finally:
                    session.close()
            if given_back:
                log.warning("%d jobs were interrupted; they run again elsewhere", given_back)

    async def _register(self, session: Session) -> int:
        config = self._config
        hostname = socket.gethostname()
        return await worker_calls.register(
            session,
            name=config.name or f"{hostname}:{os.getpid()}",
            queues=worker_calls.array_of(config.queues.names),
            hostname=hostname,
            pid=os.getpid(),
            processes=config.processes,
            threads=config.threads,
            version=self._version,
            lease=config.lease,
        )
