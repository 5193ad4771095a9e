"""pgqueue.take_job: one certain job out of its turn, with all that work() would have done for it;
and pgqueue.keep_alive."""

import datetime as dt
import json
from typing import Any

import psycopg
import pytest

from tests.sql.calls import AT, column, ok, one, refused
from tests.sql.sleeper import Connection


def worker(c: Connection) -> int:
    return int(one(c, "SELECT pgqueue.register_worker('taker', at => %s)", AT))


def enqueue(c: Connection, task: str = "t", **options: Any) -> int:
    named = {"task": task, **options}
    call = ", ".join(f"{name} => %({name})s" for name in named)
    row = c.execute(f"SELECT pgqueue.enqueue({call})", named).fetchone()
    assert row is not None
    return int(row[0])


def take(c: Connection, worker_id: int, job_id: int, batch_no: int = 1, **options: Any) -> Any:
    named = {"worker_id": worker_id, "batch_no": batch_no, "job_id": job_id, "at": AT, **options}
    call = ", ".join(f"{name} => %({name})s" for name in named)
    row = c.execute(f"SELECT pgqueue.take_job({call})", named).fetchone()
    assert row is not None
    return None if row[0] is None else json.loads(row[0])


def test_it_gives_the_line_that_work_gives(c: Connection) -> None:
    one(c, "SELECT pgqueue.enqueue('before', queue => 'q', priority => 9::smallint)")
    job = enqueue(c, args='[1, "é"]', kwargs='{"x": null}', queue="q")
    w = worker(c)
    assert take(c, w, job) == [job, 1, 0, "t", [1, "é"], {"x": None}, "q", 0, None]
    running = one(c, "SELECT worker_id, batch_no, attempt, queue FROM pgqueue.running_jobs")
    assert running == (w, 1, 1, "q")
    assert column(c, "SELECT count(*) FROM pgqueue.ready_jobs") == [1]
    # What is said of it ends it, and nothing else is taken.
    ok(c, w, job)
    assert column(c, "SELECT state FROM pgqueue.finished_jobs") == ["succeeded"]


def test_options_come_with_it(c: Connection) -> None:
    group = one(c, "SELECT pgqueue.create_group('g')")
    c.execute(
        "INSERT INTO pgqueue.jobs (task, meta, timeout, max_attempts, group_id)"
        """ VALUES ('t', '{"a": 1}', '90 s', 7, %s)""",
        [group],
    )
    job = one(c, "SELECT id FROM pgqueue.jobs")
    line = take(c, worker(c), job)
    assert {name: line[8][name] for name in ("timeout", "max_attempts", "meta", "group_id")} == {
        "timeout": 90, "max_attempts": 7, "meta": {"a": 1}, "group_id": group,
    }  # fmt: skip


def test_results_of_others_come_with_it(c: Connection) -> None:
    first = enqueue(c, "first")
    c.execute(
        "INSERT INTO pgqueue.jobs (task, after, results_as) VALUES ('then', %s, 'args')", [[first]]
    )
    then = one(c, "SELECT max(id) FROM pgqueue.jobs")
    w = worker(c)
    assert take(c, w, then) is None
    take(c, w, first)
    c.execute(
        "SELECT pgqueue.finish(%s, %s, '{1}', '{succeeded}', '{7}', batch_no => 1)", [w, [first]]
    )
    c.execute("SELECT pgqueue.promote()")
    assert take(c, w, then, 2)[8]["results"] == [7]


def test_what_is_not_there_is_not_taken(c: Connection) -> None:
    w = worker(c)
    job = enqueue(c)
    assert take(c, w, job + 1) is None
    assert take(c, w, job) is not None
    assert take(c, w, job, 2) is None
    ok(c, w, job)
    assert take(c, w, job, 3, early=True) is None


def test_what_somebody_holds_is_passed_by(c: Connection, writer: Connection) -> None:
    w = worker(c)
    job = enqueue(c)
    writer.execute("SELECT FROM pgqueue.ready_jobs FOR UPDATE")
    assert take(c, w, job) is None
    writer.rollback()
    assert take(c, w, job) is not None


