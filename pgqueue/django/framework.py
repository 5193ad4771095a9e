"""What the worker does around each job in a Django project; a `pgqueue.api.framework.Framework`."""

import contextlib
import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final

from asgiref.sync import async_to_sync, sync_to_async
from django.apps import apps
from django.core.cache import close_caches
from django.db import connections, transaction

from pgqueue.api.atomic import use_transactions
from pgqueue.api.framework import use_framework
from pgqueue.db.callers import has_failed
from pgqueue.django import conf, references
from pgqueue.django.transactions import DjangoTransaction

#: Seconds for which what was looked at after a job need not be looked at before the next.
_FRESH: Final = 1.0
#: Of each thread: when that was.
_looked: Final = threading.local()

log = logging.getLogger("pgqueue.worker")


def install() -> None:
    """Hand it to the worker, with Django's transactions for atomic tasks."""
    use_framework(DjangoFramework())
    use_transactions(lambda: DjangoTransaction(conf.database()))


class DjangoFramework:
    """Connections, caches, model instances and tasks as a Django project expects them."""

    def find(self, name: str) -> None:
        """Import the module of a task that is in an app of the project, unless it was."""
        module = name.rpartition(".")[0]
        if not module or module in sys.modules or apps.get_containing_app_config(module) is None:
            return
        try:
            importlib.import_module(module)
        except Exception:
            # Of a name in a row of a table; it may be there for another version of the code.
            log.debug("the module of task %s cannot be imported", name, exc_info=True)

    def fill(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Put model instances in the place of references."""
        return references.fetch(args, kwargs)

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Close connections that are broken or too old, before and after; and forget queries."""
        close_old()
        try:
            yield
        finally:
            tidy()

    async def on_loop(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do the same in the thread that has the connections of coroutines."""
        await sync_to_async(close_old, thread_sensitive=True)()
        try:
            return await function(*args, **kwargs)
        finally:
            await sync_to_async(tidy, thread_sensitive=True)()

    def wait(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a coroutine function, whose use of the ORM comes back to this thread."""
        return async_to_sync(function)(*args, **kwargs)

    @contextlib.contextmanager
    def part(self, *, always: bool) -> Iterator["DjangoPart"]:
        """Run a job of a test as a savepoint; what a failed statement has broken is rolled back."""
        part = DjangoPart(conf.database())
        if not (always or connections[part.alias].in_atomic_block):
            yield part
            return
        with transaction.atomic(using=part.alias):
            yield part
            if has_failed(connections[part.alias]):
                part.roll_back()


class DjangoPart:
    """A savepoint of Django's; a `pgqueue.api.framework.Part`.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> Any:
        """The driver's connection that Django uses."""
        return connections[self.alias].connection

    def roll_back(self) -> None:
        """Let it be rolled back at its end."""
        transaction.set_rollback(True, using=self.alias)


def close_old() -> None:
    """Close the connections of this thread that are unusable or too old, unless just looked at.

    Not those in a transaction: an atomic task's, or a test's, in which a job is run.
    """
    if monotonic() - getattr(_looked, "at", 0.0) > _FRESH:
        for connection in connections.all(initialized_only=True):
            _close_if_old(connection)


def tidy() -> None:
    """Do what Django does after a request."""
    # One look for all there is to do: finding the connections takes longest.
    for connection in connections.all(initialized_only=True):
        _close_if_old(connection)
        connection.queries_log.clear()
    close_caches()
    _looked.at = monotonic()


def _close_if_old(connection: Any) -> None:
    if connection.connection is not None and not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
