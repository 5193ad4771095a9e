"""Whether somebody has upgraded the schema beyond this worker while it runs: then it stops."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from pgqueue.core.errors import ConnectionLostError, PgQueueError, SchemaError
from pgqueue.db import worker_calls
from pgqueue.db.session import StatementError
from pgqueue.db.sqlfiles import read_versions
from pgqueue.db.status import SchemaStatus
from pgqueue.worker.fetcher import Fetcher

log = logging.getLogger("pgqueue.worker")

#: Seconds for the question whether the schema is why a statement was refused.
_ASK_WITHIN = 5.0


class SchemaWatch:
    """Look at the version of the schema now and then.

    Args:
        fetcher: whose work connection is used.
        every: seconds between looks.
        stop: called once when the schema does not bear this worker any more; jobs that run may
            end, as far as the new version lets them.
    """

    def __init__(self, *, fetcher: Fetcher, every: float, stop: Callable[[], None]) -> None:
        self._fetcher = fetcher
        self._every = every
        self._stop = stop
        self._known = read_versions()[-1].number
        #: What is to be said of it once the worker has stopped.
        self.problem: SchemaError | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while self.problem is None:
            await asyncio.sleep(self._every)
            await self._look()
        log.error("the schema was upgraded to a version that this worker cannot work with")
        self._stop()
        await asyncio.Event().wait()

    async def look_into(self, part: "asyncio.Future[Any]", name: str) -> None:
        """Let the error of a part end the worker; one that nobody foresaw is written down first.

        Raises:
            SchemaTooNewError: that is why the server refused what the part asked.
            BaseException: whatever the part has raised, otherwise.
        """
        error = part.exception()
        if error is None:
            return
        if isinstance(error, StatementError):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look(), _ASK_WITHIN)
            if self.problem is not None:
                raise self.problem from error
        if not isinstance(error, PgQueueError):
            kind = type(error).__name__
            log.critical("%s failed, which ends this worker: %s: %s", name, kind, error)
        raise error

    async def _look(self) -> None:
        with contextlib.suppress(ConnectionLostError, StatementError):
            async with self._fetcher.turn:
                session = await self._fetcher.session()
                breaking = await worker_calls.breaking_version(session)
            if breaking > self._known:
                self.problem = SchemaStatus(
                    version_installed=breaking, version_known=self._known, breaking=(breaking,)
                ).problem()
