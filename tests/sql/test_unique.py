"""Unique keys: what counts as a duplicate, what becomes of it, and who waits for whom."""

import datetime as dt
import json
import threading
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import column, ok, one, refused, tell, work

Connection = psycopg.Connection[Any]

AT = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)


def insert(c: Connection, key: str | None = "k", **columns: Any) -> list[int]:
    """Insert a job as any program would; gives what RETURNING gave."""
    row = {"task": "t", "unique_key": key, **columns}
    names = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    query = f"INSERT INTO pgqueue.jobs ({names}) VALUES ({marks}) RETURNING id"
    return [found[0] for found in c.execute(query, list(row.values()))]


def states(c: Connection) -> dict[int, str]:
    return dict(c.execute("SELECT id, state FROM pgqueue.job_overview ORDER BY id").fetchall())


def keys(c: Connection) -> dict[str, int]:
    return dict(c.execute("SELECT key, job_id FROM pgqueue.unique_keys").fetchall())


# What counts as a duplicate


def test_a_duplicate_is_left_out_as_by_on_conflict_do_nothing(writer: Connection) -> None:
    (first,) = insert(writer)
    cursor = writer.execute("INSERT INTO pgqueue.jobs (task, unique_key) VALUES ('u', 'k')")
    assert cursor.rowcount == 0
    writer.commit()
    assert states(writer) == {first: "ready"}
    cursor = writer.execute("INSERT INTO pgqueue.jobs (task, unique_key) VALUES ('u', 'k')")
    assert cursor.rowcount == 0
    assert insert(writer) == []
    (other,) = insert(writer, "other")
    writer.commit()
    assert states(writer) == {first: "ready", other: "ready"}
    assert keys(writer) == {"k": first, "other": other}


def test_duplicates_within_one_statement(c: Connection) -> None:
    c.execute(
        "INSERT INTO pgqueue.jobs (task, unique_key)"
        " SELECT 't', nullif((n % 10)::text, '0') FROM generate_series(1, 100) AS n"
    )
    assert one(c, "SELECT count(*) FROM pgqueue.jobs") == 10 + 9
    assert one(c, "SELECT count(*) FROM pgqueue.ready_jobs") == 10 + 9


def test_duplicates_within_one_statement_while_they_wait(c: Connection) -> None:
    c.execute(
        "INSERT INTO pgqueue.jobs (task, unique_key, unique_while)"
        " SELECT 't', 'k', 'waiting' FROM generate_series(1, 3) AS n"
    )
    assert list(states(c).values()) == ["ready"]
    assert keys(c) == {"k": min(states(c))}


def test_duplicates_in_a_copy(c: Connection) -> None:
    (first,) = insert(c, "b")
    with c.cursor().copy("COPY pgqueue.jobs (task, unique_key) FROM STDIN") as copy:
        for key in ("a", "b", "c", "a", None, None):
            copy.write_row(("t", key))
    assert sorted(column(c, "SELECT unique_key FROM pgqueue.jobs"), key=str) == [
        None, None, "a", "b", "c",
    ]  # fmt: skip
    assert keys(c)["b"] == first


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_the_transaction_stays_usable(writer: Connection, isolation: str) -> None:
    insert(writer)
    writer.commit()
    writer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    assert insert(writer) == []
    (other,) = insert(writer, None)
    writer.commit()
    assert states(writer)[other] == "ready"
    assert len(states(writer)) == 2


def test_a_savepoint_that_is_rolled_back_gives_the_key_back(writer: Connection) -> None:
    writer.execute("SAVEPOINT here")
    insert(writer)
    writer.execute("ROLLBACK TO here")
    (kept,) = insert(writer)
    writer.commit()
    assert keys(writer) == {"k": kept}


@pytest.mark.parametrize(
    "end", ["succeeded", "failed", "cancelled", "by cancel", "expired", "deleted", "truncated"]
)
def test_a_job_that_is_over_gives_its_key_back(c: Connection, end: str) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, expires_at="now" if end == "expired" else None)
    if end in ("succeeded", "failed", "cancelled"):
        work(c, worker)
        assert insert(c) == []
        tell(c, worker, job, end)
    elif end == "by cancel":
        one(c, "SELECT pgqueue.cancel(%s)", job)
    elif end == "expired":
        work(c, worker)
    elif end == "deleted":
        c.execute("DELETE FROM pgqueue.jobs")
    else:
        c.execute("TRUNCATE pgqueue.jobs")
    assert keys(c) == {}
    (second,) = insert(c)
    assert states(c)[second] == "ready"


