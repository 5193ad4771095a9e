"""A job that could never run is refused, whichever way it comes, and its arguments kept quiet."""

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.sleeper import Connection

#: In the arguments of every refused job; must never be seen again.
SECRET = "hush-7391"

ARGS_HINT = "write one argument as [argument]; leave the column out for none"
KWARGS_HINT = 'write {"name": argument}; leave the column out for none'
SIZE_HINT = "store the data elsewhere and give the job a reference to it"
OTHER_HINT = "see COMMENT ON COLUMN pgqueue.jobs for what each column takes"

TASK = "task must be a name of 1 to 500 bytes; got "
QUEUE = 'queue must be a name of 1 to 200 bytes and not "*"; got '
PRIORITY = "priority must be between -32768 and 32767; got "
TIMEOUT = "timeout must be above 0 and at most 365 days; got "
SIZE = "args, kwargs and meta must each be at most 1048576 bytes of JSON, 1572864 as PostgreSQL "

#: Columns of a job, what is said about them, and what to do.
REFUSED = {
    "no task": ({"task": None}, TASK + "null", OTHER_HINT),
    "empty task": ({"task": ""}, TASK + "0 bytes", OTHER_HINT),
    "long task": ({"task": "é" * 251}, TASK + "502 bytes", OTHER_HINT),
    "no queue": ({"queue": None}, QUEUE + "null", OTHER_HINT),
    "empty queue": ({"queue": ""}, QUEUE + "0 bytes", OTHER_HINT),
    "long queue": ({"queue": "é" * 101}, QUEUE + "202 bytes", OTHER_HINT),
    "every queue": ({"queue": "*"}, QUEUE + '"*"', OTHER_HINT),
    "args of one string": ({"args": SECRET}, "args must be a JSON array; got string", ARGS_HINT),
    "args of one number": ({"args": 42}, "args must be a JSON array; got number", ARGS_HINT),
    "args as an object": (
        {"args": {SECRET: 1}},
        "args must be a JSON array; got object",
        ARGS_HINT,
    ),
    "no args": ({"args": None}, "args must be a JSON array; got null", ARGS_HINT),
    "kwargs as an array": (
        {"kwargs": [SECRET]},
        "kwargs must be a JSON object; got array",
        KWARGS_HINT,
    ),
    "no kwargs": ({"kwargs": None}, "kwargs must be a JSON object; got null", KWARGS_HINT),
    "meta as a string": (
        {"meta": SECRET},
        "meta must be a JSON object, or left out; got string",
        OTHER_HINT,
    ),
    "no priority": ({"priority": None}, PRIORITY + "null", OTHER_HINT),
    "no time": (
        {"timeout": "0 s"},
        TIMEOUT + "00:00:00",
        OTHER_HINT,
    ),
    "less than no time": (
        {"timeout": "-1 s"},
        TIMEOUT + "-00:00:01",
        OTHER_HINT,
    ),
    "more than a year": (
        {"timeout": "365 days 1 us"},
        TIMEOUT + "365 days 00:00:00.000001",
        OTHER_HINT,
    ),
    "no attempts": ({"max_attempts": 0}, "max_attempts must be at least 1; got 0", OTHER_HINT),
    "huge args": ({"args": [SECRET * 200_000]}, SIZE, SIZE_HINT),
    "huge kwargs": ({"kwargs": {"a": SECRET * 200_000}}, SIZE, SIZE_HINT),
    "huge meta": ({"meta": {"a": SECRET * 200_000}}, SIZE, SIZE_HINT),
}

#: Each column at its bound: not refused.
GOOD = {
    "task": {"task": "t" * 500},
    "queue": {"queue": "é" * 100},
    "highest": {"priority": 32767},
    "lowest": {"priority": -32768},
    "shortest": {"timeout": "1 us"},
    "longest": {"timeout": "365 days"},
    "attempts": {"max_attempts": 32767},
    "one": {"max_attempts": 1},
    "large args": {"args": ["x" * (2**20 - 4)]},
    "no meta": {"meta": None},
    "meta": {"meta": {"a": [1]}},
    "past": {"run_at": "-infinity", "expires_at": "-infinity"},
    "far": {"run_at": "infinity", "expires_at": "infinity"},
}

