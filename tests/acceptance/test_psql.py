"""No program at all: INSERT, COPY and the functions, typed into psql."""

import os
import subprocess
from pathlib import Path

import pytest

from pgqueue import JobState, PgQueue
from tests.fixtures.databases import Database


@pytest.fixture
def psql_env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def psql(
    db: Database, script: str, env: dict[str, str], *, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [Path(db.server.bin_dir) / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", db.dsn],
        input=script,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def test_insert_in_a_transaction(db: Database, app: PgQueue, psql_env: dict[str, str]) -> None:
    script = """
        CREATE TABLE orders (id integer);
        BEGIN;
        INSERT INTO orders VALUES (1);
        INSERT INTO pgqueue.jobs (task, args) VALUES ('mail.receipt', '[42]');
        COMMIT;
        BEGIN;
        INSERT INTO orders VALUES (2);
        INSERT INTO pgqueue.jobs (task, args) VALUES ('mail.receipt', '[43]');
        ROLLBACK;
        INSERT INTO pgqueue.jobs (task, run_at) VALUES ('a', now() + '1 h'), ('b', NULL);
        SELECT count(*) FROM orders;
    """
    assert psql(db, script, psql_env).stdout.split() == ["1"]
    found = [(job.task, job.args, job.state) for job in reversed(app.jobs())]
    assert found == [
        ("mail.receipt", (42,), JobState.READY),
        ("a", (), JobState.SCHEDULED),
        ("b", (), JobState.READY),
    ]


def test_copy(db: Database, app: PgQueue, psql_env: dict[str, str]) -> None:
    lines = "".join(f'mail.receipt\t[{n}, "tab\\\\t"]\t{n}\n' for n in range(1000))
    script = f"COPY pgqueue.jobs (task, args, priority) FROM STDIN;\n{lines}\\.\n"
    psql(db, script, psql_env)
    jobs = app.jobs(limit=1000)
    assert len(jobs) == 1000
    assert (jobs[0].args, jobs[0].priority, jobs[0].state) == ((999, "tab\t"), 999, "ready")


def test_functions(db: Database, app: PgQueue, psql_env: dict[str, str]) -> None:
    script = """
        SELECT pgqueue.enqueue('t', kwargs => '{"a": 1}', priority => 5, timeout => '30 s');
        SELECT * FROM pgqueue.enqueue_many('[{"task": "u", "args": [1]}, {"task": "v"}]');
        SELECT pgqueue.cancel(2, 'no'), pgqueue.retry(2);
        SELECT pgqueue.pause('default');
        SELECT state, count(*) FROM pgqueue.job_overview GROUP BY state;
    """
    answers = [line for line in psql(db, script, psql_env).stdout.splitlines() if line]
    assert answers == ["1", "2", "3", "cancelled|ready", "ready|3"]
    job = app.get_job(1)
    assert (job.kwargs, job.priority, job.timeout) == ({"a": 1}, 5, 30.0)
    assert app.queues.list()[0].paused


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO pgqueue.jobs (args) VALUES ('[\"hunter2\"]')", "task must be a name"),
        ("INSERT INTO pgqueue.jobs (task, args) VALUES ('t', '\"hunter2\"')", "args must be a"),
        ("INSERT INTO pgqueue.jobs (task, kwargs) VALUES ('t', '[\"hunter2\"]')", "kwargs must be"),
        ("SELECT pgqueue.enqueue('t', '[\"hunter2\"]', priority => 99999)", "priority must be"),
        ("COPY pgqueue.jobs (task, queue) FROM STDIN;\nt\t*\n\\.\n", "queue must be a name"),
    ],
)
def test_refusals_name_the_column(
    db: Database, psql_env: dict[str, str], statement: str, said: str
) -> None:
    # psql itself repeats the statement below the message; a program sees the message.
    done = psql(db, f"\\set VERBOSITY terse\n{statement};", psql_env, check=False)
    assert done.returncode == 3
    assert said in done.stderr
    assert "hunter2" not in done.stderr
    assert db.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
