"""Workers whose schedules go by a clock that a test moves: `python -m tests.faults.moved worker …`.

All else is the real thing: what a leader asks about schedules is sent with the time of the table
`moved.clock` for that of the server. The clock of the host may be wrong besides.
"""

import select
import sys
from collections.abc import Sequence
from typing import Any

import psycopg

from pgqueue import Context, task
from pgqueue.db.session import Row, Session

_CLOCK = """
CREATE SCHEMA moved;
CREATE TABLE moved.clock (at timestamptz NOT NULL);
CREATE FUNCTION moved.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM moved.clock';
"""
#: What a leader sends, and what is sent in its place.
_EXCHANGED = (
    ("pgqueue.schedules_due_in()", "pgqueue.schedules_due_in(moved.now())"),
    ("coalesce($2::timestamptz, clock_timestamp())", "coalesce($2::timestamptz, moved.now())"),
)


@task(name="tick", context=True)
def tick(context: Context) -> str:
    """What the schedules make jobs of."""
    # Not time.sleep(): beneath libfaketime that is an error with some versions of Python.
    select.select([], [], [], 0.01)
    return str(context.planned_at)


def install(connection: "psycopg.Connection[Any]", at: object) -> None:
    """Put the clock into a database."""
    connection.execute(_CLOCK)
    connection.execute("INSERT INTO moved.clock VALUES (%s)", (at,))


def exchange() -> None:
    """Let the sessions of this process ask that clock."""
    honest = Session.call

    async def call(
        self: Session, text: Any, params: Sequence[bytes | None] = (), *, prepare: bool = False
    ) -> list[Row]:
        for old, new in _EXCHANGED:
            text = text.replace(old, new)
        return await honest(self, text, params, prepare=prepare)

    Session.call = call  # type: ignore[method-assign]


if __name__ == "__main__":
    exchange()

    from pgqueue.__main__ import main

    sys.exit(main())
