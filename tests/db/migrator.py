"""Upgrade a database again and again, killed some steps later each time: for `test_schema_killed`.

python -m tests.db.migrator DSN [STRIDE]

It kills at the first step and at each STRIDE later, at every step unless told otherwise. It forks,
since starting a process for each step would take half a minute; so it imports everything first and
never holds a connection while it forks.
"""

import os
import sys

import psycopg

from pgqueue.core import failpoints
from pgqueue.db import connections, schema


def killed(dsn: str, step: int) -> int:
    """Upgrade in a process that is killed after a step; give how it ended."""
    pid = os.fork()
    if pid == 0:
        failpoints._actions = failpoints.parse(f"migrate_step=kill9@{step}")
        failpoints.on = True
        try:
            with connections.connect(dsn) as connection:
                schema.upgrade(connection)
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def main(dsn: str, stride: int = 1) -> None:
    """Print a line for each kill: the step, how it ended, and what was left of the schema."""
    step = 1
    while True:
        status = killed(dsn, step)
        with psycopg.connect(dsn, autocommit=True) as connection:
            left = connection.execute(
                "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgqueue'"
            ).fetchone()
        assert left is not None
        print(step, status, left[0])
        if status == 0:
            return
        step += stride


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