by_case = pytest.mark.parametrize("case", REFUSED)


def assert_quiet(db: Database, error: psycopg.Error) -> None:
    """Nothing that came back, nor the server's log, tells an argument."""
    told = error.diag
    for part in (
        told.message_primary,
        told.message_detail,
        told.message_hint,
        told.context,
        told.internal_query,
        str(error),
    ):
        assert SECRET not in (part or "")
    log = db.server.log()
    assert (told.message_primary or "?") in log
    assert SECRET not in log


def columns_of(case: str) -> dict[str, Any]:
    """All columns of a job of this case, with the secret among its arguments."""
    columns = {"task": "task", "args": [SECRET], "kwargs": {SECRET: SECRET}, **REFUSED[case][0]}
    return {
        k: Jsonb(v) if k in ("args", "kwargs", "meta") and v is not None else v
        for k, v in columns.items()
    }


def assert_refused(db: Database, error: psycopg.Error, message: str, hint: str | None) -> None:
    assert error.sqlstate == "PQ001"
    assert (error.diag.message_primary or "").startswith(message)
    assert error.diag.message_hint == hint
    assert error.diag.message_detail is None
    assert_quiet(db, error)
    assert db.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


@by_case
def test_insert(db: Database, c: Connection, case: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        factories.job(c, **columns_of(case))
    assert_refused(db, caught.value, *REFUSED[case][1:])


@by_case
def test_copy(db: Database, c: Connection, case: str) -> None:
    columns = columns_of(case)
    with (
        pytest.raises(psycopg.Error) as caught,
        c.cursor().copy(f"COPY pgqueue.jobs ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        copy.write_row(list(columns.values()))
    assert_refused(db, caught.value, *REFUSED[case][1:])


@pytest.mark.parametrize("case", GOOD)
def test_a_column_at_its_bound_is_no_reason(c: Connection, case: str) -> None:
    columns = {k: Jsonb(v) if k in ("args", "meta") and v else v for k, v in GOOD[case].items()}
    assert factories.state(c, factories.job(c, **columns)) in ("ready", "scheduled")


def test_one_bad_job_refuses_its_whole_statement(db: Database, c: Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        c.execute(
            "INSERT INTO pgqueue.jobs (task, args) VALUES ('good', '[1]'), ('bad', %s)",
            (Jsonb(SECRET),),
        )
    assert_refused(db, caught.value, "args must be a JSON array; got string", ARGS_HINT)


def test_a_savepoint_saves_the_rest(c: Connection) -> None:
    with c.transaction():
        first = factories.job(c)
        with pytest.raises(psycopg.Error), c.transaction():
            factories.job(c, queue="*")
        second = factories.job(c)
    assert [factories.state(c, job) for job in (first, second)] == ["ready", "ready"]


# enqueue


#: What enqueue takes for the default instead of refusing it.
DEFAULTED = {"no queue", "no args", "no kwargs", "no priority"}

ATTEMPTS = "max_attempts must be between 1 and 32767; got "


@pytest.mark.parametrize("case", [case for case in REFUSED if case not in DEFAULTED])
def test_enqueue(db: Database, c: Connection, case: str) -> None:
    columns = columns_of(case)
    call = ", ".join(f"{name} => %({name})s" for name in columns)
    with pytest.raises(psycopg.Error) as caught:
        c.execute(f"SELECT pgqueue.enqueue({call})", columns)
    _, message, hint = REFUSED[case]
    if case == "no attempts":
        message, hint = ATTEMPTS + "0", None
    assert_refused(db, caught.value, message, hint)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("priority => 32768", PRIORITY + "32768"),
        ("priority => -32769", PRIORITY + "-32769"),
        ("max_attempts => 32768", ATTEMPTS + "32768"),
        ("max_attempts => -1", ATTEMPTS + "-1"),
    ],
)
def test_enqueue_of_a_number_out_of_range(
    db: Database, c: Connection, call: str, message: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        c.execute(f"SELECT pgqueue.enqueue('task', %s, {call})", (Jsonb([SECRET]),))
    assert_refused(db, caught.value, message, None)


def test_enqueue_takes_null_for_the_default(c: Connection) -> None:
    (job,) = (
        c.execute(
            "SELECT pgqueue.enqueue('task', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
        ).fetchone()
        or ()
    )
    query = "SELECT args, kwargs, queue, priority, meta, state FROM pgqueue.job_overview"
    assert c.execute(query).fetchall() == [([], {}, "default", 0, None, "ready")]
    assert factories.position(c, job)["flags"] == 0


# enqueue_many


def enqueue_many(c: Connection, jobs: Any) -> list[int]:
    query = "SELECT pgqueue.enqueue_many(%s::text::jsonb)"
    return [row[0] for row in c.execute(query, (json.dumps(jobs),))]


@pytest.mark.parametrize("case", [case for case in REFUSED if case not in DEFAULTED])
def test_enqueue_many(db: Database, c: Connection, case: str) -> None:
    bad = {"task": "task", "args": [SECRET], "kwargs": {SECRET: SECRET}, **REFUSED[case][0]}
    with pytest.raises(psycopg.Error) as caught:
        enqueue_many(c, [{"task": "good", "args": [SECRET]}, bad])
    _, message, hint = REFUSED[case]
    if case == "no attempts":
        message, hint = "jobs[1]: " + ATTEMPTS + "0", None
    assert_refused(db, caught.value, message, hint)


KEYS = (
    "jobs[1] must have no keys but task, args, kwargs, queue, priority, run_at, expires_at, "
    "timeout, max_attempts, meta; got "
)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ({"task": SECRET}, "jobs must be a JSON array of objects; got object"),
        (SECRET, "jobs must be a JSON array of objects; got string"),
        (None, "jobs must be a JSON array of objects; got null"),
        ([{"task": "t"}, SECRET], "jobs[1] must be a JSON object; got string"),
        ([{"task": "t"}, [SECRET]], "jobs[1] must be a JSON object; got array"),
        ([{"task": "t"}, None], "jobs[1] must be a JSON object; got null"),
        ([{"task": "t"}, {"task": "t", "arg": [SECRET]}], KEYS + "'arg'"),
        ([{"task": "t"}, {"task": "t", "id": 1, "args": [SECRET]}], KEYS + "'id'"),
        ([{"task": "t", "priority": 32768, "args": [SECRET]}], "jobs[0]: " + PRIORITY + "32768"),
        ([{"task": "t", "max_attempts": 1e9}], "jobs[0]: " + ATTEMPTS + "1000000000"),
    ],
)
def test_enqueue_many_of_what_is_no_job(
    db: Database, c: Connection, jobs: Any, message: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        enqueue_many(c, jobs)
    assert_refused(db, caught.value, message, None)


def test_enqueue_many_of_sql_null(db: Database, c: Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        c.execute("SELECT pgqueue.enqueue_many(NULL)")
    assert_refused(db, caught.value, "jobs must be a JSON array of objects; got null", None)


def test_enqueue_many_gives_the_ids_in_order(c: Connection) -> None:
    assert enqueue_many(c, []) == []
    jobs = [{"task": f"task{n}", "priority": n % 5, "run_at": None} for n in range(200)]
    ids = enqueue_many(c, jobs)
    assert ids == sorted(ids)
    query = "SELECT id, task FROM pgqueue.jobs"
    assert dict(c.execute(query).fetchall()) == {job: f"task{n}" for n, job in enumerate(ids)}


def test_enqueue_many_stores_every_column(c: Connection) -> None:
    job = {
        "task": "task",
        "args": [1, None],
        "kwargs": {"a": {"b": []}},
        "queue": "mail",
        "priority": -3,
        "run_at": "2030-01-01T00:00:00+00:00",
        "expires_at": "2031-01-01T00:00:00+00:00",
        "timeout": "00:00:05",
        "max_attempts": 7,
        "meta": {"by": "me"},
    }
    (number,) = enqueue_many(c, [job])
    c.execute("SET timezone = 'UTC'")
    query = "SELECT to_jsonb(j) - 'created_at' FROM pgqueue.jobs AS j"
    assert c.execute(query).fetchall() == [({"id": number, **job},)]
