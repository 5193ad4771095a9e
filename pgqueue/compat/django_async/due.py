"""Which job a pass over the queue runs next, in the order of django-async."""

from collections.abc import Iterator
from typing import Any

from django.db import connections

from pgqueue.django import conf

_DUE = """
SELECT d.job_id, d.priority
FROM pgqueue.async_due(%s, %s, %s, %s, %s, %s) AS d
"""
#: Above every priority.
_TOP = 32_768


class Pass:
    """The ids of jobs, chosen as they are asked for.

    From the highest priority down, and never up again: those that were scheduled first, by time,
    then the others, by id. A priority is looked at again until nothing in it was run, as jobs may
    have been added, or let go.

    Args:
        which, outof: only jobs whose id leaves the remainder `which` when divided by `outof`.
        limit: how many are run at most.
        prefix: of their names.
    """

    def __init__(self, which: int, outof: int, limit: int, prefix: str) -> None:
        self._which = which % outof
        self._outof = outof
        self._limit = limit
        self._prefix = prefix
        self._at: Any = None
        self._runs = 0

    def note(self) -> None:
        """Take note that a job was run."""
        self._runs += 1

    def __iter__(self) -> Iterator[int]:
        below = _TOP
        while rows := self._look(below):
            before, priority = self._runs, rows[0][1]
            for job_id, _priority in rows:
                yield job_id
            below = priority + 1 if self._runs > before else priority

    def _look(self, below: int) -> list[tuple[int, int]]:
        with connections[conf.database()].cursor() as cursor:
            if self._at is None:
                cursor.execute("SELECT clock_timestamp()")
                (self._at,) = cursor.fetchone()
            words = (self._prefix, self._which, self._outof, below, self._limit, self._at)
            cursor.execute(_DUE, words)
            return list(cursor.fetchall())
