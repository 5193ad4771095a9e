"""Workers that register, live, say good-bye or die, and what becomes of the jobs they held."""

import datetime as dt
import threading

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import AT, column, one, tell, work
from tests.sql.sleeper import Connection

SECOND = dt.timedelta(seconds=1)
RESCUE = "SELECT * FROM pgqueue.rescue(at => %s)"
WORKERS = "SELECT id FROM pgqueue.workers ORDER BY id"


# Known


def test_register_worker_stores_what_it_is_told(c: Connection) -> None:
    worker = one(
        c,
        "SELECT pgqueue.register_worker('w', '{a,b}', 'host', 7, 2, 3, '1.0', '5 s', %s)",
        AT,
    )
    columns = "name, queues, hostname, pid, processes, threads, version, lease, has_lock, is_leader"
    assert one(c, f"SELECT id, {columns}, started_at, heartbeat_at FROM pgqueue.workers") == (
        worker,
        "w",
        ["a", "b"],
        "host",
        7,
        2,
        3,
        "1.0",
        5 * SECOND,
        False,
        False,
        AT,
        AT,
    )


def test_a_beat_is_a_sign_of_life(c: Connection) -> None:
    worker = factories.worker(c)
    beat = one(c, "SELECT known, waiting, leader, locked FROM pgqueue.beat(%s, at => %s)",
               worker, AT)  # fmt: skip
    assert beat == (True, False, True, True)
    assert one(c, "SELECT heartbeat_at, is_leader FROM pgqueue.workers") == (AT, True)
    assert one(c, "SELECT known FROM pgqueue.beat(4711)") is False


def test_a_beat_tells_whether_work_is_waiting(c: Connection) -> None:
    query = "SELECT waiting FROM pgqueue.beat(%s, %s)"
    worker = factories.worker(c)
    factories.job(c, queue="mail")
    for queues, waiting in ((["*"], True), (["mail"], True), (["other"], False)):
        assert one(c, query, worker, queues) is waiting
    c.execute("SELECT pgqueue.pause('mail')")
    assert one(c, query, worker, ["*"]) is False


def test_one_leads_unless_it_is_silent(db: Database, c: Connection) -> None:
    first, second = factories.worker(c), factories.worker(c)
    other = db.connect()
    query = "SELECT leader, locked FROM pgqueue.beat(%s, at => %s)"
    assert one(c, query, first, AT) == (True, True)
    assert one(other, query, second, AT + 5 * SECOND) == (False, False)
    assert one(other, query, second, AT + 6 * SECOND) == (True, False)
    c.execute("SELECT pgqueue.beat(%s, has_lead => true, at => %s)", (first, AT + 6 * SECOND))
    assert one(other, query, second, AT + 7 * SECOND) == (False, False)
    c.close()
    eventually(lambda: one(other, query, second, AT) == (True, True))


def test_held_lists_what_a_worker_holds(c: Connection) -> None:
    worker = factories.worker(c)
    first = factories.running(c, worker, attempt=2, batch_no=5)
    second = factories.running(c, worker)
    factories.running(c)
    rows = c.execute("SELECT * FROM pgqueue.held(%s)", (worker,)).fetchall()
    assert rows == [(first, 2, 5), (second, 1, 1)]
    assert c.execute("SELECT * FROM pgqueue.held(4711)").fetchall() == []


def test_held_waits_for_a_late_claim(db: Database, c: Connection, writer: Connection) -> None:
    job = factories.job(c)
    worker = factories.worker(c)
    work(writer, worker)
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.extend(
            row[0] for row in db.execute("SELECT job_id FROM pgqueue.held(%s)", (worker,))
        )
    )
    thread.start()
    waits = """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()
    """
    eventually(lambda: one(c, waits) == 1)
    writer.commit()
    thread.join()
    assert found == [job]


# Gone


def test_forget_worker_gives_everything_back(c: Connection) -> None:
    worker = factories.worker(c)
    ids = [factories.running(c, worker, batch_no=n, attempt=2) for n in (1, 1, 2)]
    asked = factories.running(c, worker)
    c.execute("SELECT pgqueue.cancel(%s)", (asked,))
    other = factories.running(c)
    assert one(c, "SELECT pgqueue.forget_worker(%s)", worker) == 4
    for job in ids:
        back = factories.position(c, job)
        assert (back["table"], back["attempt"], back["lost"]) == ("ready_jobs", 2, 1)
    assert factories.state(c, asked) == "cancelled"
    assert factories.state(c, other) == "running"
    assert worker not in column(c, WORKERS)
    assert one(c, "SELECT pgqueue.forget_worker(%s)", worker) == 0


