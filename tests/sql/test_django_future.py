"""The view of pgqueue.compat.django_future: what it shows, and what writing to it does."""

import concurrent.futures
import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import column, one
from tests.sql.sleeper import Connection

HOUR = dt.timedelta(hours=1)
VIEW = "pgqueue.django_future_jobs"
COLUMNS = (
    "time_slot_start, time_slot_end, execution_start, status, content_type_id, object_id, "
    "callable_name, args, kwargs, error, return_value"
)


def now(c: Connection) -> dt.datetime:
    return one(c, "SELECT clock_timestamp()")


def insert(c: Connection, **values: Any) -> int:
    start = now(c) + HOUR
    row = {
        "callable_name": "shop.tasks.send",
        "time_slot_start": start,
        "time_slot_end": values.get("time_slot_start", start) + 24 * HOUR,
        **values,
    }
    names = ", ".join(row)
    marks = ", ".join("%s" for _ in row)
    return int(one(c, f"INSERT INTO {VIEW} ({names}) VALUES ({marks}) RETURNING id", *row.values()))


def update(c: Connection, job: int, **values: Any) -> int:
    sets = ", ".join(f"{name} = %s" for name in values)
    return c.execute(f"UPDATE {VIEW} SET {sets} WHERE id = %s", [*values.values(), job]).rowcount


def shown(c: Connection, job: int, *names: str) -> Any:
    found = c.execute(f"SELECT {', '.join(names)} FROM {VIEW} WHERE id = %s", [job]).fetchone()
    assert found is not None
    return found[0] if len(names) == 1 else found


@contextlib.contextmanager
def refused(sqlstate: str, words: str) -> Iterator[None]:
    with pytest.raises(psycopg.Error, match=words) as caught:
        yield
    assert caught.value.sqlstate == sqlstate


def run(c: Connection, job: int, state: str = "succeeded", **outcome: Any) -> None:
    """Let a worker take a ready job, and finish it."""
    worker = factories.worker(c)
    taken = column(c, "SELECT job_id FROM pgqueue.dequeue(%s, '{django_future}')", worker)
    assert taken == [job]
    if state == "running":
        return
    c.execute(
        "SELECT pgqueue.finish(%s, %s, %s, %s, %s, %s)",
        [worker, [job], [one(c, "SELECT attempt FROM pgqueue.running_jobs")], [state],
         [outcome.get("result")], [outcome.get("error")]],
    )  # fmt: skip


# What is shown


def test_a_job_is_a_plain_job_of_the_queue(c: Connection) -> None:
    job = insert(
        c, args='[1, "a"]', kwargs='{"k": 2}', content_type_id=7, object_id="42",
        callable_name="close",
    )  # fmt: skip
    query = """
        SELECT j.state, j.task, j.queue, j.args, j.kwargs, j.meta, j.run_at, j.expires_at
        FROM pgqueue.job_overview AS j WHERE j.id = %s
    """
    assert one(c, query, job) == (
        "scheduled", "django_future:close", "django_future", [1, "a"], {"k": 2},
        {"django_future": {"content_type": 7, "object_id": "42"}},
        *shown(c, job, "time_slot_start", "time_slot_end"),
    )  # fmt: skip
    assert shown(c, job, "callable_name", "content_type_id", "object_id", "args", "kwargs") == (
        "close", 7, "42", [1, "a"], {"k": 2},
    )  # fmt: skip
    factories.ready(c, queue="django_future")
    assert column(c, f"SELECT id FROM {VIEW}") == [job]


def test_a_tuple_of_arguments_comes_back_as_one(c: Connection) -> None:
    job = insert(c, args='{"$t": "tuple", "v": [1]}')
    assert one(c, "SELECT args FROM pgqueue.jobs") == [1]
    assert shown(c, job, "args") == {"$t": "tuple", "v": [1]}
    update(c, job, args="[2]")
    assert shown(c, job, "args") == [2]


def test_statuses(c: Connection) -> None:
    later = insert(c)
    due = insert(c, time_slot_start=now(c) - HOUR)
    assert shown(c, later, "status") == shown(c, due, "status") == "scheduled"
    assert shown(c, due, "execution_start") is None
    run(c, due, "running")
    assert shown(c, due, "status") == "running"
    assert now(c) - shown(c, due, "execution_start") < HOUR
    c.execute("SELECT pgqueue.forget_worker(id) FROM pgqueue.workers")
    run(c, due, result='"7"')
    assert shown(c, due, "status", "return_value", "error") == ("complete", "7", None)
    past = insert(c, time_slot_start=now(c) - 48 * HOUR)
    c.execute("SELECT pgqueue.expire()")
    assert shown(c, past, "status", "execution_start", "error") == ("expired", None, None)
    c.execute("SELECT pgqueue.cancel(%s, 'no more')", [later])
    assert shown(c, later, "status", "error") == ("failed", "cancelled: no more")


