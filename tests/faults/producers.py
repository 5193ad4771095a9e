"""Processes that write jobs, with a business row beside each, in transactions of many shapes.

    python -m tests.faults.producers '{"number": 1, "seed": 7, ...}'

It is allowed so many jobs: a number on a line of standard input is how many it may have written in
all; the end of its input lets it write the rest and end. Before a transaction begins it says so,
and after it is over how it ended: committed, rolled back, or unknown. The shapes:

| shape | the transaction |
| --- | --- |
| `one` `many` | commits one job, or up to twenty |
| `rollback` | is rolled back |
| `savepoint` | rolls back to a savepoint between jobs, and commits the rest |
| `prepared` `unprepared` | is prepared and then committed, or rolled back (two-phase commit) |
| `serializable` | reads and writes a row that others do, and is tried again after 40001 |
| `function` | calls `pgqueue.enqueue` instead of INSERT |
"""

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.history import History
from tests.faults.tasks import MOST, MOST_OTHERS, PREFIX, TASK_OF
from tests.fixtures import warm
from tests.helpers import ROOT

SHAPES: Mapping[str, int] = {"one": 50, "many": 10, "rollback": 7, "savepoint": 5, "function": 5}

_INSERT = (
    "INSERT INTO pgqueue.jobs (task, args, run_at, queue)"
    " VALUES (%s, %s, clock_timestamp() + %s * interval '1 s', %s) RETURNING id"
)
_ENQUEUE = (
    "SELECT pgqueue.enqueue(task => %s, args => %s,"
    " run_at => clock_timestamp() + %s * interval '1 s', queue => %s)"
)


class Producer:
    """The campaign's handle of a producer process."""

    def __init__(
        self,
        *,
        number: int,
        seed: str,
        dsn: str,
        history: Path,
        jobs: int,
        mix: Mapping[str, int],
        shapes: Mapping[str, int] | None,
        log_path: Path,
    ) -> None:
        self.jobs = jobs
        told = {
            "number": number, "seed": seed, "history": os.fspath(history), "jobs": jobs,
            "mix": dict(mix), "shapes": dict(shapes or SHAPES),
        }  # fmt: skip
        reading, writing = os.pipe()
        self._orders = os.fdopen(writing, "wb", buffering=0)
        with log_path.open("ab") as log, os.fdopen(reading, "rb") as orders:
            self.process = warm.start(
                [json.dumps(told)],
                env={**os.environ, "PGQUEUE_FAULTS_PRODUCER": dsn, "PYTHONPATH": os.fspath(ROOT)},
                log=log,
                module="tests.faults.producers",
                stdin=orders.fileno(),
            )

    def grant(self, jobs: int) -> None:
        """Allow it to have written so many jobs in all."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._orders.write(b"%d\n" % jobs)

    def finish(self, timeout: float = 120) -> int:
        """Let it write the rest; give its exit code."""
        self.grant(self.jobs)
        self._orders.close()
        return self.process.wait(timeout)

    def kill(self) -> None:
        """Send SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait()
        self._orders.close()


