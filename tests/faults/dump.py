"""The tables that witness a campaign, and their dump into the history at its end.

Beside pgqueue's own tables there are: `business` (one row a job, written in the transaction that
enqueues it), `effects` (what jobs did), and `moves`, which triggers on the five position tables
fill: every place a job ever came to, written in the transaction that moved it, so that a move which
was rolled back, or lost in a crash, is not in it.
"""

from typing import Any

import psycopg

from tests.faults.history import History

Connection = psycopg.Connection[Any]

_PLACES = ("ready", "scheduled", "running", "finished")

_TABLES = """
CREATE TABLE public.business (key text NOT NULL);
CREATE TABLE public.effects (key text NOT NULL, attempt integer NOT NULL, atomic boolean NOT NULL);
CREATE TABLE public.accounts (id integer PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO public.accounts SELECT i, 0 FROM generate_series(0, 3) AS i;
CREATE TABLE public.moves (
    n bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    job_id bigint NOT NULL, place text NOT NULL, attempt integer, lost integer, crashes integer,
    worker_id bigint, batch_no bigint, priority integer, seq bigint, state text
);
"""
_COLUMNS = {
    "ready": "NULL, NULL, priority, seq, NULL",
    "scheduled": "NULL, NULL, priority, NULL, reason",
    "running": "worker_id, batch_no, priority, NULL, NULL",
    "finished": "worker_id, NULL, NULL, NULL, state",
}
_TRIGGER = """
CREATE FUNCTION public.witness_{place}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.moves (job_id, place, attempt, lost, crashes, worker_id, batch_no, priority,
        seq, state)
    SELECT job_id, '{place}', attempt, lost, crashes, {columns} FROM moved;
    RETURN NULL;
END
$$;
CREATE TRIGGER witness AFTER INSERT ON pgqueue.{place}_jobs REFERENCING NEW TABLE AS moved
FOR EACH STATEMENT EXECUTE FUNCTION public.witness_{place}();
"""

_DUMPS = {
    "final.job": """
        SELECT j.id, j.queue,
            -- A callback is told what has ended before its own arguments.
            j.args ->> (jsonb_typeof(j.args -> 0) = 'object')::integer AS key,
            j.concurrency_key, j.max_running, j.rate, j.unique_key, j.after,
            o.state, o.attempt, o.lost, o.crashes,
            extract(epoch FROM j.run_at)::float8 AS run_at,
            extract(epoch FROM j.expires_at)::float8 AS expires_at
        FROM pgqueue.jobs AS j LEFT JOIN pgqueue.job_overview AS o ON o.id = j.id ORDER BY j.id
    """,
    "final.error": "SELECT job_id AS id, attempt, kind, left(message, 200) AS message"
    " FROM pgqueue.job_errors ORDER BY 1, 2",
    "final.effect": "SELECT key, attempt, atomic FROM public.effects",
    "final.business": "SELECT key FROM public.business",
    "final.move": """
        SELECT n, job_id AS id, extract(epoch FROM at)::float8 AS at, place, attempt, lost, crashes,
            worker_id AS worker, batch_no AS batch, priority, seq, state
        FROM public.moves ORDER BY n
    """,
    "final.problem": "SELECT problem, job_id AS id, detail FROM pgqueue.check_invariants()",
    "final.worker": "SELECT id, pid FROM pgqueue.workers",
}


def install(connection: Connection) -> None:
    """Make the witnesses, in a database that has the schema of pgqueue."""
    connection.execute(_TABLES)
    for place in _PLACES:
        connection.execute(_TRIGGER.format(place=place, columns=_COLUMNS[place]).encode())


def write(connection: Connection, history: History) -> None:
    """Write all that the tables say into the history."""
    # One snapshot, and one moment: rows of several tables are compared with each other.
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for event, query in _DUMPS.items():
            cursor = connection.execute(query.encode())
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                history.write(event, **dict(zip(names, row, strict=True)))


def resources(connection: Connection) -> dict[str, int]:
    """Count what campaigns must leave as they found it, but for this very connection."""
    queries = {
        "connections": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        "advisory_locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "prepared": "SELECT count(*) FROM pg_prepared_xacts",
        "workers": "SELECT count(*) FROM pgqueue.workers",
    }
    found = {}
    for name, query in queries.items():
        row = connection.execute(query.encode()).fetchone()
        found[name] = int(row[0]) if row else 0
    return found