def test_a_plain_success_gives_the_key_back_in_its_batch(c: Connection) -> None:
    worker = factories.worker(c)
    (job,) = insert(c)
    plain = factories.job(c)
    work(c, worker)
    ok(c, worker, job, plain)
    assert keys(c) == {}


@pytest.mark.parametrize("way", ["retry", "snoozed", "unstarted", "interrupted", "crashed"])
def test_a_job_that_goes_on_keeps_its_key(c: Connection, way: str) -> None:
    worker = factories.worker(c)
    (job,) = insert(c)
    work(c, worker)
    tell(c, worker, job, way, delay=60)
    assert insert(c) == []
    assert keys(c) == {"k": job}


def test_rescued_jobs_keep_their_keys(c: Connection) -> None:
    worker = factories.worker(c, heartbeat_at="epoch")
    insert(c)
    work(c, worker)
    one(c, "SELECT * FROM pgqueue.rescue()")
    assert insert(c) == []
    other = factories.worker(c)
    work(c, other)
    c.execute("SELECT pgqueue.cancel(1)")
    c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch'")
    one(c, "SELECT * FROM pgqueue.rescue()")
    assert states(c) == {1: "cancelled"}
    assert keys(c) == {}


def test_unique_while_waiting(c: Connection) -> None:
    worker = factories.worker(c)
    (first,) = insert(c, unique_while="waiting")
    assert insert(c, unique_while="waiting") == []
    work(c, worker)
    (second,) = insert(c, unique_while="waiting")
    assert insert(c, unique_while="waiting") == []
    assert keys(c) == {"k": second}
    # Once it was taken it counts no more, also where it waits again.
    tell(c, worker, first, "retry", delay=0)
    assert insert(c) == []
    assert states(c) == {first: "scheduled", second: "ready"}


def test_a_worker_does_not_take_a_job_that_a_writer_counts_on(
    c: Connection, writer: Connection
) -> None:
    """What the dropped duplicate would have seen, the waiting job must see: the commit is first."""
    worker = factories.worker(c)
    (job,) = insert(c, unique_while="waiting")
    assert insert(writer, unique_while="waiting") == []
    assert work(c, worker).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is True
    writer.commit()
    assert work(c, worker).job_ids == [job]


def test_a_writer_does_not_count_on_a_job_that_is_being_taken(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, unique_while="waiting")
    assert work(writer, worker).job_ids == [job]
    waits = threading.Thread(target=insert, args=(c,), kwargs={"unique_while": "waiting"})
    waits.start()
    eventually(lambda: _somebody_waits(writer))
    writer.commit()
    waits.join()
    assert sorted(states(writer).values()) == ["ready", "running"]


def test_unique_for_a_period(c: Connection) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, unique_for="1 h")
    work(c, worker)
    ok(c, worker, job)
    assert insert(c, unique_for="1 h") == []
    assert insert(c) == []
    # A pruned job does not end the period.
    one(c, "SELECT deleted FROM pgqueue.prune(older_than => '0')")
    assert states(c) == {}
    assert insert(c) == []
    c.execute("UPDATE pgqueue.unique_keys SET held_until = clock_timestamp()")
    (second,) = insert(c)
    assert keys(c) == {"k": second}


@pytest.mark.parametrize("end", ["cancel", "delete_job"])
def test_who_cancels_or_deletes_a_job_ends_its_period(c: Connection, end: str) -> None:
    (job,) = insert(c, unique_for="1 h")
    one(c, f"SELECT pgqueue.{end}(%s)", job)
    assert insert(c) != []


def test_a_job_that_is_live_after_its_period_keeps_its_key(c: Connection) -> None:
    (job,) = insert(c, unique_for="1 ms")
    c.execute("SELECT pg_sleep(0.01)")
    assert insert(c) == []
    one(c, "SELECT swept FROM pgqueue.sweep_unique_keys()")
    assert keys(c) == {"k": job}


