"""Run jobs as they are enqueued."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from pgqueue.api.app import PgQueue
from pgqueue.api.default import default_app
from pgqueue.testing.draining import drain, is_draining

_ADDING: Final = frozenset({"enqueue", "enqueue_dated", "enqueue_each", "enqueue_many", "copy"})
#: Calls by which jobs come to be that have no method of the client's.
_CALLS: Final = ("pgqueue.enqueue_flow(", "pgqueue.close_group(", "pgqueue.set_last_job(")


@contextmanager
def inline(*, raise_errors: bool = True, app: PgQueue | None = None) -> Iterator[None]:
    """Within the block, let an enqueue run its job before it returns, and whatever else is due.

    A job of later is not run, and one that a running job enqueues has its turn after that. What is
    enqueued over a connection of the caller's own is left to `drain`.

    Args:
        raise_errors: raise what a task has raised, from its enqueue.
        app: whose jobs; None for the default app's.
    """
    found = app or default_app()
    clients = found.clients
    before = clients.sync, clients.asynchronous

    def run() -> None:
        if not is_draining():
            drain(app=found, raise_errors=raise_errors)

    clients.sync = _Inline(clients.sync, run)  # type: ignore[assignment]
    clients.asynchronous = _AsyncInline(  # type: ignore[assignment]
        clients.asynchronous, partial(clients.aside, run)
    )
    try:
        yield
    finally:
        clients.sync, clients.asynchronous = before


class _Inline:
    """A client that has something done after each call that adds jobs."""

    def __init__(self, inner: Any, then: Callable[[], None]) -> None:
        self._inner = inner
        self._then = then

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in _ADDING and name != "run":
            return found

        def adding(new: Any, connection: object = None) -> Any:
            given = found(new, connection)
            if connection is None and _adds(name, new):
                self._then()
            return given

        return adding


class _AsyncInline:
    """The same for the client of coroutines."""

    def __init__(self, inner: Any, then: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._then = then

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in _ADDING and name != "run":
            return found

        async def adding(new: Any, connection: object = None) -> Any:
            given = await found(new, connection)
            if connection is None and _adds(name, new):
                await self._then()
            return given

        return adding


def _adds(name: str, new: Any) -> bool:
    return name != "run" or any(call in new.text for call in _CALLS)