def test_the_last_error_is_shown(c: Connection) -> None:
    job = insert(c, time_slot_start=now(c) - HOUR)
    run(c, job, "failed", error="ValueError: no")
    c.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 1, now() - interval '1 h', 'E', 'old', 'old'), "
        "(%s, 2, now() + interval '1 h', 'E', 'new', 'Traceback…\nE: new')",
        [job, job],
    )
    assert shown(c, job, "status", "error") == ("failed", "Traceback…\nE: new")


# INSERT


@pytest.mark.parametrize("name", ["time_slot_start", "time_slot_end", "callable_name"])
def test_what_must_be_given(c: Connection, name: str) -> None:
    start = {"time_slot_start": now(c), "time_slot_end": now(c), "callable_name": "f"}
    with pytest.raises(psycopg.errors.NotNullViolation, match=f"{name} must be given; got null"):
        c.execute(
            f"INSERT INTO {VIEW} (time_slot_start, time_slot_end, callable_name) "
            "VALUES (%s, %s, %s)",
            list({**start, name: None}.values()),
        )


def test_what_may_not_be_given(c: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="status must be scheduled, running"):
        insert(c, status="done")
    with pytest.raises(psycopg.errors.CheckViolation, match="id of a job must be left"):
        insert(c, id=7)
    with refused("23514", "gets the status running when a worker takes it"):
        insert(c, status="running")
    with refused("PQ001", "args must be a JSON array; got object"):
        insert(c, args="{}")
    assert one(c, "SELECT count(*) FROM pgqueue.jobs") == 0


@pytest.mark.parametrize("status", ["complete", "failed", "expired"])
def test_a_job_that_is_over_may_be_inserted(c: Connection, status: str) -> None:
    at = now(c) - HOUR
    job = insert(c, status=status, execution_start=at, return_value="7", error="Traceback\nE: x")
    assert shown(c, job, "status", "execution_start", "return_value") == (status, at, "7")
    assert shown(c, job, "error") == "Traceback\nE: x"
    query = "SELECT error FROM pgqueue.finished_jobs"
    lines = {"complete": None, "failed": "E: x", "expired": "expired before it could start"}
    assert one(c, query) == lines[status]


# UPDATE


def test_everything_of_a_waiting_job_may_be_changed(c: Connection) -> None:
    job = insert(c)
    start = now(c) + 5 * HOUR
    assert update(
        c, job, callable_name="g", args="[1]", kwargs='{"a": 1}', object_id="3", content_type_id=2,
        time_slot_start=start, time_slot_end=start + HOUR,
    ) == 1  # fmt: skip
    assert shown(
        c, job, "callable_name", "args", "kwargs", "object_id", "content_type_id",
        "time_slot_start", "time_slot_end", "status",
    ) == ("g", [1], {"a": 1}, "3", 2, start, start + HOUR, "scheduled")  # fmt: skip
    assert one(c, "SELECT run_at FROM pgqueue.scheduled_jobs") == start
    update(c, job, object_id=None)
    assert one(c, "SELECT meta FROM pgqueue.jobs") == {"django_future": {"content_type": 2}}
    with refused("PQ001", "kwargs must be a JSON object"):
        update(c, job, kwargs="[]")
    with pytest.raises(psycopg.errors.CheckViolation, match="cannot be changed"):
        update(c, job, id=job + 1)
    with pytest.raises(psycopg.errors.NotNullViolation):
        update(c, job, time_slot_end=None)
    assert update(c, job + 1, callable_name="h") == 0


def test_another_time_makes_it_ready_and_back(c: Connection) -> None:
    job = insert(c)
    update(c, job, time_slot_start=now(c) - HOUR)
    assert factories.state(c, job) == "ready"
    seq = one(c, "SELECT seq FROM pgqueue.ready_jobs")
    update(c, job, callable_name="g")
    assert one(c, "SELECT seq FROM pgqueue.ready_jobs") == seq
    update(c, job, time_slot_start=now(c) + HOUR)
    assert factories.state(c, job) == "scheduled"


