"""What both collections need: a worker for a while, a server of one's own, a row for each item."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from pgqueue.db import schema
from tests.acceptance.support import descendants, is_running
from tests.fixtures.databases import Database, create_database, start_server
from tests.fixtures.workers import RunningWorker, launch
from tests.helpers import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row of a report.

    Attributes:
        name: the kind of task, or the item of data.
        expected: in words.
        came: in words.
    """

    name: str
    expected: str
    came: str
    ok: bool

    def row(self) -> dict[str, Any]:
        return asdict(self)


@contextlib.contextmanager
def private_database() -> Iterator[Database]:
    """Have a database with the schema in it, on a server of its own."""
    with start_server(os.environ.get("PGQUEUE_TEST_POSTGRES") or None) as server:
        database = create_database(server)
        try:
            with psycopg.connect(database.dsn, autocommit=True) as connection:
                schema.upgrade(connection)
            yield database
        finally:
            database.close()


@contextlib.contextmanager
def working(dsn: str, app: str, *options: str) -> Iterator[RunningWorker]:
    """Have a worker; its whole family is dead afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        worker = launch(dsn, Path(folder) / "worker.log", *options, app=app)
        try:
            eventually(lambda: " ready: pid " in worker.log() or worker.process.poll(), 60)
            yield worker
        except BaseException as error:
            error.add_note(f"log of the worker:\n{worker.log()[-20_000:]}")
            raise
        finally:
            family = descendants(worker.pid)
            worker.kill()
            for pid in filter(is_running, family):
                # What a task has forked may have left the family's ways of ending.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