class _Writing:
    """What the producer process does."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._random = random.Random(f"{told['seed']} {told['number']}")
        self._history = History(told["history"], "producer")
        self._dsn = os.environ["PGQUEUE_FAULTS_PRODUCER"]
        self._connection: psycopg.Connection[Any] | None = None
        self._allowed = 0
        self._more = threading.Condition()
        self._written = 0
        self._transactions = 0

    def main(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while self._written < self._told["jobs"]:
            with self._more:
                self._more.wait_for(lambda: self._allowed > self._written)
            self._transaction()

    def _listen(self) -> None:
        for line in sys.stdin:
            with self._more:
                self._allowed = max(self._allowed, int(line))
                self._more.notify()
        with self._more:
            self._allowed = int(self._told["jobs"])
            self._more.notify()

    def _open(self) -> psycopg.Connection[Any]:
        while self._connection is None or self._connection.closed:
            try:
                self._connection = psycopg.connect(
                    self._dsn, autocommit=False, connect_timeout=5, prepare_threshold=None
                )
            except psycopg.OperationalError:
                time.sleep(0.05 + 0.1 * self._random.random())
        return self._connection

    def _transaction(self) -> None:
        shapes = self._told["shapes"]
        (shape,) = self._random.choices(list(shapes), list(shapes.values()))
        many = {"many": 20, "savepoint": 6, "prepared": 3, "unprepared": 3}.get(shape, 1)
        keys = [self._key() for _ in range(self._random.randint(1, many))]
        self._transactions += 1
        tx = f"{self._told['number']}-{os.getpid()}-{self._transactions}"
        self._history.write("enq.invoke", keys=keys, tx=tx)
        self._written += len(keys)
        connection = self._open()
        ids: list[int] = []
        committing = False
        try:
            gone = self._fill(connection, shape, keys, ids)
            if shape in ("prepared", "unprepared"):
                connection.execute(f"PREPARE TRANSACTION '{tx}'")
                committing = True
                connection.commit()
                connection.autocommit = True
                how = "COMMIT" if shape == "prepared" else "ROLLBACK"
                connection.execute(f"{how} PREPARED '{tx}'")
                connection.autocommit = False
            elif shape == "rollback":
                connection.rollback()
            else:
                committing = True
                connection.commit()
        except psycopg.Error as error:
            if committing and (error.sqlstate or "57")[:2] in ("57", "08", "58", "53"):
                self._history.write("enq.unknown", keys=keys, tx=tx)
            else:
                self._history.write("enq.abort", keys=keys, tx=tx)
            self._recover(connection, error)
            return
        if gone:
            self._history.write("enq.abort", keys=gone, tx=tx)
        if shape in ("rollback", "unprepared"):
            self._history.write("enq.abort", keys=keys, tx=tx)
        else:
            stayed = [key for key in keys if key not in gone]
            self._history.write("enq.ok", keys=stayed, tx=tx, ids=ids)

    def _recover(self, connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
        if not connection.closed:
            try:
                connection.rollback()
                connection.autocommit = False
            except psycopg.Error:
                connection.close()
        expected = isinstance(error, psycopg.OperationalError | psycopg.errors.AdminShutdown)
        if not expected and error.sqlstate not in ("40001", "40P01", None):
            self._history.write("surprise", what=f"producer: {error.sqlstate} {error}")
        time.sleep(0.02)

    def _fill(
        self, connection: psycopg.Connection[Any], shape: str, keys: list[str], ids: list[int]
    ) -> list[str]:
        """Write business rows and jobs; give the keys of what was rolled back to a savepoint."""
        if shape == "serializable":
            connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            connection.execute("SELECT sum(balance) FROM public.accounts")
            connection.execute(
                "UPDATE public.accounts SET balance = balance + 1 WHERE id = %s",
                (self._random.randrange(4),),
            )
        if shape in ("prepared", "unprepared"):
            connection.execute("SET LOCAL pgqueue.notify = off")
        if shape != "savepoint":
            for key in keys:
                ids.append(self._insert(connection, key, shape))
            return []
        gone = []
        for key in keys:
            connection.execute("SAVEPOINT here")
            found = self._insert(connection, key, shape)
            if self._random.random() < 0.5:
                connection.execute("ROLLBACK TO SAVEPOINT here")
                gone.append(key)
            else:
                connection.execute("RELEASE SAVEPOINT here")
                ids.append(found)
        return gone

    def _insert(self, connection: psycopg.Connection[Any], key: str, shape: str) -> int:
        kind = key.split(":")[0]
        seconds = round(self._random.uniform(0, MOST.get(kind, MOST_OTHERS)), 4)
        later = self._random.uniform(0.1, 1.5) if kind == "later" else -1.0
        queue = self._random.choice(("default", "default", "mail", "slow"))
        if self._random.random() < 0.2:
            # Transactions are open for a while, so that some are when their writer dies.
            time.sleep(self._random.uniform(0, 0.005))
        statements = [
            ("INSERT INTO public.business (key) VALUES (%s)", (key,)),
            (
                _ENQUEUE if shape == "function" else _INSERT,
                (PREFIX + TASK_OF[kind], json.dumps([key, seconds]), later, queue),
            ),
        ]
        if self._random.random() < 0.5:
            statements.reverse()
        found = 0
        for text, values in statements:
            cursor = connection.execute(text.encode(), values)
            if cursor.description:
                (found,) = cursor.fetchone() or (0,)
        return int(found)

    def _key(self) -> str:
        mix = self._told["mix"]
        (kind,) = self._random.choices(list(mix), list(mix.values()))
        return f"{kind}:{self._told['number']}:{self._random.getrandbits(48):012x}"


if __name__ == "__main__":
    _Writing(json.loads(sys.argv[1])).main()
