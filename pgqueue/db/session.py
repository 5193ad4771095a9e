"""A connection for the worker's event loop: answers come as bytes that nobody opens on the way.

The supervisor passes whole batches of jobs between the server and its children. So this speaks
libpq through ``psycopg.pq`` without any adaptation of types: text in, text out, payloads as the
bytes they came in. It also hands on notifications, whatever else the connection does meanwhile.
What applications call is in ``client`` and ``async_client``.

No answer is waited for without end: a server that has vanished behind a proxy leaves a connection
that looks well for ever. The server is told to give up a little earlier than we do, so that a
statement that is merely slow, or waits for somebody's lock, costs no connection.
"""

import asyncio
import contextlib
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, LiteralString

import psycopg
from psycopg import pq

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import connections
from pgqueue.db.refusals import StatementError as StatementError
from pgqueue.db.refusals import refusal

#: One row of an answer: a value a column, None for null.
Row = list[bytes | None]

_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)

# What a DSN may say otherwise: a peer that is gone is noticed within some ten seconds.
_KEEPALIVE = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "8000",
}
# The server's side too, or it keeps the locks of a worker that froze for two hours.
_SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8000",
}

# A statement that was prepared is unknown, or its name is taken: another server process answers.
_NOT_PREPARED = ("26000", "42P05")

#: Seconds a statement of the worker may take; it may carry 16 MiB of jobs and finish a thousand.
CAP = 30.0
#: The same for the few small ones of the listener, which also tell whether the server is there.
LISTENER_CAP = 10.0
#: Seconds for a lock: an upgrade of the schema, or the last statement of a connection that was
#: lost. Whoever waits longer makes others wait behind it.
_LOCK_TIMEOUT = "5s"
#: The server gives up after this part of the cap.
_SERVER_PART = 0.8

_PLACE = re.compile(rb"\$(\d+)")


