"""Print answers: tables for people, JSON for programs, sentences for both."""

import datetime as dt
import itertools
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence

import orjson

#: What a cell may hold is what `cell` can write.
Cells = Sequence[object]


def say(words: Namespace, sentence: str, facts: Mapping[str, object]) -> None:
    """Print what was done: a sentence, or its facts as JSON."""
    if words.json:
        print_json(facts)
    else:
        print(visible(sentence))


def note(sentence: str) -> None:
    """Print one line for people to standard error, with our name before it."""
    print(f"pgqueue: {visible(' '.join(sentence.split()))}", file=sys.stderr)


def print_json(value: object) -> None:
    """Print JSON, times in ISO 8601."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
    print(text.decode())


def print_table(headings: Sequence[str], rows: Iterable[Cells]) -> None:
    """Print rows below headings: with lines for a terminal, plain for whatever else reads them."""
    cells = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        # Not on top: rich takes its time to import, and a worker never draws.
        from pgqueue.cli.tables import draw

        draw(headings, cells)
        return
    flat = [[" ".join(text.split()) for text in row] for row in cells]
    lines = [[heading.upper() for heading in headings], *flat]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(map(str.ljust, line, widths)).rstrip())


def print_pairs(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {cell(value)}")


def cell(value: object) -> str:
    """Write one value for people: nothing as a dash, times in ISO 8601."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case dt.timedelta():
            return _offset(value.total_seconds())
        case float():
            return f"{value:g}"
    return visible(str(value))


def _offset(seconds: float) -> str:
    """Write a duration as it may be typed: its largest unit, and the one below it."""
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    for (letter, size), (lesser, below) in itertools.pairwise(units):
        if seconds >= size:
            count, rest = divmod(int(seconds), size)
            return f"{count}{letter}" + (f"{rest // below}{lesser}" if rest >= below else "")
    return f"{seconds:.3g}s"


def visible(text: str) -> str:
    """Make control characters harmless: what came from a job must not steer a terminal."""
    return text if text.isprintable() else "".join(map(_picture, text))


def _picture(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    return "\u2421" if number == 0x7F else f"\\u{number:04x}"
