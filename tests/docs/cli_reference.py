"""Write docs/reference/cli.md from the parser of the command line.

python -m tests.docs.cli_reference
"""

import argparse
from collections.abc import Iterator
from typing import Final

from pgqueue.__main__ import EXTRA
from pgqueue.cli.exits import MEANINGS
from pgqueue.cli.extra import ExtraParser
from pgqueue.cli.main import make_parser
from pgqueue.cli.parser import Parser
from tests.docs.pages import DOCS

PAGE: Final = DOCS / "reference" / "cli.md"

_HEAD: Final = """\
# Command line reference

Every command prints a sentence or a table for people, or JSON with `--json`.

```sh
python -m pgqueue health        # the same as the script: pgqueue health
```

Answers go to standard output: sentences and tables for people, in plain columns where the output is
not a terminal, or JSON with `--json`. Everything else goes to standard error: the log of a worker,
and what went wrong, as one sentence that begins with `pgqueue:`. Times are in ISO 8601, in UTC.

This page is generated from the parser.

## Options of every command

They may stand before the command or behind it.

{common}

A *TIME* is a number of seconds, or an offset such as `30s`, `5m`, `3h`, `1d12h` or `2w`.

A DSN with a password in it works, with a warning: other users of the machine can read a command
line. Give the DSN in `PGQUEUE_DSN`, or the password in `PGPASSWORD` or `~/.pgpass`. A password is
never printed. See [settings](settings.md).

## Exit codes

{exits}
"""
#: Defaults that depend on the machine.
_DEFAULTS: Final = {"processes": "2, or 1 where there is one processor"}
_COMMON: Final = ("--help", "--dsn", "--json", "--version")


def write() -> str:
    """Write the page."""
    top = make_parser("", EXTRA)
    common = [action for action in top._actions if set(action.option_strings) & {*_COMMON}]
    exits = ["| code | means |", "| --- | --- |"]
    exits += [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    head = _HEAD.format(common=_table(common), exits="\n".join(exits))
    return "\n".join([head, *_commands(top, 2)])


def _commands(parser: Parser, level: int) -> Iterator[str]:
    for child in parser.children.values():
        if isinstance(child, ExtraParser):
            child.fill()
        yield f"{'#' * level} {child.prog.removeprefix('pgqueue ')}\n"
        yield f"{child.summary[0].upper()}{child.summary[1:]}.\n"
        if child.details:
            yield f"{_told(child.details)}\n"
        if not child.children:
            actions = [action for action in child._actions if not _is_common(action)]
            usage = " ".join(["python -m", child.prog, *map(_usage, actions)])
            yield f"```text\n{usage}\n```\n"
            if actions:
                yield f"{_table(actions)}\n"
        if child.examples:
            lines = "\n".join(f"python -m pgqueue {line}" for line in child.examples)
            yield f"```sh\n{lines}\n```\n"
        yield from _commands(child, level + 1)


def _is_common(action: argparse.Action) -> bool:
    return bool(set(action.option_strings) & {*_COMMON})


def _usage(action: argparse.Action) -> str:
    words = _words(action)
    if action.option_strings:
        return f"[{words}]…" if isinstance(action, argparse._AppendAction) else f"[{words}]"
    return f"[{words}]" if action.nargs == "?" else words


def _table(actions: list[argparse.Action]) -> str:
    rows = ["| option | means |", "| --- | --- |"]
    for action in actions:
        default = _DEFAULTS.get(action.dest, action.default)
        help_text = (action.help or "") % {"default": default}
        rows.append(f"| `{_words(action)}` | {_told(help_text)} |")
    return "\n".join(rows)


def _words(action: argparse.Action) -> str:
    name = max(action.option_strings, key=len, default="")
    value = action.metavar or action.dest.upper().replace("_", "-")
    return " ".join(filter(None, (name, str(value) if action.nargs != 0 else "")))


def _told(text: str) -> str:
    """Keep Markdown from taking a star or an underscore for its own."""
    return text.replace("*", r"\*").replace("_", r"\_").replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
