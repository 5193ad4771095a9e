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
    "short": {
        "statement_timeout": "50ms",
        "lock_timeout": "1ms",
        "idle_session_timeout": "300ms",
        "idle_in_transaction_session_timeout": "50ms",
        "transaction_timeout": "100ms",
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
    for name, value in SETTINGS[kind].items():
        if name == "transaction_timeout" and db.server.major < 17:
            continue
        where = sql.SQL("ALTER DATABASE {} SET {} TO ").format(
            sql.Identifier(db.name), sql.Identifier(name)
        )
        given = sql.SQL(value) if name == "search_path" else sql.Literal(value)
        db.execute((where + given).as_string())
    running = worker("--processes", "2", "--fallback", "60", "--heartbeat", "0.5")
    ids = jobs.add_many(500, "noop")
    ids += [jobs.add("fail_times", 2) for _ in range(3)]
    jobs.wait_all(ids)
    # Long enough for a session that idles, and for a beat or two.
    before = jobs.value("SELECT max(heartbeat_at) FROM pgqueue.workers")

    def beaten() -> None:
        now = jobs.value("SELECT max(heartbeat_at) FROM pgqueue.workers")
        assert (now - before).total_seconds() > 1.2

    eventually(beaten)
    jobs.wait(jobs.add("noop"))
    # They are not meant for those who look at the database after the test.
    with db.connect(options="-c default_transaction_read_only=off") as plain:
        plain.execute(f'ALTER DATABASE "{db.name}" RESET ALL')
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
    begun_anew = sum("listener: the server refused" in line for line in said)
    assert stop(running)["reconnects"] == begun_anew