def test_a_later_one_is_taken_when_it_is_due_or_early(c: Connection) -> None:
    w = worker(c)
    jobs = [enqueue(c, run_at=AT + dt.timedelta(hours=1)) for _ in range(3)]
    assert take(c, w, jobs[0]) is None
    assert take(c, w, jobs[0], early=True) is not None
    assert take(c, w, jobs[1], 2, at=AT + dt.timedelta(hours=1)) is not None
    assert column(c, "SELECT job_id FROM pgqueue.scheduled_jobs") == [jobs[2]]


def test_a_paused_queue_gives_only_early_ones(c: Connection) -> None:
    w = worker(c)
    job = enqueue(c)
    c.execute("SELECT pgqueue.pause('default')")
    assert take(c, w, job) is None
    assert take(c, w, job, early=True) is not None


def test_limits_of_its_queue_hold(c: Connection) -> None:
    w = worker(c)
    c.execute("""SELECT pgqueue.limit_queue('default', '{"max_running": 1}')""")
    first, second = enqueue(c), enqueue(c)
    assert take(c, w, first) is not None
    assert take(c, w, second, 2, early=True) is None
    ok(c, w, first)
    assert take(c, w, second, 3) is not None
    assert column(c, "SELECT job_id FROM pgqueue.slots") == [second]


def test_one_that_waits_for_a_key_keeps_its_place(c: Connection) -> None:
    w = worker(c)
    words = "(task, concurrency_key, run_at) VALUES ('t', 'k', %s)"
    for run_at in (None, None, AT + dt.timedelta(hours=1)):
        c.execute(f"INSERT INTO pgqueue.jobs {words}", [run_at])
    first, second, later = column(c, "SELECT id FROM pgqueue.jobs ORDER BY id")
    assert [take(c, w, job, early=True) for job in (second, later)] == [None, None]
    assert first


def test_a_unique_key_of_waiting_ones_is_free_again(c: Connection) -> None:
    w = worker(c)
    words = {"unique_key": "k", "unique_while": "waiting"}
    job = enqueue(c, **words)
    assert enqueue(c, **words) == job
    assert take(c, w, job) is not None
    assert enqueue(c, **words) != job


def test_an_expired_one_ends(c: Connection) -> None:
    w = worker(c)
    callbacks = json.dumps({"on_finish": "tell"})
    c.execute(
        "INSERT INTO pgqueue.jobs (task, expires_at, callbacks) VALUES ('t', %s, %s)",
        [AT, callbacks],
    )
    job = one(c, "SELECT id FROM pgqueue.jobs")
    assert take(c, w, job) is None
    found = one(c, "SELECT state, error FROM pgqueue.finished_jobs")
    assert found == ("expired", "expired before it could start")
    assert column(c, "SELECT task FROM pgqueue.jobs ORDER BY id") == ["t", "tell"]


def test_a_stranger_takes_nothing(c: Connection) -> None:
    job = enqueue(c)
    message = "worker 7 is not registered, or has used batch 1 already; it may have been given up"
    with refused(
        "PQ005",
        f"{message} as lost",
        "stop what it runs, and register again with pgqueue.register_worker",
    ):
        take(c, 7, job)
    w = worker(c)
    c.execute("SELECT pgqueue.held(%s, 5)", [w])
    with pytest.raises(psycopg.Error, match="has used batch 5 already"):
        take(c, w, job, 5)
    assert take(c, w, job, 6) is not None


def test_a_sign_of_life_is_one_and_no_more(c: Connection) -> None:
    w = worker(c)
    later = AT + dt.timedelta(minutes=1)
    assert one(c, "SELECT pgqueue.keep_alive(%s, %s)", w, later) is True
    found = one(c, "SELECT heartbeat_at, is_leader, has_lock FROM pgqueue.workers")
    assert found == (later, False, False)
    assert one(c, "SELECT pgqueue.keep_alive(%s)", w + 1) is False


def test_it_counts_for_the_rate_of_its_key(c: Connection) -> None:
    w = worker(c)
    jobs = [enqueue(c, concurrency_key="k", rate="1/h") for _ in range(2)]
    c.execute("SELECT pgqueue.admit('{k}', %s)", [AT])
    assert take(c, w, jobs[0]) is not None
    ok(c, w, jobs[0], at=AT)
    assert column(c, "SELECT n FROM pgqueue.key_takes") == [1]
    c.execute("SELECT pgqueue.admit('{k}', %s)", [AT])
    assert take(c, w, jobs[1], 2) is None
