"""What cannot be read: one sentence with the nearest known word, and never a password."""

import datetime as dt
from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from pgqueue.__main__ import EXTRA, main
from pgqueue.cli.exits import UsageError
from pgqueue.cli.main import make_parser
from pgqueue.cli.parser import duration, moment, whole
from pgqueue.cli.values import json_array, json_object, to_json
from pgqueue.core.errors import ConfigurationError

WRONG = [
    ("", "a command is missing; known are worker, enqueue, jobs"),
    ("wroker", "unknown command 'wroker'; did you mean 'worker'?; known are worker, enqueue"),
    (
        "jobs",
        "a command is missing; known are list, show, retry, cancel, cancel-matching, set-priority,",
    ),
    ("jobs lsit", "unknown command 'lsit'; did you mean 'list'?"),
    ("worker --queus mail", "unknown option '--queus'; did you mean '--queues'?"),
    ("worker --queu mail", "unknown option '--queu'; did you mean '--queues'?"),
    ("worker --queus=mail", "unknown option '--queus'; did you mean '--queues'?; see pgqueue wor"),
    ("worker mail", "unknown argument 'mail'; see pgqueue worker --help"),
    ("worker --threads", "--threads: expected one argument"),
    ("worker --threads two", "--threads must be a whole number; got 'two'"),
    ("worker --grace 5x", "--grace must be an offset such as '30s'"),
    ("jobs show", "the following arguments are required: ID"),
    ("jobs show x", "ID must be a whole number; got 'x'"),
    ("enqueue", "the following arguments are required: TASK"),
    ("enqueue t --in 1s --at 2030-01-01T00:00:00Z", "--at: not allowed with argument --in"),
    ("enqueue t --at 2030-01-01T00:00:00", "--at must be a time with its zone, such as 2030-"),
    ("enqueue t --at soon", "--at must be a time with its zone"),
    ("enqueue t --in -5", "--in must be an offset"),
    ("queues configure mail --retention 1y", "--retention must be an offset"),
    ("demo --limit 0", "--limit must be a whole number from 1"),
    ("health \udcff", "the command line must be text"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_wrong_words(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"pgqueue: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "jobs show 1 postgresql://me:secret@host/name",
        "postgresql://me:secret@host/name",
        "jobs password=secret",
        "health --password=secret",
        "health --dns=postgresql://me:secret@host/name",
        "health --dsn postgresql://me:secret@[host/name",
        "--dsn host='secret jobs list",
    ],
)
def test_passwords_are_not_repeated(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert "secret" not in out + err
    assert err.startswith("pgqueue: ")


def test_common_options_stand_anywhere() -> None:
    parser = make_parser("0", EXTRA)
    for line in (
        "--dsn dbname=x --json jobs list",
        "jobs --dsn dbname=x --json list",
        "jobs list --dsn dbname=x --json",
        "--json jobs list --dsn dbname=x",
    ):
        words = parser.read(line.split())
        assert (words.dsn, words.json) == ("dbname=x", True)
    words = parser.read(["jobs", "list"])
    assert (words.dsn, words.json) == (None, False)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["--help"], ["jobs", "--help"], ["demo", "--help"], ["--version"]):
        with pytest.raises(SystemExit, match="0"):
            main(line)
        assert "pgqueue" in capsys.readouterr().out


def test_values() -> None:
    assert whole("-5") == -5
    assert duration("1.5") == dt.timedelta(seconds=1.5)
    assert duration("1d12h") == dt.timedelta(hours=36)
    assert moment("2030-01-31T09:00:00Z") == dt.datetime(2030, 1, 31, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("read", "text"),
    [(whole, "9" * 5000), (whole, "1.0"), (duration, "9" * 30), (duration, "1e400"), (moment, "x")],
)
def test_wrong_values(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^must be") as caught:
        read(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1,", "it must be JSON, such as .*; expecting value at character 4"),
        ("", "expecting value at character 1"),
        ("[NaN]", "JSON has no NaN"),
        ('["\udcff"]', "it must be JSON"),
        ("[" * 100_000, "nested too deep"),
        ("{}", "it must be a JSON array, such as .*; got an object"),
        ("null", "got null"),
        ("true", "got a boolean"),
        ("1", "got a number"),
        ('"a"', "got a string"),
        ('{"$t": "set", "v": []}', "got a tagged value"),
        ('[{"$t": "sett", "v": []}]', "it must be JSON"),
    ],
)
def test_json_that_is_no_array(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        json_array(text, "it")


def test_json() -> None:
    tagged = '[1, {"$t":"decimal","v":"1.50"}, {"$t":"datetime","v":"2030-01-01T00:00:00+00:00"}]'
    assert to_json(json_array(tagged, "it")) == [
        1,
        {"$t": "decimal", "v": "1.50"},
        {"$t": "datetime", "v": "2030-01-01T00:00:00+00:00"},
    ]
    assert json_object('{"a": [2]}', "it") == {"a": [2]}
    with pytest.raises(ConfigurationError, match=r"must be a JSON object.*; got an array"):
        json_object("[]", "it")


def test_a_parser_raises_and_does_not_exit() -> None:
    with pytest.raises(UsageError):
        make_parser("0").read(["nothing"])
