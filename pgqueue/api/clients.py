"""The two clients of one database, as the app, its tasks and its handles share them."""

from pgqueue.db.async_client import AsyncClient
from pgqueue.db.client import Client


class Clients:
    """Hold the sync and the async client of one database.

    Args:
        dsn: where their own connections go.

    Attributes:
        dsn: the same, as it was given.
    """

    __slots__ = ("asynchronous", "dsn", "sync")

    def __init__(self, dsn: str | None) -> None:
        self.dsn = dsn
        self.sync = Client(dsn)
        self.asynchronous = AsyncClient(dsn)
