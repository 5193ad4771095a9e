"""Every Python and SQL block of the documentation runs; every command line in it can be read."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue import PgQueue, default_app, set_default_app
from pgqueue.__main__ import EXTRA, main
from pgqueue.api.app import registry
from pgqueue.cli.main import make_parser
from tests.docs.examples import Runner
from tests.docs.pages import Page, pages
from tests.fixtures.databases import Database

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
_PREVIEW = re.compile(
    r"^```sh\npython -m pgqueue (schedules preview .*)\n```\n\n```text\n((?:.*\n)+?)```$", re.M
)
_COMMAND = re.compile(r"python -m pgqueue (.*)")
RUN = [page for page in pages() if page.blocks("python", "sql")]
SHOWN = [page for page in pages() if page.blocks("sh")]


@pytest.fixture
def environment(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a reader has: variables that say where the database is, a folder of their own."""
    for key, value in conninfo_to_dict(db.dsn).items():
        if key in _VARIABLES:
            monkeypatch.setenv(_VARIABLES[key], str(value))
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tasks, app, modules = dict(registry._tasks), default_app(), set(sys.modules)
    with PgQueue(db.dsn) as ours:
        set_default_app(ours)
        yield
    set_default_app(app)
    registry._tasks.clear()
    registry._tasks.update(tasks)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
@pytest.mark.usefixtures("environment")
def test_examples_run(page: Page, db: Database, tmp_path: Path) -> None:
    db.execute(Path(__file__).with_name("examples.sql").read_bytes())
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        runner = Runner(page, connection, tmp_path)
        for block in page.blocks("python", "sql"):
            runner.run(block)


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_command_lines_can_be_read(page: Page) -> None:
    parser = make_parser("0", EXTRA)
    for block in page.blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            bare = line.partition("  #")[0].split("&&")[-1].split(" | ")[0].rstrip(" &")
            found = _COMMAND.search(bare)
            if found is not None:
                parser.read(shlex.split(found[1]))


def test_previews_are_what_the_tool_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found = [shown for page in pages() for shown in _PREVIEW.findall(page.text)]
    assert len(found) >= 6
    for command, printed in found:
        assert main(shlex.split(command)) == 0
        assert capsys.readouterr().out == printed, command
