"""Connections of our own: where to, how opened, whether still alive.

Whatever is said about a connection that fails names host, port, database and user, never a
password. Connections that belong to the caller are the affair of ``callers``.
"""

import contextlib
import os
import select
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from pgqueue.core.errors import ConfigurationError, ConnectionLostError
from pgqueue.db import embedded

#: The environment variable that holds the DSN where none was given.
DSN_VARIABLE: Final = "PGQUEUE_DSN"

# A database or role may come with SERIALIZABLE, with READ ONLY or with timeouts meant for people;
# none of that suits a program that sends one statement at a time. A standby is read-only whatever
# is set here.
_SESSION: Final[dict[str, str]] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}
_SINCE_17: Final[dict[str, str]] = {"transaction_timeout": "0"}

_CONNECT_TIMEOUT: Final = "10"

# Nobody listens there; the socket's file is gone; and what a server says that starts or ends.
_STARTS_OR_ENDS: Final = "the database system is "
_DOWN: Final = ("Connection refused", "No such file or directory", _STARTS_OR_ENDS)


def resolve(dsn: str | None) -> str:
    """Find the DSN to use: the one given, else PGQUEUE_DSN, else libpq's own variables.

    A DSN that starts with ``embedded:`` starts that private server, or finds it running.

    Returns:
        A libpq connection string, which may be empty: then libpq looks at PGHOST and the like.
    """
    found = dsn or os.environ.get(DSN_VARIABLE) or ""
    return embedded.resolve_dsn(found)


def check(dsn: str | None) -> str | None:
    """Give back a DSN that can be read, or none; says so early, and connects to nothing.

    Raises:
        ConfigurationError: it cannot be read; its text is not shown.
    """
    if dsn is not None and not isinstance(dsn, str):
        raise ConfigurationError(f"the DSN must be a string; got {type(dsn).__name__}")
    if dsn is not None and not dsn.startswith("embedded:"):
        parameters(dsn)
    return dsn


def parameters(dsn: str) -> dict[str, Any]:
    """Take a DSN apart and add what every connection of ours has.

    Raises:
        ConfigurationError: the DSN cannot be read; its text is not shown.
    """
    try:
        found = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        found = None
    if found is None:  # raised out here, so that libpq's words, which quote the DSN, stay behind
        raise ConfigurationError(
            'the DSN cannot be read; expected "postgresql://user@host:5432/name" or '
            '"host=… dbname=…"; it is not shown here since it may hold a password'
        )
    if not found.get("connect_timeout") and not os.environ.get("PGCONNECT_TIMEOUT"):
        found["connect_timeout"] = _CONNECT_TIMEOUT
    found.setdefault("fallback_application_name", "pgqueue")
    if "," in f"{found.get('host')}{found.get('hostaddr')}":
        # Whatever a queue does, it writes. Not "read-write": a role whose transactions are
        # read-only by default will do, since we set that off.
        found.setdefault("target_session_attrs", "primary")
    # Arguments may hold any character, whatever PGCLIENTENCODING says.
    found["client_encoding"] = "UTF8"
    return found


def make_dsn(found: Mapping[str, Any]) -> str:
    """Write the DSN of the parameters that a framework connects with.

    Args:
        found: of `psycopg.connect`; what is none of libpq's is left out.

    Raises:
        ConfigurationError: libpq does not take them; they are not shown.
    """
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    mine = {name: value for name, value in found.items() if name in known and value is not None}
    with contextlib.suppress(psycopg.Error):
        return conninfo.make_conninfo("", **mine)
    raise ConfigurationError("the parameters of the database cannot be written as a DSN")


def connect(dsn: str) -> psycopg.Connection[TupleRow]:
    """Open a connection: autocommit, READ COMMITTED, no timeouts.

    Behind a pooler it has what the pooler's connections to the server have, and prepares nothing.

    Raises:
        ConnectionLostError: the server cannot be reached or does not let us in.
        ConfigurationError: the DSN cannot be read.
    """
    found = parameters(dsn)
    failure: psycopg.Error
    try:
        connection = psycopg.connect(**found, autocommit=True)
        try:
            info = connection.info
            row = connection.execute(settings(info.backend_pid, info.server_version)).fetchone()
            if row is None or row[0] != info.backend_pid:
                connection.prepare_threshold = None
        except BaseException:
            connection.close()
            raise
        return connection
    except psycopg.Error as error:
        failure = error
    raise unreachable(failure, found)


@contextlib.contextmanager
def opened(dsn: str | None) -> Iterator[psycopg.Connection[TupleRow]]:
    """Open a connection for a few calls, and close it.

    Args:
        dsn: see `resolve`.

    Raises:
        ConnectionLostError: the server cannot be reached, or the connection broke meanwhile.
        ConfigurationError: the DSN cannot be read.
    """
    with contextlib.closing(connect(resolve(dsn))) as connection:
        try:
            yield connection
            return
        except psycopg.OperationalError as error:
            if not connection.closed:
                raise
            failure = lost(error)
    raise failure