# What becomes of it


def test_replace(c: Connection) -> None:
    (old,) = insert(c, args="[1]")
    (new,) = insert(c, args="[2]", on_duplicate="replace", run_at=AT)
    assert states(c) == {old: "cancelled", new: "scheduled"}
    said = one(c, "SELECT error FROM pgqueue.finished_jobs WHERE job_id = %s", old)
    assert said == f"cancelled: replaced by job {new}"
    assert keys(c) == {"k": new}
    assert insert(c) == []


def test_a_running_job_is_not_replaced(c: Connection) -> None:
    worker = factories.worker(c)
    (old,) = insert(c)
    work(c, worker)
    insert(c, on_duplicate="replace")
    insert(c, on_duplicate="reschedule", run_at=AT)
    assert states(c) == {old: "running"}


def bulk(c: Connection, way: str, rows: list[tuple[str, str, str | None, str | None]]) -> None:
    """Enqueue jobs with one statement: of each the arguments, key, on_duplicate and run_at."""
    columns = "args, unique_key, on_duplicate, run_at"
    if way == "copy":
        with (
            c.cursor() as cursor,
            cursor.copy(f"COPY pgqueue.jobs (task, {columns}) FROM stdin") as copy,
        ):
            for row in rows:
                copy.write_row(("t", *row))
        return
    if way == "insert":
        values = ", ".join(["('t', %s::jsonb, %s, %s, %s::timestamptz)"] * len(rows))
        c.execute(f"INSERT INTO pgqueue.jobs (task, {columns}) VALUES {values}", sum(rows, ()))
        return
    names = columns.split(", ")
    jobs = [{"task": "t", **dict(zip(names, row, strict=True))} for row in rows]
    for job in jobs:
        job["args"] = json.loads(job["args"] or "")
    c.execute("SELECT pgqueue.enqueue_many(%s)", (json.dumps(jobs),))


WAYS = pytest.mark.parametrize("way", ["insert", "copy", "enqueue_many"])


@WAYS
def test_replacing_within_one_statement_keeps_the_last(c: Connection, way: str) -> None:
    (old,) = insert(c, "b")
    rows = [(f"[{n}]", key, "replace", None) for n in range(4) for key in ("a", "b")]
    bulk(c, way, [("[9]", "c", "ignore", None), *rows, ("[8]", "c", "replace", None)])
    assert [state for state in states(c).values() if state != "cancelled"] == ["ready"] * 3
    assert states(c)[old] == "cancelled"
    assert dict(c.execute(
        "SELECT j.unique_key, j.args -> 0 FROM pgqueue.ready_jobs JOIN pgqueue.jobs AS j"
        " ON j.id = job_id"
    ).fetchall()) == {"a": 3, "b": 3, "c": 8}  # fmt: skip
    assert set(keys(c).values()) == set(column(c, "SELECT job_id FROM pgqueue.ready_jobs"))


@pytest.mark.parametrize("line", [
    {"concurrency_key": "line"},
    {"concurrency_key": "line", "rate": "1/h"},
    {"fair_key": "line"},
])  # fmt: skip
def test_a_job_in_a_line_is_rescheduled_too(c: Connection, line: dict[str, str]) -> None:
    worker = factories.worker(c)
    first = factories.job(c, **line)
    (job,) = insert(c, args="[1]", **line)
    assert work(c, worker, max_jobs=1).job_ids == [first]
    insert(c, args="[2]", on_duplicate="reschedule", run_at=AT, **line)
    assert states(c)[job] == "scheduled"
    other = factories.job(c, **line)
    ok(c, worker, first)
    if "rate" not in line:
        assert work(c, worker, 2).job_ids == [other]
        ok(c, worker, other, batch_no=2)
    insert(c, args="[3]", on_duplicate="reschedule", **line)
    assert states(c)[job] != "scheduled"
    if "rate" not in line:
        assert work(c, worker, 3).job_ids == [job]


