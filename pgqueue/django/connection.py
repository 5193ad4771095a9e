"""Django's connection to the database of the queue, as the calls of pgqueue use it."""

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

from pgqueue.db import connections as own
from pgqueue.django import conf

T = TypeVar("T")


class DjangoLender:
    """Lend Django's connection of the current thread; a `db.callers.Lender`."""

    def connection(self) -> Any:
        """Give the connection, in whatever transaction it is in."""
        return connections[conf.database()]

    def in_transaction(self) -> bool:
        """Tell whether that is in a transaction, as in `atomic()` and in a TestCase."""
        wrapper = connections[conf.database()]
        return wrapper.in_atomic_block or not wrapper.get_autocommit()

    async def aside(self, call: Callable[[], T]) -> T:
        """Make a call from a coroutine, in the thread where Django's connections are."""
        result: T = await sync_to_async(call, thread_sensitive=True)()
        return result

    def dsn(self) -> str:
        """Give the DSN of the same database, for connections of our own."""
        return dsn()


def dsn(alias: str | None = None) -> str:
    """Write the DSN of a database of Django's, as a worker needs it.

    Args:
        alias: of the database; None for that of the queue.

    Raises:
        ConfigurationError: it is not PostgreSQL.
    """
    wrapper = connections[alias or conf.database()]
    parameters = wrapper.get_connection_params()
    role = wrapper.settings_dict["OPTIONS"].get("assume_role")
    if role:
        quoted = str(role).replace("\\", "\\\\").replace(" ", "\\ ")
        parameters["options"] = f"{parameters.get('options', '')} -c role={quoted}".strip()
    return own.make_dsn(parameters)