class Session:
    """One connection, one statement at a time, for one event loop.

    Args:
        connection: fresh from `connections.open_plain`; this session owns it from now on.
        on_notify: called with channel and payload of each notification.
        cap: seconds without a byte of an answer after which the connection counts as lost.
        shared: whether each transaction may be given another server process.
    """

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        on_notify: Callable[[str, str], None] | None = None,
        *,
        cap: float = CAP,
        shared: bool = False,
    ) -> None:
        self._connection = connection
        self._pgconn: pq.abc.PGconn = connection.pgconn
        self._on_notify = on_notify
        self._cap = cap
        self._loop = asyncio.get_running_loop()
        self._fd = self._pgconn.socket
        # Asked of a connection that is lost, these would be errors.
        self._pid = int(self._pgconn.backend_pid)
        self._version = int(self._pgconn.server_version)
        self._pgconn.nonblocking = 1
        self._answer: asyncio.Future[list[pq.abc.PGresult]] | None = None
        self._results: list[pq.abc.PGresult] = []
        self._progress = 0.0
        self._prepared: dict[str, bytes] = {}
        # A name that nobody else gives: behind a pooler that hides itself it must not be found
        # prepared as something else.
        self._token = os.urandom(6).hex().encode()
        self._numbers = itertools.count()
        self._turn = asyncio.Lock()
        #: Whether a pooler may give each transaction another server process: nothing is prepared
        #: and nothing kept in the session then, and settings travel with every statement.
        self.shared = shared
        #: Why the connection is gone, once it is; and whether nothing but silence told us.
        self.why = ""
        self.was_silent = False
        #: Done when the connection is gone.
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    async def open(
        cls,
        dsn: str,
        on_notify: Callable[[str, str], None] | None = None,
        *,
        cap: float = CAP,
        shared: bool = False,
    ) -> "Session":
        """Connect to the primary.

        Args:
            dsn: where; of several hosts the one that is the primary is taken.
            on_notify: called with channel and payload of each notification.
            cap: see the class.
            shared: take it for shared also where nothing tells so.

        Raises:
            ConnectionLostError: the server cannot be reached, does not let us in, or is a standby.
        """
        found = {**_KEEPALIVE, **connections.parameters(dsn)}
        session = cls(await connections.open_plain(found), on_notify, cap=cap, shared=shared)
        try:
            await session._settle(pooled=False)
        except StatementError as error:
            session.close()
            if not error.may_pass:
                raise
            raise ConnectionLostError(f"a new connection could not be used: {error}") from None
        except BaseException:
            session.close()
            raise
        return session

    async def own(self) -> None:
        """Take the session for our own behind a pooler that lends a server process for its whole
        life; see `shared`."""
        self.shared = False
        await self._settle(pooled=True)

    async def _settle(self, *, pooled: bool) -> None:
        async with self._turn:
            text = connections.settings(self._pid, self._version, self._wanted(), pooled=pooled)
            ((pid, standby, *_),) = _rows(await self._run(partial(self._pgconn.send_query, text)))
        if standby == b"t":
            why = "the server is a standby and not the primary; it can be used once it is promoted"
            self._lose(why)
            raise ConnectionLostError(why)
        if not pooled and int(pid or 0) != self._pid:
            self.shared = True

    def _wanted(self) -> Mapping[str, str]:
        return {
            **_SERVER_KEEPALIVE,
            # Names in our statements mean the system's own, whatever the role's search_path says.
            "search_path": "pg_catalog, pg_temp",
            "statement_timeout": f"{int(1000 * _SERVER_PART * self._cap)}ms",
            "lock_timeout": _LOCK_TIMEOUT,
        }

    @property
    def backend_pid(self) -> int:
        """Process id of the server process behind this connection."""
        return self._pid

    @property
    def is_busy(self) -> bool:
        """Whether a statement waits for its answer."""
        return self._answer is not None

    async def call(
        self, text: LiteralString, params: Sequence[bytes | None] = (), *, prepare: bool = False
    ) -> list[Row]:
        """Run one statement with `$1` placeholders.

        Args:
            text: the statement.
            params: text form of each parameter.
            prepare: plan it once for the session; for what is sent again and again.

        Returns:
            Its rows.

        Raises:
            StatementError: the server refused it.
            ConnectionLostError: the connection is gone; whether the statement was carried out is
                not known.
        """
        async with self._turn:
            if self.shared:
                return _rows(await self._run_shared(text.encode(), params))
            if prepare:
                try:
                    return _rows(await self._run_prepared(text, params))
                except StatementError as error:
                    if error.sqlstate == "0A000":
                        # The schema was upgraded, and its result has another type now.
                        self._prepared.pop(text, None)
                    elif error.sqlstate in _NOT_PREPARED:
                        self.shared = True
                        return _rows(await self._run_shared(text.encode(), params))
                    else:
                        raise
            send = partial(self._pgconn.send_query_params, text.encode(), params)
            return _rows(await self._run(send))

    def close(self) -> None:
        """Close the connection; a statement that waits for its answer fails."""
        self._lose("the connection was closed")

    async def _run_prepared(
        self, text: str, params: Sequence[bytes | None]
    ) -> "list[pq.abc.PGresult]":
        name = self._prepared.get(text)
        if name is None:
            name = b"pgqueue_%s_%d" % (self._token, next(self._numbers))
            await self._run(partial(self._pgconn.send_prepare, name, text.encode()))
            self._prepared[text] = name
        return await self._run(partial(self._pgconn.send_query_prepared, name, params))

    async def _run_shared(
        self, text: bytes, params: Sequence[bytes | None]
    ) -> "list[pq.abc.PGresult]":
        """Send settings and statement in one message, which the server takes as one transaction:
        they reach the same process, and the settings are gone after it."""
        self._must_live()
        escaping = pq.Escaping(self._pgconn)

        def literal(found: "re.Match[bytes]") -> bytes:
            value = params[int(found[1]) - 1]
            return b"NULL" if value is None else bytes(escaping.escape_literal(value))

        wanted = dict(self._wanted())
        for name in _SERVER_KEEPALIVE:
            del wanted[name]
        # These before anything that looks at the data.
        wanted = {
            "transaction_isolation": "read committed",
            "transaction_read_only": "off",
        } | wanted
        if self._version >= 170000:
            wanted["transaction_timeout"] = "0"
        lead = [
            f"SET LOCAL {n} = {v if ',' in v else repr(v)};".encode() for n, v in wanted.items()
        ]
        whole = b" ".join([*lead, _PLACE.sub(literal, text)])
        return await self._run(partial(self._pgconn.send_query, whole), lead=len(lead))

    def _must_live(self) -> None:
        if self.lost.done():
            raise ConnectionLostError(f"the connection to PostgreSQL is gone: {self.why}")

    async def _run(self, send: Callable[[], None], *, lead: int = 0) -> "list[pq.abc.PGresult]":
        self._must_live()
        answer = self._answer = self._loop.create_future()
        self._results = []
        self._progress = self._loop.time()
        watch = self._loop.call_later(self._cap, self._overdue, answer)
        try:
            send()
            self._flush()
        except psycopg.Error as error:
            self._lose(str(error))
        try:
            results: list[pq.abc.PGresult] = await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Half an answer would be taken for the next statement's.
            self._lose("a statement was abandoned")
            with contextlib.suppress(ConnectionLostError):
                await answer
            raise
        finally:
            watch.cancel()
            self._answer = None
        for place, result in enumerate(results):
            if result.status not in _GOOD:
                self._refuse(result, place < lead)
        return results

    def _refuse(self, result: "pq.abc.PGresult", leading: bool) -> None:
        error = refusal(result, leading=leading)
        if isinstance(error, ConnectionLostError):
            self._lose(str(error))
        raise error

    def doubt(self, cap: float) -> None:
        """Give answers no more than so many seconds from now on, that under way included."""
        self._cap = min(self._cap, cap)
        if self._answer is not None:
            self._overdue(self._answer)

    def _overdue(self, answer: "asyncio.Future[Any]") -> None:
        """Give up a connection that has moved no byte for too long. The server is not asked to
        cancel: that would need another connection to a place that does not answer."""
        if answer.done():
            return
        left = self._progress + self._cap - self._loop.time()
        if left > 0.01:
            self._loop.call_later(left, self._overdue, answer)
        else:
            self.was_silent = True
            self._lose(f"no answer came within {self._cap:g} s")

    def _flush(self) -> None:
        if self._pgconn.flush() == 1:
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._loop.remove_writer(self._fd)

    def _writable(self) -> None:
        self._progress = self._loop.time()
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(str(error))

    def _readable(self) -> None:
        self._progress = self._loop.time()
        try:
            self._pgconn.consume_input()
            self._take_results()
            # Not before: libpq gives what came behind an answer only once that has been taken, and
            # the socket, empty by now, would not wake us for it.
            while notification := self._pgconn.notifies():
                if self._on_notify is not None:
                    self._on_notify(
                        notification.relname.decode(), notification.extra.decode("utf-8", "replace")
                    )
        except psycopg.Error as error:
            self._lose(str(error))
            return
        waits = self._answer is not None and not self._answer.done()
        if waits and self._pgconn.status != pq.ConnStatus.OK:
            self._lose("the server closed the connection")

    def _take_results(self) -> None:
        while self._answer is not None and not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                if not self._answer.done():
                    self._answer.set_result(self._results)
                return
            self._results.append(result)

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        self.why = " ".join(why.split())
        self.lost.set_result(None)
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._pgconn.finish()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionLostError(f"the connection to PostgreSQL was lost: {self.why}")
            )


def _rows(results: "list[pq.abc.PGresult]") -> list[Row]:
    result = results[-1]
    width = range(result.nfields)
    return [[result.get_value(row, column) for column in width] for row in range(result.ntuples)]
