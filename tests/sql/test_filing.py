"""Where the triggers on jobs put rows, and that nothing is left of a job that is deleted."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually

Connection = psycopg.Connection[Any]

TABLES = (
    "ready_jobs", "scheduled_jobs", "blocked_jobs", "running_jobs", "finished_jobs", "job_errors",
    "job_progress", "job_logs", "cancel_requests",
)  # fmt: skip


def count(c: Connection, table: str) -> int:
    row = c.execute(f"SELECT count(*) FROM pgqueue.{table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("run_at", "table"),
    [
        (None, "ready_jobs"),
        ("-infinity", "ready_jobs"),
        ("2020-01-01", "ready_jobs"),
        ("2999-01-01", "scheduled_jobs"),
        ("infinity", "scheduled_jobs"),
    ],
)
def test_a_job_is_filed_by_its_run_at(c: Connection, run_at: str | None, table: str) -> None:
    job_id = factories.job(c, run_at=run_at, queue="mail", priority=7)
    position = factories.position(c, job_id)
    assert position["table"] == table
    assert (position["queue"], position["priority"]) == ("mail", 7)
    assert (position["attempt"], position["lost"], position["crashes"]) == (0, 0, 0)
    if table == "ready_jobs":
        assert position["seq"] == job_id
    else:
        assert position["reason"] == "delayed"


def test_what_is_due_is_told_by_the_clock_and_not_by_the_transaction(writer: Connection) -> None:
    """In a long transaction now() would file a job that is due as a future one."""
    began = writer.execute("SELECT now()").fetchone()
    assert began is not None
    eventually(
        lambda: (
            writer.execute("SELECT clock_timestamp() > now() + interval '20 ms'").fetchone()
            == (True,)
        )
    )
    query = "INSERT INTO pgqueue.jobs (task, run_at) VALUES ('t', now() + '10 ms') RETURNING id"
    (job_id,) = writer.execute(query).fetchone() or (0,)
    assert factories.position(writer, job_id)["table"] == "ready_jobs"


FLAGS: list[tuple[dict[str, Any], int]] = [
    ({}, 0),
    ({"expires_at": "2999-01-01"}, 1),
    ({"timeout": "1 s"}, 2),
    ({"max_attempts": 3}, 2),
    ({"meta": "{}"}, 2),
    ({"meta": "{}", "expires_at": "infinity"}, 3),
]


@pytest.mark.parametrize("run_at", [None, "infinity"])
@pytest.mark.parametrize("make", [factories.job, factories.stray])
def test_flags_say_what_else_is_in_the_job(
    c: Connection, make: Callable[..., int], run_at: str | None
) -> None:
    made = [(make(c, run_at=run_at, **columns), flags) for columns, flags in FLAGS]
    c.execute("SELECT pgqueue.file_strays()")
    assert [(job, factories.position(c, job)["flags"]) for job, _ in made] == made


def test_one_statement_files_each_row_on_its_own(c: Connection) -> None:
    c.execute(
        "INSERT INTO pgqueue.jobs (task, queue, run_at) VALUES"
        " ('a', 'x', NULL), ('b', 'y', 'infinity'), ('c', 'x', NULL), ('d', 'z', now() + '1 h')"
    )
    ready = c.execute("SELECT queue FROM pgqueue.ready_jobs ORDER BY seq").fetchall()
    assert ready == [("x",), ("x",)]
    assert count(c, "scheduled_jobs") == 2


def test_ids_come_in_the_order_of_the_array(c: Connection) -> None:
    jobs = [{"task": f"task{n}", "priority": n % 3, "args": [n]} for n in range(500)]
    query = "SELECT pgqueue.enqueue_many(%s)"
    ids = [row[0] for row in c.execute(query, (psycopg.types.json.Jsonb(jobs),))]
    assert ids == sorted(ids)
    found = c.execute("SELECT args FROM pgqueue.jobs ORDER BY id").fetchall()
    assert [args for (args,) in found] == [[n] for n in range(500)]


def test_enqueue_many_fills_every_column(c: Connection) -> None:
    row = {
        "task": "t", "args": [1], "kwargs": {"k": None}, "queue": "q", "priority": -5,
        "run_at": "2999-01-01T00:00:00+00:00", "expires_at": "2999-01-02T00:00:00+00:00",
        "timeout": "00:00:07", "max_attempts": 3, "meta": {"m": 1},
    }  # fmt: skip
    c.execute("SELECT pgqueue.enqueue_many(%s)", (psycopg.types.json.Jsonb([row]),))
    columns = ", ".join(f"'{name}', {name}" for name in row)
    (found,) = c.execute(f"SELECT jsonb_build_object({columns}) FROM pgqueue.jobs").fetchone() or (
        None,
    )
    assert found == row


def test_copy_files_as_insert_does(c: Connection) -> None:
    query = "COPY pgqueue.jobs (task, args, run_at) FROM STDIN"
    with c.cursor() as cursor, cursor.copy(query) as copy:
        for number in range(3000):
            copy.write_row(["task", f"[{number}]", "infinity" if number % 3 == 0 else None])
    assert (count(c, "ready_jobs"), count(c, "scheduled_jobs")) == (2000, 1000)
    in_order = (
        "SELECT array_agg(args ORDER BY id) = array_agg(args ORDER BY args) FROM pgqueue.jobs"
    )
    assert c.execute(in_order).fetchone() == (True,)


# Strays


def test_a_stray_is_found_and_filed_once(c: Connection) -> None:
    now, later = factories.stray(c), factories.stray(c, run_at="infinity")
    good = factories.job(c)
    assert c.execute("SELECT * FROM pgqueue.file_strays()").fetchone() == (2, good)
    assert c.execute("SELECT * FROM pgqueue.file_strays()").fetchone() == (0, good)
    assert factories.state(c, now) == "ready"
    assert factories.state(c, later) == "scheduled"


@pytest.mark.parametrize(
    "make",
    [factories.ready, factories.scheduled, factories.blocked, factories.running,
     factories.finished],
)  # fmt: skip
def test_a_job_with_a_position_is_no_stray(c: Connection, make: Callable[..., int]) -> None:
    job_id = make(c)
    before = factories.position(c, job_id)
    assert c.execute("SELECT filed FROM pgqueue.file_strays()").fetchone() == (0,)
    assert factories.position(c, job_id) == before


def test_strays_are_looked_for_in_bounded_steps(c: Connection) -> None:
    ids = [factories.stray(c) for _ in range(5)]
    assert c.execute("SELECT * FROM pgqueue.file_strays(0, 2)").fetchone() == (2, ids[1])
    assert c.execute("SELECT * FROM pgqueue.file_strays(%s, 2)", (ids[1],)).fetchone() == (
        2,
        ids[3],
    )
    assert c.execute("SELECT * FROM pgqueue.file_strays(%s, 9)", (ids[3],)).fetchone() == (
        1,
        ids[4],
    )
    assert c.execute("SELECT * FROM pgqueue.file_strays(%s)", (ids[4],)).fetchone() == (0, ids[4])


@pytest.mark.parametrize("columns", [{"task": None}, {"queue": None}, {"args": "{}"}])
def test_a_stray_that_could_never_run_ends_as_failed(
    c: Connection, columns: dict[str, Any]
) -> None:
    job_id = factories.stray(c, **columns)
    c.execute("SELECT pgqueue.file_strays()")
    position = factories.position(c, job_id)
    assert position["state"] == "failed"
    assert position["error"].startswith("refused: ")
    with pytest.raises(psycopg.Error, match="could never run") as caught:
        c.execute("SELECT pgqueue.retry(%s)", (job_id,))
    assert caught.value.sqlstate == "PQ003"


def test_a_stray_is_not_filed_twice_by_two_who_look(
    db: Database, c: Connection, writer: Connection
) -> None:
    """The second one's look is older than the first one's commit, and by then the job runs."""
    job_id = factories.stray(c)
    writer.execute("SELECT pgqueue.file_strays()")
    assert c.execute("SELECT * FROM pgqueue.file_strays(%s)", (job_id - 1,)).fetchone() == (
        0,
        job_id - 1,
    )
    writer.commit()
    c.execute("SELECT pgqueue.dequeue(%s)", (factories.worker(c),))
    assert c.execute("SELECT filed FROM pgqueue.file_strays()").fetchone() == (0,)
    assert factories.state(c, job_id) == "running"


# Deletion


def _full(c: Connection) -> None:
    """A job in every position, with everything that can hang on it."""
    for make in (factories.ready, factories.scheduled, factories.blocked, factories.running,
                 factories.finished):  # fmt: skip
        job_id = make(c)
        c.execute(
            "INSERT INTO pgqueue.job_errors (job_id, attempt, at, kind, message)"
            " VALUES (%s, 1, now(), 'Error', '')",
            (job_id,),
        )
        c.execute("INSERT INTO pgqueue.job_progress (job_id, fraction) VALUES (%s, 1)", (job_id,))
        c.execute("INSERT INTO pgqueue.cancel_requests (job_id) VALUES (%s)", (job_id,))
        c.execute(
            "INSERT INTO pgqueue.job_logs VALUES (%s, 1, 1, now(), 'info', 'began')", (job_id,)
        )


@pytest.mark.parametrize("how", ["DELETE FROM pgqueue.jobs", "TRUNCATE pgqueue.jobs"])
def test_nothing_is_left_of_deleted_jobs(c: Connection, how: str) -> None:
    _full(c)
    assert all(count(c, table) for table in TABLES)
    c.execute(how)
    assert {table: count(c, table) for table in TABLES} == dict.fromkeys(TABLES, 0)


def test_what_is_not_deleted_stays(c: Connection) -> None:
    _full(c)
    job_id = factories.job(c)
    c.execute("DELETE FROM pgqueue.jobs WHERE id <> %s", (job_id,))
    assert factories.state(c, job_id) == "ready"
    c.execute("DELETE FROM pgqueue.jobs WHERE false")
    assert count(c, "ready_jobs") == 1


MOVES = {
    "claim": ("ready", "SELECT pgqueue.dequeue(%(worker)s)"),
    "finish": (
        "running",
        "SELECT pgqueue.finish(%(worker)s, ARRAY[%(id)s::bigint], '{1}', batch_no => 1)",
    ),
    "fail": (
        "running",
        "SELECT pgqueue.finish(%(worker)s, ARRAY[%(id)s::bigint], '{1}', '{failed}',"
        " errors => '{no}', batch_no => 1)",
    ),
    "give back": (
        "running",
        "SELECT pgqueue.finish(%(worker)s, ARRAY[%(id)s::bigint], '{1}', '{unstarted}',"
        " batch_no => 1)",
    ),
    "retry later": (
        "running",
        "SELECT pgqueue.finish(%(worker)s, ARRAY[%(id)s::bigint], '{1}', '{retry}',"
        " delays => '{1 h}', batch_no => 1)",
    ),
    "retry": ("finished", "SELECT pgqueue.retry(%(id)s)"),
    "retry at": ("finished", "SELECT pgqueue.retry(%(id)s, 'infinity')"),
    "promote": ("scheduled", "SELECT pgqueue.promote(at => 'infinity')"),
    "cancel": ("ready", "SELECT pgqueue.cancel(%(id)s)"),
    "set_priority": ("ready", "SELECT pgqueue.set_priority(%(id)s, 5)"),
    "log": ("running", "SELECT pgqueue.add_log(%(id)s, 'line')"),
    "set_queue": ("ready", "SELECT pgqueue.set_queue(%(id)s, 'other')"),
    "progress": ("running", "SELECT pgqueue.set_progress(%(id)s, 0.5)"),
    "request a cancel": ("running", "SELECT pgqueue.cancel(%(id)s)"),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_job_that_is_deleted_while_it_moves_leaves_nothing(
    db: Database, c: Connection, writer: Connection, move: str, end: str
) -> None:
    """The move has begun; the DELETE waits for it, and looks for the job where it went."""
    start, query = MOVES[move]
    worker_id = factories.worker(c)
    columns = {"worker_id": worker_id} if start == "running" else {}
    job_id = getattr(factories, start)(c, **columns)
    writer.execute(query, {"id": job_id, "worker": worker_id})
    deleter = threading.Thread(
        target=db.execute, args=("DELETE FROM pgqueue.jobs WHERE id = %s", (job_id,))
    )
    deleter.start()
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'DELETE%' AND wait_event_type = 'Lock'"
    )
    eventually(lambda: c.execute(waits).fetchone() == (1,) or not deleter.is_alive())
    getattr(writer, end)()
    deleter.join()
    c.execute("SELECT pgqueue.apply_cancels()")
    assert {table: count(c, table) for table in TABLES} == dict.fromkeys(TABLES, 0)
