"""Waiting for what comes out of tasks: woken by the ends of their jobs, not by looking again.

A task that nobody has enqueued yet, as by its name, has no job to be woken by: then it is looked
for now and then.
"""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import connections

from pgqueue.api import waiting
from pgqueue.api.default import default_app
from pgqueue.compat.django_q.iterations import name_of
from pgqueue.compat.django_q.packages import key_of
from pgqueue.core.errors import PgQueueError, ResultTimeoutError
from pgqueue.django import conf

T = TypeVar("T")

#: Seconds between looks where nobody will wake us: the first, by what they grow, the last.
_FIRST, _GROWTH, _LAST = 0.01, 1.5, 0.25
#: Seconds after which it is asked again whose end to wait for.
_STRETCH: Final = 10.0
#: Jobs whose end is waited for at once; when one ends, the next are found.
_MOST: Final = 50

#: The jobs of a task by its id or name, and what stands for them until there are any; over or not.
_TASK: Final = """
    SELECT
        j.id, (SELECT f.job_id FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id) IS NULL, {own}
    FROM pgqueue.jobs AS j
    WHERE j.meta ? 'pgqueue_keys' AND j.meta -> 'pgqueue_keys' ?| ARRAY[%s, %s]
    UNION ALL
    SELECT -g.id, g.ended_at IS NULL, {own}
    FROM pgqueue.groups AS g
    WHERE g.name = %s
    LIMIT 1000
"""
_GROUP: Final = """
    SELECT j.id, true, {own}
    FROM pgqueue.jobs AS j
    WHERE j.meta ? 'pgqueue_keys' AND j.meta -> 'pgqueue_keys' ? %s
        AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
    LIMIT 50
"""
#: Whether a row that can be seen was written by a transaction that is not over: it is our own. What
#: is not below the snapshot's end is so in any case; the number is made whole by that.
_OWN: Final = "n.ahead >= 0 OR pg_xact_status(n.xid) = 'in progress'"
_NUMBER: Final = """
    CROSS JOIN LATERAL (
        SELECT p.top,
            (({row}.xmin::text::bigint - p.top + 2147483648) & 4294967295) - 2147483648 AS ahead
        FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS top) AS p
    ) AS m
    CROSS JOIN LATERAL (
        SELECT m.ahead, greatest(m.top + least(m.ahead, -1), 3)::text::xid8 AS xid
    ) AS n
"""


class WaitInTransactionError(PgQueueError):
    """Say that what is waited for cannot begin before the caller's own transaction has ended."""

    __module__ = "pgqueue.compat"


class _Changed:
    """Stands for: ask again whose end to wait for."""


def for_task(look: Callable[[], T | None], task_id: str, wait: int) -> T | None:
    """Wait for what comes out of a task.

    Args:
        look: gives it; None while it is not there.
        task_id: its id, or its name.
        wait: milliseconds; negative for ever.

    Returns:
        What was found; None where the time is over, or the task and nothing was kept of it.

    Raises:
        WaitInTransactionError: it was enqueued in the transaction that is under way.
    """
    found = look()
    if found is not None or wait == 0:
        return found
    words = [key_of("id", task_id), key_of("name", task_id), name_of(task_id)]
    return _wait(look, _TASK, words, wait, f"task {task_id}", ends=True)


def for_group(look: Callable[[], T | None], group_id: str, wait: int) -> T | None:
    """Wait for what comes out of a group; see `for_task`."""
    found = look()
    if found is not None or wait == 0:
        return found
    return _wait(look, _GROUP, [key_of("group", group_id)], wait, f"group {group_id}", ends=False)


def _wait(
    look: Callable[[], T | None],
    query: str,
    words: list[str],
    wait: int,
    what: str,
    *,
    ends: bool,
) -> T | None:
    until = float("inf") if wait < 0 else time.monotonic() + wait / 1000
    clients = default_app().clients
    pause = _FIRST
    while True:
        jobs = _find(query, words)
        if any(own for _, _, own in jobs):
            _refuse(wait, what)
            return look()
        found = look()
        if found is not None:
            return found
        living = [job_id for job_id, lives, _ in jobs if lives][:_MOST]
        if ends and jobs and not living:
            # All is over. What was kept of it, was so before.
            return look()
        left = until - time.monotonic()
        if left <= 0:
            return None
        if not living or connections[conf.database()].in_atomic_block:
            # In a transaction nobody can hear that we wait.
            time.sleep(min(pause, left))
            pause = min(pause * _GROWTH, _LAST)
            continue
        seen = set(living)

        def glance() -> Any:
            found = look()
            if found is not None:
                return found
            now = {job_id for job_id, lives, _ in _find(query, words) if lives}
            return None if seen <= now else _Changed  # noqa: B023

        try:
            got = waiting.wait(clients, living, glance, min(left, _STRETCH), what)
        except ResultTimeoutError:
            continue
        if got is not _Changed:
            result: T = got
            return result


def _find(query: str, words: list[str]) -> list[tuple[int, bool, bool]]:
    """Give jobs, each with whether it lives and whether it is of this very transaction."""
    connection = connections[conf.database()]
    text = query.format(own="false")
    if connection.in_atomic_block:
        text = query.format(own=_OWN)
        for table in ("FROM pgqueue.jobs AS j", "FROM pgqueue.groups AS g"):
            text = text.replace(table, table + _NUMBER.format(row=table[-1]))
    with connection.cursor() as cursor:
        cursor.execute(text, words)
        return [(int(row[0]), bool(row[1]), bool(row[2])) for row in cursor.fetchall()]


def _refuse(wait: int, what: str) -> None:
    """Raise, but in the transaction of a TestCase, which may ask for what it has just enqueued."""
    blocks = getattr(connections[conf.database()], "atomic_blocks", [])
    if wait > 0 and blocks and all(getattr(block, "_from_testcase", False) for block in blocks):
        return
    raise WaitInTransactionError(
        f"{what} was enqueued in the transaction that is under way, so no worker can run it before "
        "that has committed; wait after the end of the block of transaction.atomic()"
    )
