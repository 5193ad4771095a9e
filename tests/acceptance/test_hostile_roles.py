"""Roles and databases whose defaults suit people, and a worker that does not care."""

import re

import pytest
from psycopg import sql

from tests.acceptance.support import Jobs, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually

EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql
AS $$ SELECT timestamptz '2000-01-01' $$;
CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT $$;
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql
AS $$ SELECT 'evil' $$;
CREATE FUNCTION evil.pg_backend_pid() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION evil.not_equal(integer, integer) RETURNS boolean LANGUAGE sql
AS $$ SELECT true $$;
CREATE OPERATOR evil.<> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.not_equal);
CREATE TABLE evil.jobs (id bigint);
"""

SETTINGS = {
    # Shorter than the lock below is held and than a heartbeat, but no shorter than a busy machine
    # may need until the worker, newly connected, has said what it wants instead.
    "short": {
        "statement_timeout": "2s",
        "lock_timeout": "1500ms",
        "idle_session_timeout": "2s",
        "idle_in_transaction_session_timeout": "2s",
        "transaction_timeout": "2s",
    },
    "strict": {
        "default_transaction_isolation": "serializable",
        "search_path": "evil, pg_catalog",
    },
    "read only": {"default_transaction_read_only": "on"},
}


def warnings(running: RunningWorker) -> list[str]:
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


@pytest.mark.parametrize("kind", SETTINGS)
def test_defaults_of_a_role(kind: str, db: Database, jobs: Jobs, worker: StartWorker) -> None:
    jobs.query(EVIL)
    # All of it on this one connection, which was there before.
    for name, value in SETTINGS[kind].items():
        if name == "transaction_timeout" and db.server.major < 17:
            continue
        where = sql.SQL("ALTER DATABASE {} SET {} TO ").format(
            sql.Identifier(db.name), sql.Identifier(name)
        )
        given = sql.SQL(value) if name == "search_path" else sql.Literal(value)
        jobs.query((where + given).as_string())
    running = worker("--processes", "2", "--fallback", "600", "--heartbeat", "3", ready=False)
    ids = jobs.add_many(500, "noop")
    ids += [jobs.add("fail_times", 2) for _ in range(3)]
    jobs.wait_all(ids)
    # Long enough for a listener that idles, and for a statement that has to wait.
    before = jobs.value("SELECT max(heartbeat_at) FROM pgqueue.workers")
    with jobs.connection.transaction():
        jobs.query("LOCK TABLE pgqueue.ready_jobs IN ACCESS EXCLUSIVE MODE")
        jobs.query("SELECT pg_sleep(2.5)")

    def beaten() -> None:
        now = jobs.value("SELECT max(heartbeat_at) FROM pgqueue.workers")
        assert (now - before).total_seconds() > 2.5

    eventually(beaten)
    jobs.wait(jobs.add("noop"))
    # They are not meant for those who look at the database after the test.
    jobs.query(f'ALTER DATABASE "{db.name}" RESET ALL')
    assert warnings(running) == []
    counted = stop(running)
    assert (counted["reconnects"], counted["by_fallback"], counted["lost_leases"]) == (0, 0, 0)


def test_a_row_that_an_admin_holds(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """Tables locked by an upgrade or a curious human: the worker waits, says so once, goes on."""
    running = worker("--processes", "1")
    jobs.wait(jobs.add("noop"))
    admin = db.connect(autocommit=False)
    admin.execute("LOCK TABLE pgqueue.ready_jobs, pgqueue.running_jobs IN ACCESS EXCLUSIVE MODE")
    eventually(lambda: [line for line in warnings(running) if "lock timeout" in line])
    admin.rollback()
    jobs.wait_all(jobs.add_many(100, "noop"))
    assert "Traceback" not in running.log()
    said = warnings(running)
    assert len(said) == len({line.partition(":")[0] for line in said}), said
    # A listener that was about to fall asleep is refused as well, and begins anew.
    # Again, if it takes the admin long to go, which is not said again.
    begun_anew = any("listener: the server refused" in line for line in said)
    assert (stop(running)["reconnects"] > 0) == begun_anew