@pytest.mark.parametrize("status", ["complete", "failed", "expired"])
def test_a_status_set_by_hand(c: Connection, status: str) -> None:
    job = insert(c)
    update(c, job, status=status, return_value="r", error="Traceback\nValueError: no")
    assert shown(c, job, "status", "return_value") == (status, "r")
    query = "SELECT kind, message, traceback FROM pgqueue.job_errors"
    assert one(c, query) == ("ValueError", "no", "Traceback\nValueError: no")
    other = "failed" if status == "complete" else "complete"
    update(c, job, status=other)
    assert shown(c, job, "status") == other
    update(c, job, status="scheduled", error=None, time_slot_start=now(c) - HOUR)
    assert shown(c, job, "status", "error", "return_value") == ("scheduled", None, None)
    run(c, job)
    assert shown(c, job, "status") == "complete"


def test_one_set_back_after_its_end_expires(c: Connection) -> None:
    job = insert(c, time_slot_start=now(c) - 48 * HOUR, status="failed")
    update(c, job, status="scheduled")
    assert shown(c, job, "status") == "scheduled"
    c.execute("SELECT pgqueue.promote()")
    worker = factories.worker(c)
    assert column(c, "SELECT job_id FROM pgqueue.dequeue(%s)", worker) == []
    assert shown(c, job, "status") == "expired"


def test_a_running_job(c: Connection) -> None:
    job = insert(c, time_slot_start=now(c) - HOUR)
    run(c, job, "running")
    update(c, job, args="[3]", error="so far")
    assert shown(c, job, "status", "args", "error") == ("running", [3], "so far")
    for status in ("scheduled", "complete", "failed"):
        with refused("23514", "is running and its status must stay so"):
            update(c, job, status=status)
    with refused("23514", "must not be running to be deleted"):
        c.execute(f"DELETE FROM {VIEW}")
    other = insert(c)
    with refused("23514", "gets the status running when a worker takes it"):
        update(c, other, status="running")


def test_an_update_beside_a_worker_sets_what_it_names(c: Connection, db: Database) -> None:
    """What the statement saw when it began is not written back."""
    taken, ended = insert(c, time_slot_start=now(c) - HOUR), insert(c)
    other = db.connect(autocommit=False)
    other.execute("SELECT FROM pgqueue.jobs WHERE id = ANY (%s) FOR UPDATE", [[taken, ended]])
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        counts = [
            pool.submit(update, db.connect(), job, **words)
            for job, words in (
                (taken, {"status": "expired"}),
                (taken, {"args": "[7]"}),
                (ended, {"args": "[8]"}),
            )
        ]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: one(c, waiting) == 3)
        other.execute("SELECT pgqueue.cancel(%s)", [ended])
        other.execute("SELECT pgqueue.dequeue(pgqueue.register_worker('w'), '{django_future}')")
        other.commit()
        assert [count.result() for count in counts] == [0, 1, 1]
    assert shown(c, taken, "status", "args") == ("running", [7])
    assert shown(c, ended, "status", "args") == ("failed", [8])


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_condition_on_the_status_does_not_hold_for_a_job_that_is_over_meanwhile(
    c: Connection, db: Database, state: str
) -> None:
    job = insert(c, time_slot_start=now(c) - HOUR)
    words = f"UPDATE {VIEW} SET status = 'expired' WHERE status = 'scheduled'"
    other = db.connect(autocommit=False)
    other.execute("SELECT FROM pgqueue.jobs WHERE id = %s FOR UPDATE", [job])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        count = pool.submit(lambda: db.connect().execute(words).rowcount)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: one(c, waiting) == 1)
        run(other, job, state, error="ValueError: no" if state == "failed" else None)
        other.commit()
        assert count.result() == 0
    assert shown(c, job, "status") == {"succeeded": "complete", "failed": "failed"}[state]


# DELETE


def test_delete(c: Connection) -> None:
    jobs = [insert(c), insert(c, time_slot_start=now(c) - HOUR), insert(c, status="complete")]
    assert c.execute(f"DELETE FROM {VIEW} WHERE id = ANY (%s)", [jobs]).rowcount == 3
    assert one(c, "SELECT count(*) FROM pgqueue.jobs") == 0
    assert c.execute(f"DELETE FROM {VIEW} WHERE id = ANY (%s)", [jobs]).rowcount == 0


# At what price


def test_lists_read_only_jobs_that_have_an_end(c: Connection) -> None:
    factories.jobs(c, 3000)
    job = insert(c)
    c.execute("ANALYZE pgqueue.jobs")
    for query in (f"SELECT * FROM {VIEW} ORDER BY time_slot_start", f"SELECT count(*) FROM {VIEW}"):
        plan = "\n".join(column(c, f"EXPLAIN {query}"))
        assert "jobs_expires_at_idx" in plan, plan
    assert column(c, f"SELECT id FROM {VIEW} WHERE status = 'scheduled'") == [job]
