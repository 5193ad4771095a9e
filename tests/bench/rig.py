"""A private server with durable settings, a real worker on it, and a way to read what they did."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer

#: Durable: fsync and synchronous_commit stay on. The rest keeps checkpoints out of short runs.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
}

Connection = psycopg.Connection[tuple[object, ...]]


@contextlib.contextmanager
def server(**settings: str) -> Iterator[EmbeddedServer]:
    """Start a server with the schema in its database `postgres`, and more settings if any."""
    with EmbeddedServer.start(settings={**SETTINGS, **settings}) as found:
        with psycopg.connect(found.dsn(), autocommit=True) as connection:
            schema.upgrade(connection)
        yield found


@contextlib.contextmanager
def worker(found: EmbeddedServer, *words: str) -> Iterator[Path]:
    """Run a real worker; gives the file it logs to."""
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "worker", "--app", "tests.bench.tasks", *words],
            env={**os.environ, "PGQUEUE_DSN": found.dsn()},
            stderr=log,
        )
        try:
            with psycopg.connect(found.dsn(), autocommit=True) as connection:
                deadline = time.monotonic() + 20
                while not value(connection, "SELECT count(*) FROM pgqueue.workers"):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"the worker did not start:\n{Path(log.name).read_text()}")
                    time.sleep(0.02)
            yield Path(log.name)
        finally:
            process.terminate()
            process.wait(40)


def value(connection: Connection, query: str, *parameters: object) -> object:
    """Give the one value of a query."""
    row = connection.execute(query.encode(), parameters).fetchone()
    return row[0] if row else None


def number(connection: Connection, query: str, *parameters: object) -> float:
    """Give the one number of a query."""
    found = value(connection, query, *parameters)
    return float(str(found or 0))


def clean(connection: Connection) -> None:
    """Empty the queue, and leave its tables as a running system's autovacuum does."""
    connection.execute("TRUNCATE pgqueue.jobs")
    connection.execute("VACUUM pgqueue.workers")
    connection.execute("CHECKPOINT")


def enqueue(connection: Connection, jobs: int, task: str = "bench.noop") -> float:
    """Insert jobs in one statement; gives the seconds it took."""
    begun = time.perf_counter()
    connection.execute(
        "INSERT INTO pgqueue.jobs (task, queue) SELECT %s, 'bench' FROM generate_series(1, %s)",
        (task, jobs),
    )
    return time.perf_counter() - begun


def wal(connection: Connection) -> int:
    """Give the position of the write-ahead log in bytes."""
    return int(number(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'"))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median(values: Sequence[float]) -> float:
    """Give the middle one."""
    return statistics.median(values)
