"""Turn a DSN that people give into one that drivers understand."""

import dataclasses
from types import TracebackType
from typing import Self

from pgqueue.db.embedded.server import EmbeddedServer

_SCHEME = "embedded:"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedDsn:
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


def resolve_dsn(dsn: str) -> ResolvedDsn:
    """Start or join the private server that an `embedded:` DSN names; pass others through.

    Args:
        dsn: `embedded:` (temporary, of this process), `embedded:./data` (kept in that directory
            and shared by all processes that name it), or anything libpq understands.

    Raises:
        ConfigurationError: the private server cannot be started.
    """
    if not is_embedded(dsn):
        return ResolvedDsn(dsn=dsn)
    directory = dsn.removeprefix(_SCHEME)
    # A temporary server's data dies with this process, so nothing is gained by syncing it.
    server = EmbeddedServer.start(directory or None, fsync=bool(directory))
    return ResolvedDsn(dsn=server.dsn(), server=server)
