"""Behind pgbouncer: the worker notices by itself, works without session state, and leaves none."""

import re

import psycopg

from pgqueue import PgQueue
from tests.acceptance.support import Jobs, asleep, figures, presume_lost, stop
from tests.fixtures.databases import Database, create_database
from tests.fixtures.pgbouncer import Pooler, StartPooler
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually

NO_RINGS = "notifications do not arrive"

# Of sessions, if they stay: those of transactions are among them for a moment.
ADVISORY = """SELECT classid, objid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
WHERE locktype = 'advisory' AND datname = current_database()"""


def warnings(running: RunningWorker) -> list[str]:
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


def leftovers(pooler: Pooler, db: Database) -> list[tuple[object, ...]]:
    """Find what a client that comes after the worker would be given, if it were left behind."""
    found: list[tuple[object, ...]] = []
    connections = []
    # Each in a transaction, so that each has a server process of its own.
    for _ in range(3):
        connection = psycopg.connect(pooler.dsn(db.name), prepare_threshold=None)
        connections.append(connection)
        found += connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
        found += connection.execute(
            "SELECT name, setting FROM pg_settings WHERE source = 'session'"
            " AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone')"
        ).fetchall()
    for connection in connections:
        connection.rollback()
        connection.close()
    return found


def test_transaction_pooling(
    db: Database, jobs: Jobs, worker: StartWorker, pooler: StartPooler
) -> None:
    # Our own session has begun before, so that nothing it says can be refused for that.
    jobs.query(f'ALTER DATABASE "{db.name}" SET default_transaction_isolation = serializable')
    between = pooler(pool_mode="transaction")
    ids = jobs.add_many(500, "echo", "it's \\ and $1")
    running = [
        worker("--processes", "1", "--heartbeat", "1", dsn=between.dsn(db.name)) for _ in range(2)
    ]
    for one in running:
        eventually(lambda one=one: NO_RINGS in one.log())
    jobs.wait_all(ids)
    ids += [jobs.add("noop") for _ in range(20)]
    # Somebody leads, though nobody can hold a lock.
    due = jobs.value(
        "INSERT INTO pgqueue.jobs (task, run_at) VALUES ('tests.acceptance.tasks.noop',"
        " clock_timestamp() + interval '0.3 s') RETURNING id"
    )
    failing = jobs.add("fail_times", 2)
    jobs.wait_all([*ids, due, failing])
    assert jobs.query("SELECT count(*) FROM pgqueue.workers WHERE has_lock")[0]["count"] == 0
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers WHERE is_leader") == 1)

    # One that dies is found by its lease.
    asked = jobs.add("until_cancelled")
    jobs.wait(asked, "running")
    victim = jobs.value(
        "SELECT w.pid FROM pgqueue.running_jobs JOIN pgqueue.workers AS w ON w.id = worker_id"
    )
    (dead,) = [one for one in running if one.pid == victim]
    (other,) = [one for one in running if one.pid != victim]
    dead.kill()
    presume_lost(jobs, dead)

    def taken_over() -> None:
        found = jobs.look(asked)
        assert (found["state"], found["lost"], found["attempt"]) == ("running", 1, 2)

    eventually(taken_over)
    # Nobody tells it of the cancel but its heartbeat.
    jobs.query("SELECT pgqueue.cancel(%s)", asked)
    jobs.wait(asked, "cancelled")

    eventually(lambda: jobs.query(ADVISORY) == [])
    counted = stop(other)
    assert (counted["rings"], counted["reconnects"]) == (0, 0)
    assert [line for line in warnings(other) if "rescued" not in line] == [
        line for line in warnings(other) if NO_RINGS in line
    ]
    assert other.log().count(NO_RINGS) == 1
    assert leftovers(between, db) == []


def test_producers_behind_transaction_pooling(
    db: Database, jobs: Jobs, pooler: StartPooler
) -> None:
    between = pooler(pool_mode="transaction", default_pool_size="1")
    with PgQueue(between.dsn(db.name)) as one, PgQueue(between.dsn(db.name)) as other:
        for app in (one, other) * 10:
            app.enqueue("tests.acceptance.tasks.noop")
    assert jobs.states() == {"ready": 20}
    assert leftovers_of_one(between, db) == []


def leftovers_of_one(pooler: Pooler, db: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(pooler.dsn(db.name), prepare_threshold=None) as connection:
        return connection.execute(
            "SELECT name, '' FROM pg_prepared_statements UNION ALL"
            " SELECT name, setting FROM pg_settings WHERE source = 'session'"
            " AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone')"
        ).fetchall()


def test_session_pooling_keeps_the_doorbell(
    db: Database, jobs: Jobs, worker: StartWorker, pooler: StartPooler
) -> None:
    between = pooler(pool_mode="session", default_pool_size="10")
    running = worker("--processes", "1", "--fallback", "600", dsn=between.dsn(db.name))
    eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.workers WHERE has_lock") == 1)
    for _ in range(20):
        eventually(lambda: asleep(jobs) > 0)
        jobs.wait(jobs.add("noop"))
    counted = stop(running)
    assert counted["by_ring"] > 0
    assert counted["by_fallback"] == 0
    assert warnings(running) == []
    # Given back by the pooler, once it sees that nobody is there any more.
    eventually(lambda: jobs.query(ADVISORY) == [])


def test_a_listener_past_the_pooler(
    db: Database, jobs: Jobs, worker: StartWorker, pooler: StartPooler
) -> None:
    between = pooler(pool_mode="transaction")
    running = worker(
        "--processes", "1", "--fallback", "600", "--listen-dsn", db.dsn, dsn=between.dsn(db.name)
    )
    eventually(lambda: "leading" in running.log())
    for _ in range(20):
        eventually(lambda: asleep(jobs) > 0)
        jobs.wait(jobs.add("noop"))
    assert jobs.value("SELECT count(*) FROM pgqueue.workers WHERE has_lock AND is_leader") == 1
    jobs.wait_all(jobs.add_many(1000, "echo", 1))
    counted = stop(running)
    assert counted["by_ring"] > 0
    assert counted["by_fallback"] == 0
    assert warnings(running) == []
    assert leftovers(between, db) == []


def test_a_listener_in_another_place(db: Database, template: str, worker: StartWorker) -> None:
    place = create_database(db.server, template)
    running = worker("--processes", "1", "--listen-dsn", place.dsn, ready=False)
    assert running.process.wait(PATIENCE) != 0
    assert "leads to another database than that of the jobs" in running.log()
    assert "Traceback" not in running.log()


def test_the_pooler_is_restarted(
    db: Database, jobs: Jobs, worker: StartWorker, pooler: StartPooler
) -> None:
    between = pooler(pool_mode="transaction")
    running = worker("--processes", "1", "--lease", "60", dsn=between.dsn(db.name))
    for _ in range(3):
        ids = jobs.add_many(500, "noop")
        between.stop()
        between.start()
        jobs.wait_all(ids)
    eventually(lambda: NO_RINGS in running.log())
    assert running.stop() == 0
    assert running.log().count(NO_RINGS) == 1
    assert "Traceback" not in running.log()
    assert figures(running)["jobs"] == 1500
    wrong = jobs.query("SELECT job_id FROM pgqueue.finished_jobs WHERE attempt > lost + 1")
    assert wrong == []