def test_forget_worker_leaves_a_row_that_somebody_holds_to_rescue(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    held, free = factories.running(c, worker), factories.running(c, worker)
    writer.execute("SELECT FROM pgqueue.running_jobs WHERE job_id = %s FOR UPDATE", (held,))
    c.execute("SET lock_timeout = '1 ms'")
    assert one(c, "SELECT pgqueue.forget_worker(%s)", worker) == 1
    assert factories.state(c, free) == "ready"
    assert one(c, "SELECT * FROM pgqueue.rescue()") == (0, 0)
    writer.rollback()
    assert one(c, "SELECT * FROM pgqueue.rescue()") == (1, 1)
    assert factories.state(c, held) == "ready"


# Lost


def test_a_worker_is_lost_when_its_lease_is_over(c: Connection) -> None:
    c.execute("SET timezone = 'UTC'")
    worker = factories.worker(c, "w", heartbeat_at=AT)
    patient = factories.worker(c, heartbeat_at=AT, lease="1 h")
    job = factories.running(
        c, worker, attempt=2, lost=1, crashes=1, queue="mail", priority=4, timeout="1 s"
    )
    kept = factories.running(c, patient)
    assert one(c, RESCUE, AT + 30 * SECOND) == (0, 0)
    assert one(c, RESCUE, AT + 30.001 * SECOND) == (1, 1)
    assert factories.position(c, job) == {
        "table": "ready_jobs",
        "job_id": job,
        "queue": "mail",
        "priority": 4,
        "seq": job,
        "attempt": 2,
        "lost": 2,
        "crashes": 1,
        "flags": 2,
    }
    assert factories.state(c, kept) == "running"
    assert column(c, WORKERS) == [patient]
    assert one(c, "SELECT attempt, kind, message FROM pgqueue.job_errors") == (
        2,
        "lost",
        f"worker {worker} (w) gave no sign of life any more",
    )
    assert one(c, RESCUE, AT + 31 * SECOND) == (0, 0)
    assert tell(c, patient, job, "succeeded") == ([job], None)


def test_a_lost_worker_without_jobs_is_forgotten(c: Connection) -> None:
    factories.worker(c, heartbeat_at=AT)
    assert one(c, RESCUE, AT + 31 * SECOND) == (1, 0)
    assert column(c, WORKERS) == []


def test_a_job_whose_worker_is_not_listed_is_given_back(c: Connection) -> None:
    job = factories.running(c, 4711)
    assert one(c, RESCUE, AT) == (1, 1)
    assert factories.state(c, job) == "ready"


def test_a_lost_job_that_was_to_be_cancelled_is(c: Connection) -> None:
    worker = factories.worker(c, heartbeat_at=AT)
    why, plain = factories.running(c, worker), factories.running(c, worker)
    c.execute("SELECT pgqueue.cancel(%s, 'enough')", (why,))
    c.execute("SELECT pgqueue.cancel(%s)", (plain,))
    assert one(c, RESCUE, AT + 31 * SECOND) == (1, 2)
    over = factories.position(c, why)
    assert (over["state"], over["error"], over["lost"]) == ("cancelled", "cancelled: enough", 1)
    assert factories.position(c, plain)["error"] == "cancelled"
    assert one(c, "SELECT pgqueue.apply_cancels()") == 2
    assert column(c, "SELECT job_id FROM pgqueue.cancel_requests") == []


def test_rescue_is_bounded(c: Connection) -> None:
    workers = [factories.worker(c, heartbeat_at=AT) for _ in range(2)]
    for worker in workers:
        for _ in range(3):
            factories.running(c, worker)
    query = "SELECT * FROM pgqueue.rescue(2, %s)"
    later = AT + 31 * SECOND
    assert one(c, query, later) == (0, 2)
    assert one(c, query, later) == (1, 2)
    assert one(c, query, later) == (1, 2)
    assert one(c, query, later) == (0, 0)


@pytest.mark.parametrize("held", ["job", "worker", "call"])
def test_rescue_waits_for_nobody(c: Connection, writer: Connection, held: str) -> None:
    """A row somebody holds, or a work() that is late, is left for the next time."""
    worker = factories.worker(c, heartbeat_at=AT)
    job = factories.running(c, worker)
    later = AT + 31 * SECOND
    if held == "call":
        work(writer, worker, 2)
    elif held == "worker":
        writer.execute("SELECT FROM pgqueue.workers FOR UPDATE")
    else:
        writer.execute("SELECT FROM pgqueue.running_jobs FOR UPDATE")
    c.execute("SET lock_timeout = '1 ms'")
    assert one(c, RESCUE, later) == (0, 0)
    assert factories.state(c, job) == "running"
    writer.rollback()
    assert one(c, RESCUE, later) == (1, 1)


# The liveness lock


_BEGUN = "SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())"


@pytest.fixture
def guarded(db: Database, c: Connection) -> tuple[int, Connection]:
    """A worker with a job, and the session that holds its liveness lock."""
    session = db.connect()
    worker = factories.worker(c)
    assert one(session, "SELECT pgqueue.hold_liveness(%s)", worker) is True
    c.execute("UPDATE pgqueue.workers SET heartbeat_at = clock_timestamp()")
    factories.running(c, worker)
    return worker, session


def later(c: Connection, seconds: float) -> dt.datetime:
    """So long after the last heartbeat."""
    found: dt.datetime = one(c, "SELECT heartbeat_at FROM pgqueue.workers")
    return found + seconds * SECOND


def test_a_worker_whose_session_lives_has_its_lease(
    c: Connection, guarded: tuple[int, Connection]
) -> None:
    assert one(c, "SELECT has_lock FROM pgqueue.workers") is True
    assert one(c, RESCUE, later(c, 29)) == (0, 0)
    assert one(c, RESCUE, later(c, 31)) == (1, 1)


def test_a_worker_whose_session_ended_is_lost_sooner(
    c: Connection, guarded: tuple[int, Connection]
) -> None:
    """But not before it was silent for 8 s, and the one who looks is there for 10 s."""
    guarded[1].close()
    c.execute(f"UPDATE pgqueue.workers SET heartbeat_at = ({_BEGUN})")
    locks = (
        "SELECT count(*) FROM pg_locks WHERE classid = 70677103 AND database = ("
        "SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    eventually(lambda: one(c, locks) == 0)
    assert one(c, RESCUE, later(c, 5)) == (0, 0)
    assert one(c, RESCUE, later(c, 8.5)) == (0, 0)
    assert one(c, RESCUE, later(c, 20)) == (1, 1)


@pytest.mark.parametrize(("age", "silent", "rescued"), [(10.1, 1, 1), (10.1, 5, 0), (9, 1, 0)])
def test_a_leader_that_has_just_come_goes_by_another_worker(
    age: float, silent: float, rescued: int, db: Database, c: Connection
) -> None:
    """One that was connected for 10 s and is heard of still; there was no outage then."""
    other = db.connect()
    eventually(lambda: one(other, f"SELECT clock_timestamp() > ({_BEGUN}) + interval '200 ms'"))
    leader = db.connect()
    at = one(other, f"SELECT ({_BEGUN})") + age * SECOND
    assert one(leader, f"SELECT %s - ({_BEGUN}) < interval '10 s'", at)
    survivor, gone = factories.worker(c), factories.worker(c)
    assert one(other, "SELECT pgqueue.hold_liveness(%s)", survivor) is True
    factories.running(c, gone)
    c.execute("UPDATE pgqueue.workers SET heartbeat_at = %s", (at - 9 * SECOND,))
    c.execute("UPDATE pgqueue.workers SET has_lock = true WHERE id = %s", (gone,))
    c.execute(
        "UPDATE pgqueue.workers SET heartbeat_at = %s WHERE id = %s",
        (at - silent * SECOND, survivor),
    )
    assert one(leader, RESCUE, at) == (rescued, rescued)
    leader.close()
    other.close()


def test_a_worker_without_a_lock_has_its_lease(c: Connection) -> None:
    factories.running(c)
    assert one(c, RESCUE, later(c, 29)) == (0, 0)


def test_a_lock_that_another_session_holds_is_not_ours(
    c: Connection, guarded: tuple[int, Connection]
) -> None:
    """A reconnected worker, while the server still keeps its lost session."""
    worker, session = guarded
    query = "SELECT pgqueue.hold_liveness(%s)"
    assert one(c, query, worker) is False
    assert one(c, "SELECT has_lock FROM pgqueue.workers") is False
    session.close()
    eventually(lambda: one(c, query, worker))
    assert one(c, "SELECT has_lock FROM pgqueue.workers") is True
