"""A connection for the worker's event loop: answers come as bytes that nobody opens on the way.

The supervisor passes whole batches of jobs between the server and its children. So this speaks
libpq through ``psycopg.pq`` without any adaptation of types: text in, text out, payloads as the
bytes they came in. It also hands on notifications, whatever else the connection does meanwhile.
What applications call is in ``client`` and ``async_client``.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, LiteralString

import psycopg
from psycopg import conninfo, pq

from pgqueue.core.errors import ConnectionLostError, PgQueueError, from_sqlstate
from pgqueue.db import connections

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

# The server ends the session after these: shutdown, crash of a neighbour, idle too long.
_FAREWELLS = ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04")


class StatementError(PgQueueError):
    """The server refused a statement of the worker.

    Attributes:
        sqlstate: its five characters; empty where the server gave none.
    """

    __module__ = "pgqueue"

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate: str = sqlstate

    @property
    def is_about_data(self) -> bool:
        """Whether the values sent were at fault, so that sending fewer may help."""
        return self.sqlstate[:2] in ("22", "23", "54")

    @property
    def may_pass(self) -> bool:
        """Whether the same statement may succeed a moment later."""
        return self.sqlstate[:2] in ("40", "53", "55", "57", "58") or self.sqlstate == "25006"


class Session:
    """One connection, one statement at a time, for one event loop.

    Args:
        connection: fresh from `connections.aconnect`; this session owns it from now on.
        on_notify: called with channel and payload of each notification.
    """

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        on_notify: Callable[[str, str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._pgconn: pq.abc.PGconn = connection.pgconn
        self._on_notify = on_notify
        self._loop = asyncio.get_running_loop()
        self._fd = self._pgconn.socket
        self._pgconn.nonblocking = 1
        self._answer: asyncio.Future[list[pq.abc.PGresult]] | None = None
        self._results: list[pq.abc.PGresult] = []
        self._prepared: dict[str, bytes] = {}
        self._turn = asyncio.Lock()
        #: Done when the connection is gone.
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    async def open(cls, dsn: str, on_notify: Callable[[str, str], None] | None = None) -> "Session":
        """Connect.

        Raises:
            ConnectionLostError: the server cannot be reached or does not let us in.
        """
        found = {**_KEEPALIVE, **connections.parameters(dsn)}
        session = cls(await connections.aconnect(conninfo.make_conninfo(**found)), on_notify)
        # The server's side too, or it keeps the locks of a worker that froze for two hours.
        await session.call(
            "SELECT set_config('tcp_keepalives_idle', '5', false),"
            " set_config('tcp_keepalives_interval', '2', false),"
            " set_config('tcp_keepalives_count', '3', false),"
            " set_config('tcp_user_timeout', '8000', false)"
        )
        return session

    @property
    def backend_pid(self) -> int:
        """Process id of the server process behind this connection."""
        return int(self._pgconn.backend_pid)

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
            if prepare:
                name = self._prepared.get(text)
                if name is None:
                    name = b"pgq%d" % len(self._prepared)
                    await self._run(partial(self._pgconn.send_prepare, name, text.encode()))
                    self._prepared[text] = name
                results = await self._run(partial(self._pgconn.send_query_prepared, name, params))
            else:
                results = await self._run(
                    partial(self._pgconn.send_query_params, text.encode(), params)
                )
        result = results[-1]
        width = range(result.nfields)
        return [
            [result.get_value(row, column) for column in width] for row in range(result.ntuples)
        ]

    def close(self) -> None:
        """Close the connection; a statement that waits for its answer fails."""
        self._lose("the connection was closed")

    async def _run(self, send: Callable[[], None]) -> "list[pq.abc.PGresult]":
        if self.lost.done():
            raise ConnectionLostError("the connection to PostgreSQL is gone")
        self._answer = self._loop.create_future()
        self._results = []
        try:
            send()
            self._flush()
        except psycopg.Error as error:
            self._lose(str(error))
        answer = self._answer
        try:
            results = await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Half an answer would be taken for the next statement's.
            self._lose("a statement was abandoned")
            with contextlib.suppress(ConnectionLostError):
                await answer
            raise
        finally:
            self._answer = None
        for result in results:
            if result.status not in _GOOD:
                refusal = self._refusal(result)
                if isinstance(refusal, StatementError) and refusal.sqlstate in _FAREWELLS:
                    self._lose(str(refusal))
                    raise ConnectionLostError(f"the connection to PostgreSQL was lost: {refusal}")
                raise refusal
        return results

    def _refusal(self, result: "pq.abc.PGresult") -> PgQueueError:
        def field(which: pq.DiagnosticField) -> str:
            return (result.error_field(which) or b"").decode("utf-8", "replace")

        state = field(pq.DiagnosticField.SQLSTATE)
        message = field(pq.DiagnosticField.MESSAGE_PRIMARY)
        known = from_sqlstate(state, message, field(pq.DiagnosticField.MESSAGE_HINT) or None)
        return known or StatementError(f"the server refused a statement: {message}", state)

    def _flush(self) -> None:
        if self._pgconn.flush() == 1:
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._loop.remove_writer(self._fd)

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(str(error))

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while notification := self._pgconn.notifies():
                if self._on_notify is not None:
                    self._on_notify(
                        notification.relname.decode(), notification.extra.decode("utf-8", "replace")
                    )
            if self._answer is None:
                return
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    if not self._answer.done():
                        self._answer.set_result(self._results)
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._lose(str(error))
            return
        if self._pgconn.status != pq.ConnStatus.OK:
            self._lose("the server closed the connection")

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._pgconn.finish()
        if self._answer is not None and not self._answer.done():
            said = " ".join(why.split())
            self._answer.set_exception(
                ConnectionLostError(f"the connection to PostgreSQL was lost: {said}")
            )