def describe(connection: psycopg.Connection[Any]) -> str:
    """Say in words which database a connection is to."""
    return f"database {connection.info.dbname} at {connection.info.host or 'this machine'}"


async def aconnect(dsn: str) -> psycopg.AsyncConnection[TupleRow]:
    """Open a connection for the running event loop; see `connect`."""
    found = parameters(dsn)
    failure: psycopg.Error
    try:
        connection = await psycopg.AsyncConnection.connect(**found, autocommit=True)
        try:
            info = connection.info
            query = settings(info.backend_pid, info.server_version)
            row = await (await connection.execute(query)).fetchone()
            if row is None or row[0] != info.backend_pid:
                connection.prepare_threshold = None
        except BaseException:
            await connection.close()
            raise
        return connection
    except psycopg.Error as error:
        failure = error
    raise unreachable(failure, found)


async def open_plain(found: dict[str, Any]) -> psycopg.AsyncConnection[TupleRow]:
    """Open a connection of which nothing is set yet.

    Names of hosts are looked up anew each time, so a name that moves is followed.

    Args:
        found: of `parameters`.

    Raises:
        ConnectionLostError: the server cannot be reached or does not let us in.
    """
    failure: psycopg.Error
    try:
        return await psycopg.AsyncConnection.connect(**found, autocommit=True)
    except psycopg.Error as error:
        failure = error
    raise unreachable(failure, found)


def unreachable(error: psycopg.Error, found: dict[str, Any]) -> ConnectionLostError:
    """Say that a connection could not be opened, and where it was meant to go."""
    where = ", ".join(
        f"{name} {found[name]}" for name in ("host", "port", "dbname", "user") if found.get(name)
    )
    said = " ".join(str(error).split())
    if found.get("password"):
        said = said.replace(str(found["password"]), "***")
    return ConnectionLostError(
        f"cannot connect to PostgreSQL at {where or 'the default of libpq'}: {said}; "
        f"check the DSN ({DSN_VARIABLE}) and that the server is running"
    )


def says_server_is_down(error: ConnectionLostError) -> bool:
    """Tell from a failed attempt to connect whether the server itself is down, starting or ending.

    Every address that was tried must have said so. A server that speaks another language while it
    starts is taken for one that cannot be reached.
    """
    said = str(error)
    tried = said.count("connection to server")
    return 0 < tried <= sum(map(said.count, _DOWN))


def says_server_starts_or_ends(error: ConnectionLostError) -> bool:
    """Tell from a failed attempt to connect whether a server answered that it is not ready."""
    return _STARTS_OR_ENDS in str(error)


def is_alive(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether a connection that rested may be used, without asking the server.

    A server that went away has left something to read: its farewell and the end of the stream.
    What a connection found dead here was not yet asked to do can safely be asked of another.
    """
    if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
        return False  # gone, or left in the middle of something by an interrupt
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    try:
        # The farewell and the end of the stream are two things to read.
        for _ in range(8):
            if not poll.poll(0):
                return True
            connection.pgconn.consume_input()
    except psycopg.Error:
        return False
    return True


def settings(
    backend_pid: int,
    server_version: int,
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    pooled: bool = False,
) -> bytes:
    """Write the statement that makes a new connection ours.

    Its answer is a row of the server process behind the connection, of whether that is a standby,
    and of the settings. Where the process is not the one that greeted us there is a pooler between,
    which has many and greets with a number of its own. A `SET` might hit whoever is given that
    process next; so the settings end with the statement there.

    Args:
        backend_pid: the process that greeted us.
        server_version: as libpq gives it: 170004.
        more: settings besides ours, or instead.
        pooled: keep them for the session also behind a pooler, one that lends a process for as long
            as the session lasts.
    """
    wanted = {**_SESSION, **(_SINCE_17 if server_version >= 170000 else {}), **more}
    # Qualified, since a role's search_path may name a schema with functions of these names.
    brief = "false" if pooled else f"pg_catalog.int4ne(pg_catalog.pg_backend_pid(), {backend_pid})"
    columns = ["pg_catalog.pg_backend_pid()", "pg_catalog.pg_is_in_recovery()"]
    columns += [f"pg_catalog.set_config('{n}', '{value}', {brief})" for n, value in wanted.items()]
    return f"SELECT {', '.join(columns)}".encode()


def lost(error: psycopg.Error) -> ConnectionLostError:
    """Say that our connection broke while a call was under way."""
    said = " ".join(str(error).split())
    return ConnectionLostError(
        f"the connection to PostgreSQL broke during the call ({said}); it is not known whether it "
        "took effect: look before you call again"
    )