@WAYS
def test_rescheduling_within_one_statement(c: Connection, way: str) -> None:
    (old,) = insert(c, "b", args="[7]", run_at="2030-01-01")
    times = ("2039-01-01", "2040-01-01", str(AT))
    rows = [
        (f"[{n}]", key, "reschedule", at) for n, at in enumerate(times) for key in ("a", "b", "c")
    ]
    bulk(c, way, [*rows, ("[5]", "c", "reschedule", None)])
    assert c.execute(
        "SELECT j.unique_key, j.args -> 0, s.run_at FROM pgqueue.scheduled_jobs AS s"
        " JOIN pgqueue.jobs AS j ON j.id = s.job_id ORDER BY 1"
    ).fetchall() == [("a", 0, AT), ("b", 7, AT)]
    assert one(c, "SELECT j.args -> 0 FROM pgqueue.ready_jobs JOIN pgqueue.jobs AS j ON id = job_id"
               ) == 0  # fmt: skip
    assert keys(c)["b"] == old


@WAYS
def test_an_error_within_one_statement(c: Connection, way: str) -> None:
    with refused(
        "PQ006",
        "unique_key must be held by no other job; another job of the statement has it",
        "enqueue one of them, or say what is to become of the others with on_duplicate",
    ):
        bulk(c, way, [("[1]", "k", "error", None), ("[2]", "k", "error", None)])
    assert states(c) == {}


def test_a_job_that_another_of_its_statement_replaces_is_its_duplicate(c: Connection) -> None:
    jobs = json.dumps([{"task": "t", "unique_key": "k", "on_duplicate": "replace"}] * 3)
    found = c.execute("SELECT * FROM pgqueue.enqueue_each(%s)", (jobs,)).fetchall()
    (live,) = states(c)
    assert found == [(live, True), (live, True), (live, False)]


def test_reschedule(c: Connection) -> None:
    soon = dt.datetime(2039, 1, 1, tzinfo=dt.UTC)
    (job,) = insert(c, args="[1]", run_at=soon)
    insert(c, args="[2]", on_duplicate="reschedule", run_at=AT)
    assert one(c, "SELECT run_at, args FROM pgqueue.job_overview") == (AT, [1])
    insert(c, on_duplicate="reschedule")
    assert states(c) == {job: "ready"}
    insert(c, on_duplicate="reschedule", run_at=AT)
    assert states(c) == {job: "scheduled"}
    assert keys(c) == {"k": job}


def test_error(c: Connection, writer: Connection) -> None:
    (job,) = insert(c)
    with refused(
        "PQ006",
        f"unique_key must be held by no other job; job {job} has it",
        "wait for that job, or say what is to become of it with on_duplicate",
    ):
        writer.execute("INSERT INTO pgqueue.jobs (task, unique_key, on_duplicate)"
                       " VALUES ('t', 'new', 'error'), ('t', 'k', 'error')")  # fmt: skip
    writer.rollback()
    assert states(c) == {job: "ready"}
    (other,) = insert(c, "new", on_duplicate="error")
    assert keys(c) == {"k": job, "new": other}


# The functions


def test_enqueue_gives_the_job_that_is_there(c: Connection) -> None:
    (job,) = insert(c)
    assert one(c, "SELECT pgqueue.enqueue('t', unique_key => 'k')") == job
    assert one(c, "SELECT pgqueue.enqueue('t', unique_key => 'k', on_duplicate => 'reschedule')"
               ) == job  # fmt: skip
    replaced = one(c, "SELECT pgqueue.enqueue('t', unique_key => 'k', on_duplicate => 'replace')")
    assert states(c) == {job: "cancelled", replaced: "ready"}


def test_enqueue_many_and_each(c: Connection) -> None:
    (job,) = insert(c)
    jobs = [{"task": "t", "unique_key": key} for key in ("k", "a", "b", "a")]
    jobs.append({"task": "plain", "args": [1], "run_in": 60, "timeout": "1.5 seconds"})
    query = "SELECT * FROM pgqueue.enqueue_each(%s)"
    found = c.execute(query, (json.dumps(jobs),)).fetchall()
    assert found[0] == (job, True)
    assert [duplicate for _, duplicate in found] == [True, False, False, True, False]
    assert found[3][0] == found[1][0]
    again = column(c, "SELECT pgqueue.enqueue_many(%s)", json.dumps(jobs[:4]))
    assert again == [row[0] for row in found[:4]]
    assert states(c)[found[4][0]] == "scheduled"
    with refused("PQ001", "jobs must be a JSON array of objects; got object"):
        c.execute("SELECT pgqueue.enqueue_each('{}')")


