"""Commands that live outside of this package and are handed in by `__main__`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pgqueue.cli.parser import Parser


class CommandModule(Protocol):
    """What such a command is: a module with these two functions."""

    @property
    def add_arguments(self) -> Callable[[argparse.ArgumentParser], None]:
        """Add its arguments to a parser that has `--dsn` and `--json` already."""

    @property
    def run(self) -> Callable[[argparse.Namespace], int]:
        """Run it; gives the exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraCommand:
    """Name a command and say where it is.

    Attributes:
        name: what is typed.
        summary: what it does, in one sentence.
        load: imports its module; called when the command is typed and not before, so that a worker
            does not import what it does not need.
    """

    name: str
    summary: str
    load: Callable[[], CommandModule]


class ExtraParser(Parser):
    """A parser that asks its command's module for arguments when first used."""

    def __init__(self, prog: str, command: ExtraCommand) -> None:
        super().__init__(
            prog=f"{prog} {command.name}", summary=command.summary, conflict_handler="resolve"
        )
        self._command: ExtraCommand | None = command

    def fill(self) -> None:
        """Import the command and add its arguments."""
        command, self._command = self._command, None
        if command is not None:
            module = command.load()
            module.add_arguments(self)
            self.set_defaults(run=module.run)

    def parse_known_args(  # type: ignore[override]  # of many overloads, the one that is called
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Read its part of the command line."""
        self.fill()
        return super().parse_known_args(args, namespace)
