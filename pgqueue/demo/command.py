"""`python -m pgqueue demo`: its options, and how its parts go together."""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from pgqueue.core.errors import ConfigurationError

_FAILED: Final = 1
_FILES: Final = 5_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demonstration to a parser."""
    parser.add_argument(
        "--path",
        metavar="DIR",
        type=_directory,
        help="examine the files below this directory (default: Python's standard library)",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=_positive,
        default=_FILES,
        help="examine at most N files (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_positive,
        default=min(2, os.cpu_count() or 1),
        help="children of each of the two workers (default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print what was measured as one JSON object, and nothing else",
    )


def run(options: argparse.Namespace) -> int:
    """Run the demonstration.

    Args:
        options: what `add_arguments` describes.

    Returns:
        The exit code: 0 when all is well, 1 when a job was lost or one exists that nobody
        committed, 130 for Ctrl-C.

    Raises:
        ConfigurationError: it cannot begin: an option is wrong, or something is not installed.
        PgQueueError: a worker or the server ended by itself.
    """
    if getattr(options, "dsn", None):
        raise ConfigurationError(
            "the demonstration starts a private PostgreSQL of its own; leave out --dsn"
        )
    try:
        # Here, since the sentence below is for those who have not installed what it needs.
        from rich.console import Console

        from pgqueue.demo.display import Display, final_table
        from pgqueue.demo.play import play
        from pgqueue.demo.work import find_files, standard_library
    except ModuleNotFoundError as error:
        if (error.name or "pgqueue").startswith("pgqueue"):
            raise
        raise ConfigurationError(
            f"the demonstration needs the package {error.name}; "
            'run: python -m pip install "pgqueue[demo]"'
        ) from None
    path = options.path or standard_library()
    try:
        with (
            _ended_by_signals(),
            _undisturbed(),
            Display(Console(stderr=options.json), quiet=options.json) as display,
        ):
            files = find_files(path, options.limit)
            display.say(f"{len(files):,} files below {path}")
            outcome = play(files, processes=options.processes, display=display)
    except _Ended as ended:
        _say("the demonstration was stopped")
        return 128 + ended.number
    figures = outcome.figures
    if options.json:
        sys.stdout.write(json.dumps(figures.as_json()) + "\n")
    else:
        Console().print(
            final_table(figures, held_by_killed=outcome.held_by_killed, singles=outcome.singles)
        )
    for problem in outcome.problems:
        _say(f"the database is not as it must be: {problem}")
    return _FAILED if figures.lost or figures.phantom or outcome.problems else 0


class _Ended(KeyboardInterrupt):  # psycopg lets a statement go when it sees that one
    """Say which signal ended us."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the usual signals unwind the stack, so that everything is cleaned up."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _Ended(number)

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    # A transaction cut short by a signal cannot be rolled back politely, which it would tell.
    libraries = logging.getLogger("psycopg")
    level = libraries.level
    libraries.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        libraries.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hide what is meant to lead libpq to another server: the one here is our own."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    hidden = {name: value for name, value in hidden.items() if not name.startswith("PGQUEUE_")}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1000000; got {text!r}")
    return int(text)


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be a directory; got nothing")
    return Path(text)


def _say(sentence: str) -> None:
    sys.stderr.write(f"pgqueue: {sentence}\n")
