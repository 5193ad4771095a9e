"""What the server refuses, in which words, and that the words never hold an argument."""

import uuid
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests import factories
from tests.fixtures.databases import Database

Connection = psycopg.Connection[Any]

TASK = "task must be a name of 1 to 500 bytes; got "
QUEUE = 'queue must be a name of 1 to 200 bytes and not "*"; got '
ARGS = "args must be a JSON array; got "
KWARGS = "kwargs must be a JSON object; got "
META = "meta must be a JSON object, or left out; got "
TIMEOUT = "timeout must be above 0 and at most 365 days; got "
SIZE = (
    "args, kwargs and meta must each be at most 1048576 bytes of JSON, 1572864 as PostgreSQL"
    " prints it; got "
)
UNIQUE = "unique_key must be text of 1 to 1000 bytes; got "
KEYLESS = "unique_key must be given with unique_while, unique_for or on_duplicate; got "
RUNNING = "max_running must be at least 1 and given with a concurrency_key; got "
MOST = 1572864

#: A row's columns, and what the server says to it. SECRET becomes something that must not be said.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"task": None}, TASK + "null"),
    ({"task": ""}, TASK + "0 bytes"),
    ({"task": "é" * 251}, TASK + "502 bytes"),
    ({"queue": None}, QUEUE + "null"),
    ({"queue": ""}, QUEUE + "0 bytes"),
    ({"queue": "*"}, QUEUE + '"*"'),
    ({"queue": "é" * 101}, QUEUE + "202 bytes"),
    ({"args": None}, ARGS + "null"),
    ({"args": "null"}, ARGS + "null"),
    ({"args": '"SECRET"'}, ARGS + "string"),
    ({"args": '{"SECRET": 1}'}, ARGS + "object"),
    ({"args": "7"}, ARGS + "number"),
    ({"args": "true"}, ARGS + "boolean"),
    ({"kwargs": None}, KWARGS + "null"),
    ({"kwargs": '["SECRET"]'}, KWARGS + "array"),
    ({"kwargs": '"SECRET"'}, KWARGS + "string"),
    ({"meta": "null"}, META + "null"),
    ({"meta": '["SECRET"]'}, META + "array"),
    ({"meta": '"SECRET"'}, META + "string"),
    ({"priority": None}, "priority must be between -32768 and 32767; got null"),
    ({"created_at": "infinity"}, "created_at must be a time; got an infinite one"),
    ({"created_at": "-infinity"}, "created_at must be a time; got an infinite one"),
    ({"timeout": "0"}, TIMEOUT + "00:00:00"),
    ({"timeout": "-1 s"}, TIMEOUT + "-00:00:01"),
    ({"timeout": "366 days"}, TIMEOUT + "366 days"),
    ({"max_attempts": 0}, "max_attempts must be at least 1; got 0"),
    ({"max_attempts": -1}, "max_attempts must be at least 1; got -1"),
    ({"unique_key": ""}, UNIQUE + "0 bytes"),
    ({"unique_key": "é" * 501}, UNIQUE + "1002 bytes"),
    (
        {"unique_key": "k", "unique_while": "SECRET" * 0 + "x"},
        "unique_while must be live or waiting; got 'x'",
    ),
    (
        {"unique_key": "k", "unique_for": "0"},
        "unique_for must be above 0 and at most 3660 days; got 00:00:00",
    ),
    (
        {"unique_key": "k", "on_duplicate": "x"},
        "on_duplicate must be ignore, replace, reschedule or error; got 'x'",
    ),
    ({"unique_for": "1 s"}, KEYLESS + "null"),
    ({"concurrency_key": ""}, "concurrency_key must be text of 1 to 1000 bytes; got 0 bytes"),
    ({"concurrency_key": "k", "max_running": 0}, RUNNING + "0"),
    ({"max_running": 5}, RUNNING + "5"),
    ({"fair_key": ""}, "fair_key must be text of 1 to 1000 bytes; got 0 bytes"),
    (
        {"fair_key": "f", "concurrency_key": "k"},
        "fair_key must not be given with a concurrency_key; got both",
    ),
    ({"unique_while": "live"}, KEYLESS + "null"),
    ({"on_duplicate": "ignore"}, KEYLESS + "null"),
    ({"args": f'["{"x" * (MOST - 3)}"]'}, SIZE + str(MOST + 1)),
    ({"kwargs": f'{{"k": "{"x" * (MOST - 8)}"}}'}, SIZE + str(MOST + 1)),
    ({"meta": f'{{"k": "{"x" * (MOST - 8)}"}}'}, SIZE + str(MOST + 1)),
    # A few bytes on disk, thirteen times 128 KiB in a payload.
    ({"args": "[" + ",".join(["1e131071"] * 13) + "]"}, SIZE + "1703962"),
]

