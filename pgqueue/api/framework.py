"""What a framework wants done around jobs; its layer stands above this one and hands it in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Part(Protocol):
    """A part of the caller's transaction."""

    @property
    def connection(self) -> Any:
        """What an atomic task gets as `context.connection`."""

    def roll_back(self) -> None:
        """Let it be rolled back at its end."""


class Framework(Protocol):
    """What the worker, and `pgqueue.testing`, ask of a framework."""

    def find(self, name: str) -> None:
        """Register the task of this name if it can be found, as in a module to be imported yet."""

    def fill(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Put what is meant in the place of arguments that only stand for it.

        Raises:
            ArgumentGoneError: there is no such thing any more.
        """

    def around(self) -> AbstractContextManager[None]:
        """Enter before a job of a worker is called, in its thread, and leave after it."""

    async def on_loop(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a coroutine function on the event loop, doing the same around it as `around`."""

    def wait(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a coroutine function and wait for it, so that it uses the caller's connections; for
        `pgqueue.testing`."""

    def part(self, *, always: bool) -> AbstractContextManager[Part]:
        """Enter a part of the transaction that is under way, as a savepoint, which is rolled back
        where it cannot be committed; for `pgqueue.testing`, which runs jobs in the caller's.

        Args:
            always: begin a transaction where none is under way.
        """


_frameworks: list[Framework] = []


def use_framework(framework: Framework | None) -> None:
    """Let jobs run the way a framework wants it; None for no framework again."""
    _frameworks[:] = [] if framework is None else [framework]


def current() -> Framework | None:
    """Give what `use_framework` was told."""
    return _frameworks[-1] if _frameworks else None
