"""How files look: short, described, well named, free of what is not the project's."""

import ast
import contextlib
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT

_MOST_LINES = 400
_SLEEPS = ("time.sleep", "asyncio.sleep")
_CODE = sorted((ROOT / "pgqueue").rglob("*.py"))
_TESTS = sorted((ROOT / "tests").rglob("*.py"))
_SQL = sorted((ROOT / "sql").rglob("*.sql"))
_TEXT = {".py", ".sql", ".md", ".toml", ".yml", ".yaml", ".cfg", ".txt", ".json", ".sh", ""}
# Paths of one machine are not the project's to know. Put together here, so that this file does not
# hold them itself.
_FOREIGN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/work" + r"/\w",
            r"(?<![\w.])/root" + r"/\w",
            r"/home" + r"/\w",
        ]
    )
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def files() -> list[Path]:
    """Give the files that belong to the project: what git knows or would add."""
    if (ROOT / ".git").exists():
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            paths = [ROOT / line for line in done.stdout.split("\0") if line]
            return [path for path in paths if path.is_file()]
    folders = ("pgqueue", "sql", "tests", "docs", ".ci")
    inside = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in inside if "__pycache__" not in path.parts]


def test_modules_are_short() -> None:
    lines = {name(path): path.read_text(encoding="utf-8").count("\n") for path in _CODE}
    assert len(lines) > 50
    assert {path: count for path, count in lines.items() if count > _MOST_LINES} == {}


def test_modules_say_what_lives_there() -> None:
    # The __init__.py of a folder of tests may be empty.
    files = [path for path in _CODE + _TESTS if path in _CODE or path.stem != "__init__"]
    # To read all of them takes seconds: those that begin with words between quotes say something.
    silent = [path for path in files if not re.match(r'"""\w', path.read_text("utf-8"))]
    assert [name(path) for path in silent if not ast.get_docstring(parsed(path))] == []


def test_no_module_is_named_as_one_of_the_standard_library() -> None:
    own = {name(path): path.parent.name if path.stem == "__init__" else path.stem for path in _CODE}
    taken = sys.stdlib_module_names - {"__main__"}
    assert [path for path, word in own.items() if word in taken] == []


def test_no_test_sleeps() -> None:
    files = [
        path
        for path in _TESTS
        if path.stem.startswith(("test_", "conftest")) and "sleep" in path.read_text("utf-8")
    ]
    waits = [
        f"{name(path)}:{node.lineno}"
        for path in files
        if "bench" not in path.parts
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in _SLEEPS
        and ast.unparse(node.args[0]) != "0"
    ]
    assert waits == [], "wait with eventually(…)"


def test_sql_files_have_a_header() -> None:
    for path in _SQL:
        lines = path.read_text(encoding="utf-8").splitlines()
        head = lines[1] if lines[0].startswith("-- breaking") else lines[0]
        assert re.match(r"-- Purpose: \S.{9}", head), name(path)


def test_sql_files_are_named_in_order() -> None:
    assert _SQL
    for path in _SQL:
        assert re.fullmatch(r"sql/[0-9]{4}/[0-9]{2}_[a-z0-9_]+\.sql", name(path))


def test_nothing_of_one_machine_or_registry_is_in_a_file() -> None:
    found = []
    for path in files():
        # Other tests make files and remove them meanwhile.
        with contextlib.suppress(FileNotFoundError):
            text = path.read_text(encoding="utf-8", errors="replace")
            if path.suffix in _TEXT:
                found += [f"{name(path)}: {match[0]}" for match in _FOREIGN.finditer(text)]
    assert found == []


def test_types_are_shipped() -> None:
    assert (ROOT / "pgqueue" / "py.typed").is_file()