#: Of every column that a row above may have.
GOOD = {"task": "task", "queue": "default", "args": "[]", "kwargs": "{}", "meta": "{}",
        "priority": 0, "timeout": "1 s", "max_attempts": 1, "unique_key": None,
        "unique_while": None, "unique_for": None, "on_duplicate": None,
        "concurrency_key": None, "max_running": None, "fair_key": None}  # fmt: skip

ACCEPTED: list[dict[str, Any]] = [
    {"task": "é" * 250},
    {"queue": "é" * 100},
    {"queue": "**"},
    {"args": "[]", "kwargs": "{}", "meta": "{}"},
    {"args": f'["{"x" * (MOST - 4)}"]'},
    {"meta": None, "timeout": None, "max_attempts": None, "run_at": None, "expires_at": None},
    {"priority": -32768, "max_attempts": 1, "timeout": "1 microsecond"},
    {"priority": 32767, "max_attempts": 32767, "timeout": "365 days"},
    {"run_at": "infinity", "expires_at": "-infinity"},
    {"created_at": None},
    {
        "unique_key": "é" * 500,
        "unique_while": "waiting",
        "unique_for": "3660 days",
        "on_duplicate": "error",
    },
]


@pytest.fixture
def secret() -> str:
    return uuid.uuid4().hex


def _row(columns: dict[str, Any], secret: str) -> dict[str, Any]:
    row = {"task": "task", "args": f'["{secret}"]', "kwargs": f'{{"k": "{secret}"}}', **columns}
    return {k: v.replace("SECRET", secret) if isinstance(v, str) else v for k, v in row.items()}


