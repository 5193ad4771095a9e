"""What is public is documented: names, commands, functions, codes, settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg

import pgqueue
from pgqueue.__main__ import EXTRA
from pgqueue.cli.exits import Exit
from pgqueue.cli.extra import ExtraParser
from pgqueue.cli.main import make_parser
from pgqueue.cli.parser import Parser
from pgqueue.core import backoff
from pgqueue.core.errors import SQLSTATES
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.core.states import JobState
from pgqueue.core.tagged import _READERS
from pgqueue.worker.config import WorkerConfig
from tests.docs import python_reference, sql_reference
from tests.docs.pages import DOCS
from tests.fixtures.databases import Database
from tests.helpers import ROOT

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def has(text: str, word: str) -> bool:
    """Whether a word stands in a text between backticks, or as a heading."""
    bare = re.escape(word)
    return re.search(rf"`[^`\n]*(?<!\w){bare}(?!\w)[^`\n]*`|^#+ {bare}$", text, re.M) is not None


def missing(text: str, words: Iterator[str] | set[str] | list[str]) -> list[str]:
    return sorted(word for word in words if not has(text, word))


def sources(folder: Path, pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob(pattern)))


def commands(parser: Parser) -> Iterator[Parser]:
    for child in parser.children.values():
        if isinstance(child, ExtraParser):
            child.fill()
        yield child
        yield from commands(child)


def test_public_names() -> None:
    names = set(pgqueue.__all__) - {"__version__"}
    assert names == python_reference.names()
    assert missing(reference("python"), names) == []


def test_errors() -> None:
    names = {name for name in pgqueue.__all__ if name.endswith("Error")}
    assert missing(reference("errors"), names) == []


def test_sqlstates() -> None:
    raised = set(re.findall(r"'(PQ[0-9]{3})'", sources(ROOT / "sql", "*.sql")))
    assert raised == set(SQLSTATES)
    text = reference("errors")
    for code, error in SQLSTATES.items():
        assert re.search(rf"^\| `{code}` \|.*`{error.__name__}`", text, re.MULTILINE), code


def test_exit_codes() -> None:
    for name in ("errors", "cli"):
        told = set(re.findall(r"^\| ([0-9]+) \|", reference(name), re.MULTILINE))
        assert told == {str(code.value) for code in Exit}, name


def test_states() -> None:
    assert missing(reference("states"), {str(state) for state in JobState}) == []


def test_error_kinds_of_our_own() -> None:
    found = set(re.findall(r'kind="(\w+)"', sources(ROOT / "pgqueue" / "worker", "*.py")))
    found |= set(re.findall(r'"kind": "(\w+)"', sources(ROOT / "pgqueue" / "worker", "*.py")))
    assert found
    assert missing(reference("errors"), found | {"lost", "crash_loop"}) == []


def test_reasons_of_scheduled_jobs() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "sql").rglob("12_*.sql"))
    told = re.search(r"'Why it waits: (.*)\.'", text)
    assert told is not None
    assert missing(reference("states"), re.findall(r"\w+", told[1].replace(" or ", " "))) == []


def test_commands_and_options() -> None:
    text = reference("cli")
    parsers = list(commands(make_parser("0", EXTRA)))
    assert len(parsers) > 15
    for parser in parsers:
        name = parser.prog.removeprefix("pgqueue ")
        assert re.search(rf"^#+ {re.escape(name)}$", text, re.MULTILINE), name
        section = text.partition(f"# {name}\n")[2]
        options = set(_OPTION.findall(parser.format_usage())) - {"--help", "--dsn", "--json"}
        assert missing(section, options) == [], name


def test_options_of_a_worker() -> None:
    text = (DOCS / "howto" / "run-a-worker.md").read_text(encoding="utf-8")
    [worker] = [one for one in commands(make_parser("0")) if one.prog == "pgqueue worker"]
    options = set(_OPTION.findall(worker.format_usage())) - {"--help", "--dsn", "--json"}
    told = {f"--{name.replace('_', '-')}" for name in WorkerConfig.__dataclass_fields__}
    assert missing(text, options) == []
    assert options & told


def test_options_of_tasks_and_jobs() -> None:
    names = {*TaskOptions.__dataclass_fields__, *EnqueueOptions.__dataclass_fields__}
    assert missing(reference("python"), names) == []
    pages = sources(DOCS / "howto", "*.md")
    for name in names - {"name", "aliases", "meta", "expires_at"}:
        assert name in pages, name


def test_backoffs_and_tagged_types() -> None:
    text = (DOCS / "howto" / "retries-and-timeouts.md").read_text(encoding="utf-8")
    assert missing(text, [f'"{name}"' for name in backoff.NAMES]) == []
    types = reference("arguments")
    for tag in _READERS:
        assert f'"$t": "{tag}"' in types or f"`{tag}`" in types, tag


def test_functions_tables_and_views(db: Database) -> None:
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        names = sql_reference.names(connection)
    text = reference("sql")
    assert [name for name in names if not re.search(rf"(?<!\w){name}(?!\w)", text)] == []


def test_settings() -> None:
    code = sources(ROOT / "pgqueue", "*.py") + sources(ROOT / "tests" / "fixtures", "*.py")
    variables = set(re.findall(r"\bPGQUEUE_[A-Z_]+\b", code))
    settings = set(re.findall(r"current_setting\('(pgqueue\.\w+)'", sources(ROOT / "sql", "*.sql")))
    assert settings == {"pgqueue.notify", "pgqueue.overfill"}
    assert missing(reference("settings"), variables | settings) == []
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    run = (DOCS / "howto" / "run-a-worker.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\$\{(PGQUEUE_[A-Z_]+)", compose))
    assert [name for name in names if name not in run] == []


def test_channels_and_locks() -> None:
    sql = sources(ROOT / "sql", "*.sql")
    text = reference("settings")
    channels = set(re.findall(r"pg_notify\('(\w+)'", sql))
    assert missing(text, channels) == []
    locks = set(re.findall(r"\b(706771[0-9]{2})\b", sql))
    assert [lock for lock in locks if lock not in text] == []


def test_words_of_the_code_are_in_the_glossary() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    for word in ("task", "job", "attempt", "queue", "worker", "slot", "outcome", "snooze"):
        assert f"**{word}**" in text
