"""argparse, made to speak in our sentences; and what is read from single words."""

import argparse
import datetime as dt
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from pgqueue.cli.exits import UsageError
from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import parse_offset, to_delta

#: What `add_keys` adds.
_KEYS: Final = (
    "unique_key", "unique_while", "unique_for", "on_duplicate", "concurrency_key", "max_running",
    "rate", "fair_key",
)  # fmt: skip

Run = Callable[[argparse.Namespace], int]

_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_UNKNOWN_COMMAND = re.compile(r"argument \S+: invalid choice: '(.*)' \(choose from", re.DOTALL)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


class Parser(argparse.ArgumentParser):
    """A parser of a command, or of a noun with commands below it.

    Args:
        prog: what was typed so far.
        summary: what it does, in one sentence; in lists, and on top of its own help.
        details: what else there is to say, sentences.
        examples: command lines behind `pgqueue`.
        top: whether this is the whole program, for the defaults of common options.
        options: as of ArgumentParser.
    """

    def __init__(
        self,
        *,
        prog: str,
        summary: str,
        details: str = "",
        examples: Sequence[str] = (),
        top: bool = False,
        **options: Any,
    ) -> None:
        told = [f"{summary[0].upper()}{summary[1:]}.", *([details] if details else [])]
        super().__init__(
            prog=prog,
            description="\n\n".join(textwrap.fill(text, 79) for text in told),
            epilog="\n  ".join(["examples:", *(f"pgqueue {line}" for line in examples)])
            if examples
            else None,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.summary = summary
        self.details = details
        self.examples = tuple(examples)
        self.children: dict[str, Parser] = {}
        self._below: Any = None
        # Below the top these must not put a default over what was given further left.
        self.add_argument(
            "--dsn",
            default=None if top else argparse.SUPPRESS,
            metavar="DSN",
            help="database: postgresql://user@host:5432/name, or embedded:./data for a private "
            "server; the default is PGQUEUE_DSN, then libpq's own variables",
        )
        self.add_argument(
            "--json",
            action="store_true",
            default=False if top else argparse.SUPPRESS,
            help="print JSON",
        )

    def command(
        self,
        name: str,
        summary: str,
        run: Run | None = None,
        *,
        details: str = "",
        examples: Sequence[str] = (),
    ) -> "Parser":
        """Add a command below this one.

        Args:
            name: what is typed.
            summary: what it does, in one sentence.
            run: what to call; None for a noun that has commands below it.
            details: as of Parser.
            examples: as of Parser.
        """
        made = Parser(
            prog=f"{self.prog} {name}", summary=summary, details=details, examples=examples
        )
        if run is not None:
            made.set_defaults(run=run)
        return self.adopt(name, made)

    def adopt(self, name: str, made: "Parser") -> "Parser":
        """Take in a parser that was made elsewhere as a command below this one."""
        if self._below is None:
            self._below = self.add_subparsers(title="commands", metavar="COMMAND", required=True)
        # argparse makes its parsers itself; it is told to make ours.
        self._below._parser_class = lambda **_: made
        self._below.add_parser(name, help=made.summary)
        self.children[name] = made
        made.set_defaults(parser=made)
        return made

    def read(self, arguments: list[str] | None) -> argparse.Namespace:
        """Read a whole command line.

        Raises:
            UsageError: it is none of ours.
        """
        given = sys.argv[1:] if arguments is None else arguments
        if not all(map(_is_text, given)):
            raise UsageError("the command line must be text; got bytes that are not UTF-8")
        words, unknown = self.parse_known_args(given)
        if unknown:
            parser: Parser = words.parser
            word = unknown[0].partition("=")[0] if unknown[0].startswith("-") else unknown[0]
            kind = "option" if word.startswith("-") else "argument"
            near = suggest(word, parser.options()) if kind == "option" else ""
            parser.error(f"unknown {kind} {quoted(word)}{near}")
        return words

    def options(self) -> list[str]:
        """List the options, as they are typed."""
        return sorted(set(_OPTION.findall(self.format_usage())))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with what was typed."""
        unknown = _UNKNOWN_COMMAND.match(message)
        if unknown is not None:
            word = unknown[1]
            message = (
                f"unknown command {quoted(word)}{suggest(word, self.children)}; "
                f"known are {', '.join(self.children)}"
            )
        elif "required: COMMAND" in message:
            message = f"a command is missing; known are {', '.join(self.children)}"
        # argparse writes "argument --limit: …", our own sentences go on with "must be".
        message = message.removeprefix("argument ").replace(": must be", " must be", 1)
        raise UsageError(f"{message}; see {self.prog} --help")


def add_call(parser: Parser, example: str) -> None:
    """Add the words that say which task is called, and with what.

    Args:
        example: name of a task.
    """
    parser.add_argument("task", metavar="TASK", help=f"name of the task, such as {example}")
    parser.add_argument(
        "args",
        metavar="ARGS-JSON",
        nargs="?",
        default="[]",
        help="positional arguments, a JSON array (default: [])",
    )
    parser.add_argument(
        "--kwargs", metavar="JSON", default="{}", help="keyword arguments, a JSON object"
    )


def quoted(word: str) -> str:
    """Write a word of the command line into a message, unless it may hold a password."""
    hidden = "://" in word or "password" in word.lower()
    return "(not shown, it may hold a password)" if hidden else shown(word)


def _is_text(word: str) -> bool:
    """Tell whether a word can be stored; Python carries bytes of another encoding as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number; got {shown(text)}") from None


def duration(text: str) -> dt.timedelta:
    """Read a duration: seconds, or an offset such as `1d12h`."""
    try:
        if _NUMBER.fullmatch(text):
            return to_delta(float(text), "it")
        return parse_offset(text, "it")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it ")) from None


def size(text: str) -> int:
    """Read an amount of memory: bytes, or with a unit such as `512MB` or `1GiB`."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"must be a number of bytes or a size such as 512MB or 1GiB; got {shown(text)}"
        )
    number, unit, binary = found.groups()
    power = "kmgt".index(unit.lower()) + 1 if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


def moment(text: str) -> dt.datetime:
    """Read a point in time: ISO 8601, with its zone."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise argparse.ArgumentTypeError(
            f"must be a time with its zone, such as 2030-01-31T09:00:00+01:00; got {shown(text)}"
        )
    return found


def add_keys(parser: Parser) -> None:
    """Add the options of a job that say which others it waits for, or is a duplicate of."""
    parser.add_argument("--unique-key", metavar="KEY", help="at most one live job has it")
    parser.add_argument(
        "--unique-while", metavar="WHEN", help="live, until it is over (default), or waiting"
    )
    parser.add_argument(
        "--unique-for", type=duration, metavar="TIME", help="as long, even when it is over by then"
    )
    parser.add_argument(
        "--on-duplicate",
        metavar="WHAT",
        help="ignore (default), replace, reschedule or error",
    )
    parser.add_argument(
        "--concurrency-key", metavar="KEY", help="at most --max-running jobs of it run at once"
    )
    parser.add_argument(
        "--max-running", type=whole, metavar="N", help="how many of the key (default: 1)"
    )
    parser.add_argument(
        "--rate", metavar="RATE", help="how many of the key, or the task, start in a time: 100/m"
    )
    parser.add_argument(
        "--fair-key", metavar="KEY", help="taken in turn with the other fair keys of the queue"
    )


def keys_of(words: argparse.Namespace) -> dict[str, Any]:
    """Give those options, as words of a job; None where one was not given."""
    return {name: getattr(words, name) for name in _KEYS}
