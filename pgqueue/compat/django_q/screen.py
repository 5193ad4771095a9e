"""A picture in the terminal that is drawn anew each second, until somebody presses q."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live

_EVERY: Final = 1.0


def watch(picture: Callable[[], RenderableType], console: Console | None = None) -> None:
    """Show a picture until q is pressed, or the program is interrupted.

    Args:
        picture: gives it, each time anew.
        console: where; None for standard output.
    """
    console = console or Console()
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys() as pressed,
        Live(picture(), console=console, screen=console.is_terminal, auto_refresh=False) as live,
    ):
        while pressed(_EVERY) not in ("q", "Q"):
            live.update(picture(), refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give a function that waits for a key so long, and gives it or nothing."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)
    try:
        yield _key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""
