"""Calls of the worker functions, as short as tests want them."""

import contextlib
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from tests.sql.sleeper import Connection

#: A time to tell functions that ask for one, far from all that is stored by the clock.
AT = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)


def one(c: Connection, query: str, *parameters: Any) -> Any:
    """The one row that a query gives, or its one column."""
    rows = c.execute(query, parameters).fetchall()
    assert len(rows) == 1, rows
    return rows[0] if len(rows[0]) > 1 else rows[0][0]


def column(c: Connection, query: str, *parameters: Any) -> list[Any]:
    """The first column of what a query gives."""
    return [row[0] for row in c.execute(query, parameters)]


def work(
    c: Connection,
    worker: int,
    batch_no: int = 1,
    queues: tuple[str, ...] = ("*",),
    max_jobs: int = 100,
    answers: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Any:
    """Call pgqueue.work; gives its row by name, the payload as a list of lines read."""
    named = {
        "worker_id": worker,
        "batch_no": batch_no,
        "queues": list(queues),
        "max_jobs": max_jobs,
        "outcomes": None if answers is None else json.dumps(answers),
        **more,
    }
    call = ", ".join(f"{name} => %({name})s" for name in named)
    row = c.cursor(row_factory=namedtuple_row).execute(
        f"SELECT * FROM pgqueue.work({call})", named
    ).fetchone()  # fmt: skip
    assert row is not None
    lines = (row.payload or "").splitlines()
    return row._replace(payload=[json.loads(line) for line in lines])


def tell(
    c: Connection, worker: int, job_id: int, state: str, batch_no: int = 1, **more: Any
) -> tuple[list[int] | None, list[int] | None]:
    """Tell one outcome; gives what was refused and what must be told again."""
    at = {"at": more.pop("at")} if "at" in more else {}
    rest = [{"id": job_id, "state": state, "us": 1_000_000, **more}]
    row = work(c, worker, 99, max_jobs=0, answers=[{"batch": batch_no, "rest": rest}], **at)
    return row.refused, row.again


def ok(c: Connection, worker: int, *job_ids: int, batch_no: int = 1, **more: Any) -> Any:
    """Tell that these jobs succeeded with no result."""
    ids = ",".join(map(str, job_ids))
    times = ",".join(["1000000"] * len(job_ids))
    answer = {"batch": batch_no, "ok": f"{{{ids}}}", "us": f"{{{times}}}"}
    return work(c, worker, 99, max_jobs=0, answers=[answer], **more)


@contextlib.contextmanager
def refused(sqlstate: str, message: str, hint: str | None = None) -> Iterator[None]:
    """Expect an error of ours."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert caught.value.sqlstate == sqlstate
    assert caught.value.diag.message_primary == message
    assert caught.value.diag.message_hint == hint