def test_retry_takes_the_key_again(c: Connection) -> None:
    (first,) = insert(c)
    one(c, "SELECT pgqueue.cancel(%s)", first)
    (second,) = insert(c)
    with refused(
        "PQ006",
        f"the unique_key of job {first} must be free for it to be retried; another job has it",
        "wait for the other job, or cancel it first",
    ):
        c.execute("SELECT pgqueue.retry(%s)", (first,))
    one(c, "SELECT pgqueue.cancel(%s)", second)
    assert one(c, "SELECT pgqueue.retry(%s)", first) == "ready"
    assert keys(c) == {"k": first}
    assert one(c, "SELECT pgqueue.set_priority(%s, 9)", first) == "ready"
    assert insert(c) == []


def test_retry_within_its_own_period(c: Connection) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, unique_for="1 h")
    work(c, worker)
    tell(c, worker, job, "failed")
    assert one(c, "SELECT pgqueue.retry(%s)", job) == "ready"
    assert keys(c) == {"k": job}


def test_strays_take_keys_or_end_as_duplicates(c: Connection) -> None:
    (job,) = insert(c)
    c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER USER")
    c.execute("INSERT INTO pgqueue.jobs (task, unique_key) VALUES ('t', 'k'), ('t', 'new')")
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_unique")
    for name in ("jobs_file", "jobs_forget", "jobs_truncate"):
        c.execute(f"ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER {name}")
    one(c, "SELECT filed FROM pgqueue.file_strays()")
    assert states(c) == {job: "ready", job + 1: "cancelled", job + 2: "ready"}
    assert keys(c) == {"k": job, "new": job + 2}


