"""Whose transactions atomic tasks run in: pgqueue's own, or those of a framework.

A framework's layer stands above this one and hands its transactions in by `use_transactions`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pgqueue.api.task import Task
from pgqueue.core.errors import ConfigurationError
from pgqueue.db.statements.base import Statement


class AtomicTransaction(Protocol):
    """One transaction after the other, for one thread; see `db.atomic.Transaction`."""

    @property
    def connection(self) -> Any:
        """What the task gets as `context.connection`, while a transaction is under way."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke, so that the transaction is rolled back, or will be."""

    def begin(self, mark: str) -> None:
        """Begin, and set `statements.finishing.MARK` to the mark for this transaction."""

    def finish(self, statement: Statement[str]) -> str:
        """Send the statement that finishes the job."""

    def commit(self) -> None:
        """Commit; what raises afterwards, as a hook of the application's, is not raised here."""

    def rollback(self, *, interrupted: bool = False) -> None:
        """Roll back; never raises. After an interrupt the connection must not be waited for."""

    def interrupt(self) -> None:
        """End the statement that is under way, if any; called by another thread, never raises."""


_makers: list[Callable[[], AtomicTransaction]] = []


def use_transactions(make: Callable[[], AtomicTransaction] | None) -> None:
    """Let atomic tasks run in the transactions of a framework.

    Args:
        make: gives one for each thread that runs jobs; None for pgqueue's own again.
    """
    _makers[:] = [] if make is None else [make]


def transactions() -> Callable[[], AtomicTransaction] | None:
    """Give what `use_transactions` was told."""
    return _makers[-1] if _makers else None


def check_atomic(tasks: Iterable[Task[Any, Any]]) -> None:
    """Pass when every atomic task can reach the connection of its transaction.

    Called once all modules are imported: a framework may come after the first tasks.

    Raises:
        ConfigurationError: one cannot.
    """
    framework = transactions() is not None
    for task in tasks:
        if not task.options.atomic:
            continue
        if framework and task.is_async:
            raise ConfigurationError(
                f"task {task.name} is atomic and async; Django's transactions are for sync code "
                "only; make it a plain function, or leave atomic=True out"
            )
        if not framework and not task.options.context:
            raise ConfigurationError(
                f"task {task.name} is atomic and has no connection to write over; declare it with "
                "@task(context=True, atomic=True) and write over context.connection; with Django's "
                "ORM call pgqueue.django.use_django_connections() first"
            )
