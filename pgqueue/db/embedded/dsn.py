"""Turn a DSN that people give into one that drivers understand."""

import atexit
import dataclasses
import os
import threading
from types import TracebackType
from typing import Self

from pgqueue.db.embedded.server import EmbeddedServer

_SCHEME = "embedded:"

# The private servers this process uses until its end, by process (a fork must not use its
# parent's lifeline as if it were its own) and directory.
_in_use: dict[tuple[int, str], EmbeddedServer] = {}
_guard = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDsn:
    """A DSN for drivers, and the private server behind it if there is one.

    Use it as a context manager, or call `close` when the connections to it are closed.
    """

    dsn: str
    server: EmbeddedServer | None = None

    def close(self) -> None:
        """Stop the private server, unless another process still uses it."""
        if self.server is not None:
            self.server.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_embedded(dsn: str) -> bool:
    """Return whether the DSN asks for a private server."""
    return dsn.startswith(_SCHEME)


def open_dsn(dsn: str) -> OpenedDsn:
    """Start or join the private server that an `embedded:` DSN names; pass others through.

    Args:
        dsn: `embedded:` (temporary, of the caller alone), `embedded:./data` (kept in that
            directory and shared by all processes that name it), or anything libpq understands.

    Raises:
        ConfigurationError: the private server cannot be started.
    """
    if not is_embedded(dsn):
        return OpenedDsn(dsn=dsn)
    directory = dsn.removeprefix(_SCHEME)
    # A temporary server's data dies with its only user, so nothing is gained by syncing it.
    server = EmbeddedServer.start(directory or None, fsync=bool(directory))
    return OpenedDsn(dsn=server.dsn(), server=server)


def resolve_dsn(dsn: str) -> str:
    """Return a DSN for drivers; a private server that it names stays until this process ends.

    Asked twice for the same private server, `embedded:` included, a process gets the same.

    Raises:
        ConfigurationError: the private server cannot be started.
    """
    if not is_embedded(dsn):
        return dsn
    directory = dsn.removeprefix(_SCHEME)
    key = (os.getpid(), os.path.abspath(directory) if directory else "")
    with _guard:
        server = _in_use.get(key)
        if server is None:
            if not _in_use:
                atexit.register(_release_all)
            server = _in_use[key] = EmbeddedServer.start(directory or None, fsync=bool(directory))
        return server.dsn()


def _release_all() -> None:
    # Not needed for the server to stop, but so it has stopped when a command has returned.
    for server in _in_use.values():
        server.release()
