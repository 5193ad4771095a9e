"""The reference is what the parser says, and the composed services are started as it allows."""

import json
import re

from pgqueue.__main__ import EXTRA
from pgqueue.cli.main import make_parser
from tests.docs import cli_reference
from tests.helpers import ROOT


def test_the_reference_is_current() -> None:
    text = cli_reference.PAGE.read_text(encoding="utf-8")
    assert text == cli_reference.write(), "run: python -m tests.docs.cli_reference"


def test_every_command_has_a_help_and_the_common_options() -> None:
    top = make_parser("0", EXTRA)
    for name, parser in top.children.items():
        for one in (parser, *parser.children.values()):
            assert "--dsn" in one.format_help(), name
            assert "--json" in one.format_help(), name
            assert all(action.help for action in one._actions if action.option_strings), name


def test_the_composed_services_are_commands_of_ours() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    worker = re.findall(r"^ {6}- (.+)$", text.partition("\n  worker:")[2], re.MULTILINE)
    words = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", json.loads(f'"{word}"')) for word in worker]
    parser = make_parser("0")
    assert words[0].endswith("/pgqueue")
    assert parser.read(words[1:4]).queues == "*"
    found = re.search(r"exec \S+/pgqueue (.+)$", text, re.MULTILINE)
    assert found is not None
    assert parser.read(found[1].split()).parser.prog == "pgqueue schema upgrade"
