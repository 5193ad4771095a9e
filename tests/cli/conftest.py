"""The command line on the database of the test."""

import functools
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

import pytest

from pgqueue.__main__ import main
from tests.fixtures.databases import Database
from tests.helpers import run_cli

TASKS = """\
import os

from pgqueue import task


@task
def add(a, b):
    return a + b


@task
def boom():
    raise ValueError("no \\x1b[31mred\\x1b[0m [bold]letters")


@task
def enqueue_another():
    return [add.enqueue(1, 2).id, os.getcwd()]
"""


class Cli(Protocol):
    """The fixtures `cli`, `cli_of` and `run`."""

    def __call__(
        self, *arguments: object, code: int = 0, **options: Any
    ) -> "CompletedProcess[str]":
        """Run a command to its end and insist on its exit code.

        Args:
            arguments: the command line.
            code: the exit code it must have.
            options: as of `run_cli`.
        """


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """A directory with a module `mytasks`."""
    (tmp_path / "mytasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def cli_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process; the database must be given."""

    def run(*arguments: object, code: int = 0, **options: Any) -> "CompletedProcess[str]":
        monkeypatch.setenv("PGQUEUE_DSN", options["dsn"])
        words = list(map(str, arguments))
        found = main(words)
        done = CompletedProcess(words, found, *capsys.readouterr())
        assert found == code, (done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def cli(db: Database, cli_of: Cli) -> Cli:
    """Run a command on the database of the test, in this process."""
    return functools.partial(cli_of, dsn=db.dsn)


@pytest.fixture
def run(db: Database) -> Cli:
    """Run a command on the database of the test, in a process of its own."""

    def run(*arguments: object, code: int = 0, **options: Any) -> "CompletedProcess[str]":
        done = run_cli(*map(str, arguments), **{"dsn": db.dsn, **options})
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    return run


def answer(done: "CompletedProcess[str]") -> Any:
    """Read the JSON that a command printed, and nothing else."""
    assert done.stderr == ""
    return json.loads(done.stdout)


def sentence(done: "CompletedProcess[str]") -> str:
    """Give the one sentence on standard error, without our name."""
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("pgqueue: ")
    assert not lines[0].endswith(".")
    return lines[0].removeprefix("pgqueue: ")


def table(done: "CompletedProcess[str]") -> list[list[str]]:
    """Read the plain table that a command printed; cells hold no two blanks in a row."""
    assert done.stderr == ""
    return [
        [cell for cell in line.split("  ") if cell.strip()] for line in done.stdout.splitlines()
    ]


def take(db: Database, *job_ids: int) -> int:
    """Let a worker that is none hold jobs, those that are ready; gives its id."""
    [(worker_id,)] = db.execute("SELECT pgqueue.register_worker(name => 'by hand')")
    rows = db.execute("SELECT job_id FROM pgqueue.dequeue(%s, max_jobs => 100)", [worker_id])
    assert {row[0] for row in rows} == set(job_ids)
    return int(worker_id)


def finish(db: Database, worker_id: int, job_id: int, error: str | None = None) -> None:
    """Bring the first attempt of a job that was taken to its end."""
    db.execute(
        "SELECT pgqueue.finish(%s, %s, '{1}', %s, errors => %s)",
        [worker_id, [job_id], ["failed" if error else "succeeded"], [error]],
    )
