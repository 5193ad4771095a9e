"""How commands end: no connection, no right, Ctrl-C, a closed pipe; and on a real terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgqueue import PgQueue
from tests.cli.conftest import Cli, answer, sentence
from tests.cli.test_schema import COMMANDS
from tests.fixtures.databases import Database
from tests.helpers import ROOT, eventually

_UPGRADE_LOCK = 0x70677175657565


def start(dsn: str, *words: str, **options: object) -> "subprocess.Popen[str]":
    """Start a command."""
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "pgqueue", *words],
        env={**os.environ, "PGQUEUE_DSN": dsn, "COLUMNS": "100", "TERM": "xterm-256color"},
        cwd=ROOT,
        text=True,
        **{"stdin": subprocess.DEVNULL, **options},
    )


@pytest.fixture
def upgrading(bare_db: Database) -> Iterator["subprocess.Popen[str]"]:
    """A `schema upgrade` that waits for another one."""
    connection = bare_db.connect()
    connection.execute("SELECT pg_advisory_lock(%s)", [_UPGRADE_LOCK])
    process = start(
        bare_db.dsn, "schema", "upgrade", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    eventually(lambda: connection.execute(_WAITING).fetchone() is not None)
    yield process
    process.kill()
    process.communicate()


_WAITING = (
    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.mark.parametrize(
    "command", [*COMMANDS, ["schema", "upgrade"], ["schema", "status"]], ids=" ".join
)
def test_no_connection(cli_of: Cli, command: list[str], tmp_path: Path) -> None:
    said = sentence(cli_of(*command, code=3, dsn=f"host={tmp_path} password=secret"))
    assert said.startswith(f"cannot connect to PostgreSQL at host {tmp_path}")
    assert "secret" not in said


def test_an_unreadable_dsn(cli_of: Cli) -> None:
    said = sentence(cli_of("health", code=2, dsn="postgresql://me:secret@[x"))
    assert said.startswith("the DSN cannot be read")


def test_libpq_variables(cli_of: Cli, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.connect() as connection:
        monkeypatch.setenv("PGHOST", connection.info.host)
        monkeypatch.setenv("PGPORT", str(connection.info.port))
        monkeypatch.setenv("PGUSER", connection.info.user)
    monkeypatch.setenv("PGDATABASE", db.name)
    assert answer(cli_of("jobs", "list", "--json", dsn="")) == []


def test_no_right(cli_of: Cli, db: Database) -> None:
    role = f"nobody_{db.name}"
    db.execute(f"CREATE ROLE {role}")
    try:
        dsn = f"{db.dsn}{'&' if '?' in db.dsn else '?'}options=-crole%3D{role}"
        said = sentence(cli_of("jobs", "list", code=1, dsn=dsn))
        assert said.startswith("the server refused: permission denied for")
        assert "SQLSTATE 42501" in said
        said = sentence(cli_of("schema", "status", code=1, dsn=dsn))
        assert "grant it USAGE on schema pgqueue" in said
    finally:
        db.execute(f"DROP ROLE {role}")


def test_ctrl_c_ends_a_command_quietly(upgrading: "subprocess.Popen[str]") -> None:
    upgrading.send_signal(signal.SIGINT)
    assert upgrading.communicate(timeout=100) == ("", "")
    assert upgrading.returncode == 130


def test_a_connection_that_breaks(bare_db: Database, upgrading: "subprocess.Popen[str]") -> None:
    bare_db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    out, err = upgrading.communicate(timeout=100)
    assert (out, upgrading.returncode) == ("", 3)
    assert err.startswith("pgqueue: the connection broke during the change of the schema")
    assert err.count("\n") == 1


def test_a_closed_pipe(db: Database) -> None:
    reading, writing = os.pipe()
    process = start(db.dsn, "jobs", "list", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    assert process.communicate(timeout=100)[1] == ""
    assert process.returncode == 141


def test_an_embedded_server_is_kept(cli_of: Cli, run: Cli, tmp_path: Path) -> None:
    dsn = f"embedded:{tmp_path / 'data'}"
    run("schema", "upgrade", dsn=dsn)
    assert answer(run("enqueue", "t", "--json", dsn=dsn))["id"] == 1
    run("worker", "--burst", dsn=dsn)
    [job] = answer(run("jobs", "list", "--json", dsn=dsn))
    assert (job["state"], job["reason"]) == ("scheduled", "unknown_task")


def in_terminal(dsn: str, *words: str, typed: str = "") -> tuple[int, str]:
    """Run a command on a terminal of its own; give its exit code and what is seen."""
    ours, theirs = pty.openpty()
    process = start(dsn, *words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, typed.encode())
    seen = b""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and select.select([ours], [], [], 100)[0]:
        try:
            read = os.read(ours, 65536)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            break
        if not read:
            break
        seen += read
    os.close(ours)
    return process.wait(100), seen.decode().replace("\r\n", "\n")


def test_tables_on_a_terminal(db: Database, app: PgQueue) -> None:
    app.enqueue("shop.tasks.send", queue="[bold]mail[/]")
    app.enqueue("t\x1b[2J")
    code, seen = in_terminal(db.dsn, "jobs", "list")
    assert code == 0
    assert "━" in seen or "─" in seen
    assert "[bold]mail[/]" in seen
    assert "t\u241b[2J" in seen
    assert "\x1b[2J" not in seen


def test_uninstall_asks(db: Database, bare_db: Database) -> None:
    code, seen = in_terminal(db.dsn, "schema", "uninstall", typed="no\n")
    assert code == 1
    assert f"drop the schema pgqueue with all jobs in database {db.name}" in seen
    assert seen.endswith("pgqueue: nothing was changed\n")
    assert in_terminal(bare_db.dsn, "schema", "upgrade")[0] == 0
    code, seen = in_terminal(bare_db.dsn, "schema", "uninstall", typed="yes\n")
    assert code == 0
    assert seen.endswith("schema: uninstalled\n")
