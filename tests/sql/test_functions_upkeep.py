"""What the leader does again and again: promote, expire, prune, file strays."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT, column, one
from tests.sql.sleeper import Connection, SleeperSession

SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(days=1)

Make = Callable[..., int]


def call(c: Connection, name: str, *parameters: Any, at: dt.datetime = AT) -> Any:
    """Call one of the functions at a time; gives its row."""
    marks = "".join("%s, " * len(parameters))
    return one(c, f"SELECT * FROM pgqueue.{name}({marks} at => %s)", *parameters, at)


# promote


def test_promote_moves_what_is_due_in_its_order(db: Database, c: Connection) -> None:
    made = [
        factories.scheduled(
            c, AT - n * SECOND, attempt=2, lost=1, crashes=1, flags=2, queue=f"q{n % 2}",
            priority=n,
        )
        for n in range(4)
    ]  # fmt: skip
    later = factories.scheduled(c, AT + SECOND)
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    moved, due_in, reached = call(c, "promote")
    assert (moved, reached) == (4, AT)
    assert due_in > 0
    assert sorted(sleeper.heard()) == ["q0", "q1"]
    rows = c.execute("SELECT job_id, priority, attempt, lost, crashes, flags "
                     "FROM pgqueue.ready_jobs ORDER BY seq").fetchall()  # fmt: skip
    assert rows == [(made[n], n, 2, 1, 1, 2) for n in (3, 2, 1, 0)]
    assert factories.state(c, later) == "scheduled"
    assert call(c, "promote")[0] == 0
    assert sleeper.heard() == []


def test_promote_tells_when_the_next_one_is_due(c: Connection) -> None:
    query = "SELECT due_in FROM pgqueue.promote()"
    assert one(c, query) is None
    factories.scheduled(c)
    assert one(c, query) is None
    factories.job(c, run_at=one(c, "SELECT now() + interval '1 h'"))
    assert 3500 < one(c, query) <= 3600


def test_promote_is_bounded_and_says_that_there_may_be_more(c: Connection) -> None:
    times = [AT + n * SECOND for n in range(-4, 1)]
    for time in times:
        factories.scheduled(c, time)
    assert call(c, "promote", 2) == (2, 0, times[1])
    assert call(c, "promote", 2) == (2, 0, times[3])
    assert call(c, "promote", 2) == (1, None, AT)


def test_promote_starts_at_its_floor(c: Connection) -> None:
    late = factories.scheduled(c, AT - 5 * SECOND)
    same = factories.scheduled(c, AT - 2 * SECOND)
    assert call(c, "promote", 9, AT - 2 * SECOND) == (1, None, AT - 2 * SECOND)
    assert factories.state(c, same) == "ready"
    assert call(c, "promote", 9, AT - 2 * SECOND) == (0, None, AT - 2 * SECOND)
    assert call(c, "promote", 9, None) == (1, None, AT - 5 * SECOND)
    assert factories.state(c, late) == "ready"


# expire


@pytest.mark.parametrize("make", [factories.ready, factories.scheduled, factories.blocked])
def test_expire_ends_what_waited_too_long(c: Connection, make: Make) -> None:
    c.execute("SET timezone = 'UTC'")
    gone = make(c, attempt=2, lost=1, crashes=1, expires_at=AT)
    kept = [make(c, expires_at=AT + SECOND), make(c)]
    assert call(c, "expire") == (1, AT)
    assert factories.position(c, gone) == {
        "table": "finished_jobs",
        "job_id": gone,
        "state": "expired",
        "attempt": 2,
        "lost": 1,
        "crashes": 1,
        "worker_id": None,
        "started_at": None,
        "finished_at": "2040-01-01T00:00:00+00:00",
        "keep_until": "2040-01-31T00:00:00+00:00",
        "result": None,
        "error": "expired before it could start",
    }
    assert not {factories.state(c, job) for job in kept} & {"expired"}
    assert call(c, "expire") == (0, AT)


@pytest.mark.parametrize("make", [factories.running, factories.finished])
def test_expire_leaves_what_has_started(c: Connection, make: Make) -> None:
    job = make(c, expires_at=AT)
    before = factories.position(c, job)
    assert call(c, "expire", at=AT + DAY) == (0, AT)
    assert factories.position(c, job) == before


def test_expire_passes_finished_jobs_over_and_finds_those_behind(c: Connection) -> None:
    factories.jobs(c, 50, expires_at=AT)
    c.execute("SELECT pgqueue.cancel(id) FROM pgqueue.jobs")
    behind = factories.job(c, expires_at=AT + SECOND)
    assert call(c, "expire", 10, at=AT + DAY) == (1, AT + SECOND)
    assert factories.state(c, behind) == "expired"


def test_expire_is_bounded_also_where_all_expire_at_one_time(c: Connection) -> None:
    factories.jobs(c, 25, expires_at=AT)
    floor = None
    for expired in (10, 10, 5, 0):
        found, floor = call(c, "expire", 10, floor)
        assert found == expired
    assert floor == AT
    assert column(c, "SELECT DISTINCT state FROM pgqueue.job_overview") == ["expired"]


def test_expire_leaves_what_somebody_holds(c: Connection, writer: Connection) -> None:
    held, free = factories.jobs(c, 2, expires_at=AT)
    writer.execute("SELECT FROM pgqueue.ready_jobs WHERE job_id = %s FOR UPDATE", (held,))
    c.execute("SET lock_timeout = '1 ms'")
    expired, floor = call(c, "expire")
    assert expired == 1
    assert factories.state(c, free) == "expired"
    writer.rollback()
    assert call(c, "expire", 9, floor)[0] == 0
    assert call(c, "expire", 9, None)[0] == 1
    assert factories.state(c, held) == "expired"


# prune


def test_prune_deletes_what_need_not_be_kept(c: Connection) -> None:
    gone = factories.finished(c, keep_until=AT)
    kept = [
        factories.finished(c, keep_until=AT + SECOND),
        factories.finished(c),
        factories.ready(c),
        factories.scheduled(c, AT - DAY),
        factories.running(c),
    ]
    c.execute("INSERT INTO pgqueue.job_errors VALUES (%s, 1, now(), 'E', '')", (gone,))
    c.execute("INSERT INTO pgqueue.job_progress VALUES (%s, 1)", (gone,))
    assert call(c, "prune") == (1, AT)
    assert column(c, "SELECT id FROM pgqueue.jobs ORDER BY id") == kept
    assert call(c, "prune") == (0, None)


def test_prune_by_age(c: Connection) -> None:
    old = factories.finished(c, finished_at=AT - DAY)
    young = factories.finished(c, finished_at=AT - DAY + SECOND, keep_until=AT - DAY)
    query = "SELECT * FROM pgqueue.prune(older_than => %s, at => %s)"
    assert one(c, query, DAY, AT) == (1, None)
    assert column(c, "SELECT id FROM pgqueue.jobs") == [young]
    assert one(c, query, dt.timedelta(0), AT) == (1, None)
    assert factories.state(c, old) is None


def test_prune_is_bounded_and_starts_at_its_floor(c: Connection) -> None:
    times = [AT + n * SECOND for n in range(-4, 1)]
    ids = [factories.finished(c, keep_until=time) for time in times]
    query = "SELECT * FROM pgqueue.prune(2, floor => %s, at => %s)"
    assert one(c, query, times[1], AT) == (2, times[2])
    assert column(c, "SELECT id FROM pgqueue.jobs ORDER BY id") == [ids[0], *ids[3:]]
    assert one(c, query, times[2], AT) == (2, AT)
    assert one(c, query, AT, AT) == (0, AT)
    assert one(c, query, None, AT) == (1, times[0])


@pytest.mark.parametrize("table", ["finished_jobs", "jobs"])
def test_prune_leaves_what_somebody_holds(c: Connection, writer: Connection, table: str) -> None:
    held, free = (factories.finished(c, keep_until=AT) for _ in "ab")
    key = "id" if table == "jobs" else "job_id"
    writer.execute(f"SELECT FROM pgqueue.{table} WHERE {key} = %s FOR UPDATE", (held,))
    c.execute("SET lock_timeout = '1 ms'")
    assert call(c, "prune")[0] == 1
    assert factories.state(c, free) is None
    writer.rollback()
    assert call(c, "prune")[0] == 1


def test_prune_removes_a_row_that_hangs_on_nothing(c: Connection) -> None:
    c.execute("INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until)"
              " VALUES (4711, 'failed', 0, %s, %s)", (AT, AT))  # fmt: skip
    assert call(c, "prune") == (0, AT)
    assert column(c, "SELECT job_id FROM pgqueue.finished_jobs") == []


@pytest.mark.parametrize(
    ("state", "kept"), [("succeeded", 7), ("failed", 30), ("cancelled", 30), ("expired", 30)]
)
def test_how_long_a_job_is_kept(c: Connection, state: str, kept: int) -> None:
    query = "SELECT pgqueue.retention('mail', %s)"
    assert one(c, query, state) == kept * DAY
    c.execute("SELECT pgqueue.configure_queue('mail', '1 s', '2 s')")
    assert one(c, query, state) == (SECOND if state == "succeeded" else 2 * SECOND)
    c.execute("SELECT pgqueue.configure_queue('mail')")
    assert one(c, query, state) == kept * DAY


# file_strays


def test_a_stray_is_filed_with_all_it_has(db: Database, c: Connection) -> None:
    columns = {"queue": "mail", "priority": 3, "expires_at": AT, "timeout": "1 s"}
    sleeper = SleeperSession(db, "mail", leader=True)
    sleeper.arm()
    now, soon = factories.stray(c, **columns), factories.stray(c, run_at=AT + SECOND)
    assert call(c, "file_strays", 0) == (2, soon)
    assert sleeper.heard() == ["mail"]
    assert sleeper.heard("pgqueue_control") == ["due"]
    filed = factories.position(c, now)
    assert (filed["queue"], filed["priority"], filed["seq"], filed["flags"]) == ("mail", 3, now, 3)
    assert factories.position(c, soon)["reason"] == "delayed"


def test_rows_restored_without_triggers_are_filed(c: Connection) -> None:
    """As pg_restore --disable-triggers and a session of an applier do it."""
    c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER ALL")
    ids = factories.jobs(c, 1000)
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file")
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_forget")
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_truncate")
    assert call(c, "file_strays") == (1000, ids[-1])
    assert column(c, "SELECT job_id FROM pgqueue.ready_jobs ORDER BY job_id") == ids
