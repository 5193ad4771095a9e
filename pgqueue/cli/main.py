"""The whole command line: its commands, and how a run of it ends."""

import gc
import io
import os
import sys
from collections.abc import Iterable, Sequence

from pgqueue.cli import enqueue, groups, jobs, queues, schedules, schema, upkeep, worker, workers
from pgqueue.cli.database import warn_of_password
from pgqueue.cli.exits import Exit, explain
from pgqueue.cli.extra import ExtraCommand, ExtraParser
from pgqueue.cli.output import note
from pgqueue.cli.parser import Parser

_NOUNS = (worker, enqueue, jobs, queues, groups, schedules, workers, upkeep, schema)


def make_parser(version: str, extra: Iterable[ExtraCommand] = ()) -> Parser:
    """Make the parser of the whole program.

    Args:
        version: of pgqueue.
        extra: commands that live beside this package or above it.
    """
    top = Parser(prog="pgqueue", summary="background jobs with nothing but PostgreSQL", top=True)
    top.add_argument("--version", action="version", version=f"pgqueue {version}")
    top.set_defaults(version=version)
    for noun in _NOUNS:
        noun.add(top)
    for command in extra:
        top.adopt(command.name, ExtraParser(top.prog, command))
    return top


def main(
    arguments: Sequence[str] | None = None,
    *,
    version: str,
    extra: Iterable[ExtraCommand] = (),
) -> int:
    """Run one command line.

    Args:
        arguments: without the name of the program; None for those it was started with.
        version: of pgqueue.
        extra: commands that live beside this package or above it.

    Returns:
        The exit code.
    """
    if arguments is None:
        # A program of its own: what it has imported stays, so that no collection need look at it,
        # and not the last ones either, which are a fifth of what a short command takes.
        gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A job's error may hold what this terminal has no sign for.
            stream.reconfigure(errors="backslashreplace")
    try:
        words = make_parser(version, extra).read(None if arguments is None else list(arguments))
        words.is_program = arguments is None
        warn_of_password(words)
        code: int = words.run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Else the interpreter, at its end, would complain about what it cannot write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        note(explained[0])
        return explained[1]
    return code
