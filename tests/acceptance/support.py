"""What the acceptance tests share: jobs of a database, gates for tasks, what workers say."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.acceptance.tasks import GATE
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker
from tests.helpers import PATIENCE, eventually

PREFIX = "tests.acceptance.tasks."

Row = dict[str, Any]

_LOOK = """
SELECT id, state, task, queue, priority, attempt, lost, crashes, run_at, created_at, started_at,
    finished_at, worker_id, result, error, reason
FROM pgqueue.job_overview
WHERE id = %s
"""


class Jobs:
    """Jobs of the test's database, over a connection that comes back after a restart."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection: psycopg.Connection[Row] | None = None

    @property
    def connection(self) -> psycopg.Connection[Row]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def query(self, statement: str, *parameters: object) -> list[Row]:
        """Execute a statement; give its rows."""
        cursor = self.connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *parameters: object) -> Any:
        """Give the one value of a query."""
        return next(iter(self.query(statement, *parameters)[0].values()))

    def add(self, task: str, *args: object, **columns: object) -> int:
        """Insert a job of one of our tasks, as raw SQL does; give its id."""
        return self.add_many(1, task, *args, **columns)[0]

    def add_many(self, count: int, task: str, *args: object, **columns: object) -> list[int]:
        """Insert equal jobs in one statement; give their ids."""
        values: Row = {
            "task": task if "." in task else PREFIX + task,
            "args": json.dumps(args),
            **{
                name: json.dumps(value) if name in ("kwargs", "meta") else value
                for name, value in columns.items()
            },
        }
        names = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        rows = self.query(
            f"INSERT INTO pgqueue.jobs ({names}) SELECT {places} FROM generate_series(1, %s)"
            " RETURNING id",
            *values.values(),
            count,
        )
        return [row["id"] for row in rows]

    def look(self, job: int) -> Row:
        """Give the row of the overview, but for the arguments, which may be unreadable."""
        return self.query(_LOOK, job)[0]

    def state(self, job: int) -> str:
        return str(self.look(job)["state"])

    def states(self, ids: list[int] | None = None) -> dict[str, int]:
        """Count jobs by state."""
        return {
            row["state"]: row["n"]
            for row in self.query(
                "SELECT state, count(*) AS n FROM pgqueue.job_overview"
                " WHERE id = ANY (%s) OR %s GROUP BY state",
                ids or [],
                ids is None,
            )
        }

    def wait(self, job: int, state: str = "succeeded", timeout: float = PATIENCE) -> Row:
        """Wait until a job is in a state; give its row."""

        def reached() -> Row:
            found = self.look(job)
            assert found["state"] == state, found
            return found

        return eventually(reached, timeout)

    def wait_all(self, ids: list[int], state: str = "succeeded", timeout: float = PATIENCE) -> None:
        """Wait until all of these are in a state."""

        def reached() -> None:
            assert self.states(ids) == {state: len(ids)}

        eventually(reached, timeout)

    def errors(self, job: int) -> list[Row]:
        """Give the failed attempts of a job."""
        return self.query(
            "SELECT * FROM pgqueue.job_errors WHERE job_id = %s ORDER BY attempt", job
        )

    def make_notes(self) -> None:
        """Make the table that `note` writes into."""
        self.query("CREATE TABLE notes (n bigint GENERATED ALWAYS AS IDENTITY, text text)")

    def notes(self) -> list[str]:
        return [row["text"] for row in self.query("SELECT text FROM notes ORDER BY n")]

    def problems(self) -> list[Row]:
        return self.query("SELECT * FROM pgqueue.check_invariants()")

    def at_gate(self, number: int) -> int:
        """Count the tasks that wait for a gate."""
        return int(
            self.value(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
                " AND objid = %s AND NOT granted",
                GATE,
                number,
            )
        )

    def wait_at_gate(self, number: int, count: int = 1) -> None:
        """Wait until so many tasks wait for a gate."""
        eventually(lambda: self.at_gate(number) == count)


class Gate:
    """A lock that tasks wait for."""

    def __init__(self, connection: psycopg.Connection[Any], number: int) -> None:
        self._connection = connection
        self._number = number

    def open(self) -> None:
        """Let the tasks through."""
        self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (GATE, self._number))


@contextlib.contextmanager
def closed_gate(db: Database, number: int) -> Iterator[Gate]:
    """Hold a gate closed; it opens at the end, if not before."""
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (GATE, number))
        yield Gate(connection, number)


def presume_lost(jobs: Jobs, worker: RunningWorker) -> None:
    """Let whoever rescues have the jobs of a worker that was killed, or frozen, as if its lease had
    long been over.

    So that no test needs a lease as short as the moments for which a busy machine puts off a
    worker that is well. Its last sign of life may arrive after this; then its lease counts.
    """
    jobs.query(
        "UPDATE pgqueue.workers SET heartbeat_at = heartbeat_at - interval '1 day' WHERE pid = %s",
        worker.pid,
    )


def asleep(jobs: Jobs) -> int:
    """Count the locks that tell writers to ring for workers, but for the leader's."""
    return int(
        jobs.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 70677101"
            " AND objid <> 65 AND mode = 'ShareLock' AND granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )


def figures(worker: RunningWorker) -> dict[str, int]:
    """Give the counts that a worker logs at its end."""
    found = re.search(r"worker \d+ stopped: (.*)", worker.log())
    assert found, worker.log()
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", found[1])}


def stop(worker: RunningWorker) -> dict[str, int]:
    """Stop a worker gracefully; give its figures."""
    assert worker.stop() == 0, worker.log()
    return figures(worker)


def descendants(pid: int) -> list[int]:
    """Give the processes below a process, nearest first."""
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop(0)
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                below = [int(number) for number in task.read_text().split()]
                found += below
                parents += below
    return found


def children(worker: RunningWorker) -> list[int]:
    """Give the processes that run jobs: those below the zygote."""
    below = descendants(worker.pid)
    return descendants(below[0]) if below else []


def is_running(pid: int) -> bool:
    """Whether a process is alive, and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