def _insert(row: dict[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO pgqueue.jobs ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )


def _copy(c: Connection, *rows: dict[str, Any]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    with (
        c.cursor() as cursor,
        cursor.copy(sql.SQL("COPY pgqueue.jobs ({}) FROM STDIN").format(names)) as copy,
    ):
        for row in rows:
            copy.write_row(list(row.values()))


def _said(error: psycopg.Error) -> str:
    """Everything a client is told."""
    diag = error.diag
    parts = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context)
    return "\n".join(part for part in parts if part)


@pytest.mark.parametrize(("columns", "message"), REFUSED)
def test_an_insert_is_refused_without_being_printed(
    db: Database, c: Connection, secret: str, columns: dict[str, Any], message: str
) -> None:
    row = _row(columns, secret)
    with pytest.raises(psycopg.Error) as caught:
        c.execute(_insert(row), list(row.values()))
    assert caught.value.sqlstate == "PQ001"
    assert caught.value.diag.message_primary == message
    assert caught.value.diag.message_hint
    assert caught.value.diag.message_detail is None
    assert secret not in _said(caught.value)
    log = db.server.log()
    assert message in log
    assert secret not in log
    assert c.execute("SELECT count(*) FROM pgqueue.jobs").fetchone() == (0,)


def test_a_copy_is_refused_without_being_printed(db: Database, c: Connection, secret: str) -> None:
    for columns, message in REFUSED:
        row = _row(columns, secret)
        good = {**row, **{name: value for name, value in GOOD.items() if name in row}}
        with pytest.raises(psycopg.Error) as caught:
            _copy(c, good, row)
        assert caught.value.sqlstate == "PQ001"
        assert caught.value.diag.message_primary == message
        assert secret not in _said(caught.value)
    assert secret not in db.server.log()
    assert c.execute("SELECT count(*) FROM pgqueue.jobs").fetchone() == (0,)


def test_the_bounds_themselves_are_accepted(c: Connection, secret: str) -> None:
    for columns in ACCEPTED:
        row = _row(columns, secret)
        c.execute(_insert(row), list(row.values()))
    query = "SELECT count(*) FROM pgqueue.job_overview WHERE state IN ('ready', 'scheduled')"
    assert c.execute(query).fetchone() == (len(ACCEPTED),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("NULL", TASK + "null"),
        ("''", TASK + "0 bytes"),
        ("'t', args => '{\"SECRET\": 1}'", ARGS + "object"),
        ("'t', kwargs => '[\"SECRET\"]'", KWARGS + "array"),
        ("'t', '[\"SECRET\"]', queue => '*'", QUEUE + '"*"'),
        (
            "'t', '[\"SECRET\"]', priority => 99999",
            "priority must be between -32768 and 32767; got 99999",
        ),
        ("'t', max_attempts => 0", "max_attempts must be between 1 and 32767; got 0"),
        ("'t', max_attempts => 32768", "max_attempts must be between 1 and 32767; got 32768"),
        ("'t', timeout => '0'", TIMEOUT + "00:00:00"),
    ],
)
def test_enqueue_refuses(c: Connection, arguments: str, message: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        c.execute(f"SELECT pgqueue.enqueue({arguments})")
    assert caught.value.sqlstate == "PQ001"
    assert caught.value.diag.message_primary == message
    assert "SECRET" not in _said(caught.value)


def test_enqueue_takes_null_as_the_default(c: Connection) -> None:
    c.execute(
        "SELECT pgqueue.enqueue('task', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    query = "SELECT args, kwargs, queue, priority, max_attempts FROM pgqueue.jobs"
    assert c.execute(query).fetchone() == ([], {}, "default", 0, None)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        (None, "jobs must be a JSON array of objects; got null"),
        ("null", "jobs must be a JSON array of objects; got null"),
        ('{"task": "SECRET"}', "jobs must be a JSON array of objects; got object"),
        ('[{"task": "t"}, "SECRET"]', "jobs[1] must be a JSON object; got string"),
        ('[["SECRET"]]', "jobs[0] must be a JSON object; got array"),
        (
            '[{"task": "t"}, {"task": "t", "arguments": ["SECRET"]}]',
            "jobs[1] must have no keys but task, args, kwargs, queue, priority, run_at, expires_at,"
            " timeout, max_attempts, meta, unique_key, unique_while, unique_for, on_duplicate,"
            " group_id, callbacks, after, run_if, results_as, concurrency_key, max_running,"
            " fair_key, rate; got 'arguments'",
        ),
        (
            '[{"task": "t", "args": ["SECRET"], "priority": 32768}]',
            "jobs[0]: priority must be between -32768 and 32767; got 32768",
        ),
        (
            '[{"task": "t", "args": ["SECRET"], "max_attempts": 1e9}]',
            "jobs[0]: max_attempts must be between 1 and 32767; got 1000000000",
        ),
        ('[{"task": "t"}, {"args": ["SECRET"]}]', TASK + "null"),
        ('[{"task": "t", "args": {"a": "SECRET"}}]', ARGS + "object"),
    ],
)
def test_enqueue_many_refuses(
    db: Database, c: Connection, secret: str, jobs: str | None, message: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        c.execute(
            "SELECT pgqueue.enqueue_many(%s::text::jsonb)",
            (jobs and jobs.replace("SECRET", secret),),
        )
    assert caught.value.sqlstate == "PQ001"
    assert caught.value.diag.message_primary == message
    assert secret not in _said(caught.value)
    assert secret not in db.server.log()
    assert c.execute("SELECT count(*) FROM pgqueue.jobs").fetchone() == (0,)


def test_one_bad_row_refuses_the_statement_and_not_the_transaction(c: Connection) -> None:
    with c.transaction():
        factories.job(c)
        with pytest.raises(psycopg.Error), c.transaction():
            c.execute("INSERT INTO pgqueue.jobs (task) VALUES ('a'), ('')")
        factories.job(c)
    assert c.execute("SELECT count(*) FROM pgqueue.ready_jobs").fetchone() == (2,)


def test_a_value_that_comes_compressed_is_measured_unpacked(c: Connection) -> None:
    c.execute("CREATE TEMPORARY TABLE stash (args jsonb)")
    c.execute("INSERT INTO stash SELECT jsonb_agg(0) FROM generate_series(1, 600000)")
    (size,) = c.execute("SELECT pg_column_size(args) FROM stash").fetchone() or (None,)
    assert size is not None
    assert size < 524288
    with pytest.raises(psycopg.Error) as caught:
        c.execute("INSERT INTO pgqueue.jobs (task, args) SELECT 'task', args FROM stash")
    assert caught.value.diag.message_primary == SIZE + "1800000"


@pytest.mark.parametrize("replication_role", ["origin", "replica", "local"])
def test_the_trigger_fires_in_every_replication_role(c: Connection, replication_role: str) -> None:
    c.execute(f"SET session_replication_role = {replication_role}")
    factories.job(c)
    with pytest.raises(psycopg.Error, match=TASK):
        factories.job(c, "")
    assert c.execute("SELECT count(*) FROM pgqueue.ready_jobs").fetchone() == (1,)


def test_a_producer_needs_nothing_but_insert(db: Database, c: Connection) -> None:
    c.execute("CREATE ROLE producer")
    try:
        c.execute("GRANT USAGE ON SCHEMA pgqueue TO producer")
        c.execute("GRANT INSERT (task, args, run_at), SELECT (id) ON pgqueue.jobs TO producer")
        with db.connect() as producer:
            producer.execute("SET SESSION AUTHORIZATION producer")
            query = "INSERT INTO pgqueue.jobs (task, run_at) VALUES ('t', %s) RETURNING id"
            for run_at in (None, "infinity"):
                assert producer.execute(query, (run_at,)).fetchone()
            with pytest.raises(psycopg.Error, match=ARGS):
                producer.execute("INSERT INTO pgqueue.jobs (task, args) VALUES ('t', '1')")
            for forbidden in (
                "SELECT args FROM pgqueue.jobs",
                "INSERT INTO pgqueue.jobs (task, priority) VALUES ('t', 9)",
                "DELETE FROM pgqueue.jobs",
                "SELECT * FROM pgqueue.ready_jobs",
                "SELECT pgqueue.enqueue('t')",
                "SELECT pgqueue.cancel(1)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    producer.execute(forbidden)
    finally:
        c.execute("DROP OWNED BY producer")
        c.execute("DROP ROLE producer")