def test_what_nobody_has_any_more_is_swept_and_counts_as_free(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (first,) = insert(c, "a")
    work(c, worker)
    # A producer holds the row while the job ends.
    writer.execute("SELECT FROM pgqueue.unique_keys FOR UPDATE")
    ok(c, worker, first)
    writer.commit()
    assert keys(c) == {"a": first}
    (second,) = insert(c, "a")
    assert keys(c) == {"a": second}
    work(c, worker, 2)
    writer.execute("SELECT FROM pgqueue.unique_keys FOR UPDATE")
    ok(c, worker, second, batch_no=2)
    writer.commit()
    assert one(c, "SELECT swept, reached FROM pgqueue.sweep_unique_keys(max_keys => 1)") == (1, "a")
    assert one(c, "SELECT swept, reached FROM pgqueue.sweep_unique_keys('a')") == (0, "")


def test_a_job_without_its_key_and_a_key_without_its_job_are_faults(c: Connection) -> None:
    with c.transaction(force_rollback=True):
        insert(c)
        c.execute("DELETE FROM pgqueue.unique_keys")
        c.execute("INSERT INTO pgqueue.unique_keys VALUES ('x', 99, false)")
        assert column(c, "SELECT problem FROM pgqueue.check_invariants() ORDER BY 1") == [
            "live job without its unique key",
            "unique key without a live job",
        ]


# Who waits for whom


def test_who_comes_second_waits_for_the_first(db: Database, c: Connection) -> None:
    for how, expected in (("commit", 1), ("rollback", 2)):
        c.execute("TRUNCATE pgqueue.jobs RESTART IDENTITY")
        with db.connect(autocommit=False) as first:
            insert(first)
            waits = threading.Thread(target=insert, args=(c,))
            waits.start()
            eventually(lambda first=first: _somebody_waits(first))
            getattr(first, how)()
            waits.join()
        assert states(c) == {expected: "ready"}


def test_statements_that_name_the_same_keys_in_other_orders_do_not_deadlock(
    db: Database, c: Connection
) -> None:
    names = [f"key {n}" for n in range(300)]
    orders = [names, names[::-1], names[150:] + names[:150], names[::2] + names[1::2]]

    def write(order: list[str], how: str) -> None:
        with psycopg.connect(db.dsn) as mine:
            if how == "copy":
                with mine.cursor().copy("COPY pgqueue.jobs (task, unique_key) FROM STDIN") as copy:
                    for name in order:
                        copy.write_row(("t", name))
            else:
                mine.execute("INSERT INTO pgqueue.jobs (task, unique_key)"
                             " SELECT 't', n FROM unnest(%s::text[]) AS n", (order,))  # fmt: skip

    before = _deadlocks(c)
    for how in ("insert", "copy"):
        c.execute("TRUNCATE pgqueue.jobs")
        _at_once([lambda order=order, how=how: write(order, how) for order in orders])
        assert one(c, "SELECT count(*) FROM pgqueue.jobs") == 300
        assert one(c, "SELECT count(*) FROM pgqueue.ready_jobs") == 300
    assert _deadlocks(c) == before


def test_a_deadlock_of_two_transactions_reaches_neither(db: Database, c: Connection) -> None:
    """Whoever is told of it leaves its job undecided; when both are over, it is decided."""
    with db.connect(autocommit=False) as first, db.connect(autocommit=False) as second:
        # It is the second that is told.
        first.execute("SET LOCAL deadlock_timeout = '1 min'")
        second.execute("SET LOCAL deadlock_timeout = '10 ms'")
        insert(first, "a")
        insert(second, "b")
        waits = threading.Thread(target=insert, args=(first, "b"))
        waits.start()
        eventually(lambda: _somebody_waits(c))
        insert(second, "a")
        second.commit()
        waits.join()
        first.commit()
    found = column(c, "SELECT unique_key FROM pgqueue.job_overview WHERE state = 'ready'")
    assert sorted(found) == ["a", "b"]
    blocked = one(c, "SELECT count(*) FROM pgqueue.blocked_jobs WHERE reason = 'unique_key'")
    assert one(c, "SELECT pgqueue.settle_unique_keys()") == blocked
    assert blocked == 1
    (said,) = column(c, "SELECT error FROM pgqueue.finished_jobs")
    assert said == "cancelled: duplicate of a job with the same unique_key"
    assert one(c, "SELECT count(*) FROM pgqueue.blocked_jobs") == 0


@pytest.mark.parametrize("run_at", [None, AT])
def test_an_undecided_job_runs_where_the_other_was_rolled_back(
    c: Connection, run_at: dt.datetime | None
) -> None:
    job = factories.blocked(c, "unique_key", unique_key="k", flags=4)
    c.execute("DELETE FROM pgqueue.unique_keys")
    c.execute("UPDATE pgqueue.jobs SET run_at = %s", (run_at,))
    assert one(c, "SELECT pgqueue.settle_unique_keys()") == 1
    assert states(c) == {job: "ready" if run_at is None else "scheduled"}
    assert keys(c) == {"k": job}


def test_the_period_of_a_cancelled_job_is_over_though_somebody_held_its_key(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, unique_for="1 h")
    work(c, worker)
    insert(writer, on_duplicate="reschedule")
    tell(c, worker, job, "cancelled")
    writer.commit()
    assert keys(c) == {"k": job}
    (following,) = insert(c)
    assert keys(c) == {"k": following}
    c.execute("SELECT pgqueue.cancel(%s)", (following,))


def test_the_key_of_a_cancelled_job_is_swept_before_its_period_is_over(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (job,) = insert(c, unique_for="1 h")
    work(c, worker)
    insert(writer, on_duplicate="reschedule")
    tell(c, worker, job, "cancelled")
    writer.commit()
    assert one(c, "SELECT swept FROM pgqueue.sweep_unique_keys()") == 1
    assert keys(c) == {}


def _somebody_waits(c: Connection) -> bool:
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    return bool(c.execute(query).fetchone() == (True,))


def _deadlocks(c: Connection) -> int:
    c.execute("SELECT pg_stat_force_next_flush()")
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(one(c, query))


def _at_once(calls: list[Any]) -> None:
    failures: list[BaseException] = []

    def run(call: Any) -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
