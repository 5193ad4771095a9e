"""Statements that do one thing with many jobs: one call, in the order of the ids.

They are the functions for one job, called for each; where one of them refuses, so does the whole.
"""

import json
from collections.abc import Sequence
from typing import Final, LiteralString

from pgqueue.core.states import JobState
from pgqueue.db.statements.base import Param, Rows, Statement, as_int

_EACH: Final = """
 FROM (
    SELECT DISTINCT CAST(e.value AS bigint) AS id
    FROM json_array_elements_text(CAST(CAST(%(ids)s AS text) AS json)) AS e
    ORDER BY 1
) AS i
"""


#: What is said of a job that is not where it would have to be.
LEFT: Final = "left"


def retry(ids: Sequence[int]) -> Statement[dict[int, str]]:
    """Let those that are over run again; gives the state of each, `left` for others."""
    return _each(
        "SELECT i.id, CASE WHEN EXISTS ("
        "SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = i.id)"
        " THEN pgqueue.retry(job_id => i.id) ELSE 'left' END",
        ids,
        {},
    )


def run_now(ids: Sequence[int]) -> Statement[dict[int, str]]:
    """Let those that are scheduled run now; gives the state of each, `left` for others."""
    return _each(
        "SELECT i.id, CASE WHEN EXISTS ("
        "SELECT FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = i.id)"
        " THEN pgqueue.retry(job_id => i.id) ELSE 'left' END",
        ids,
        {},
    )


def cancel(ids: Sequence[int], reason: str | None) -> Statement[dict[int, str]]:
    """Cancel them, or ask their workers to; gives the state of each."""
    return _each(
        "SELECT i.id, pgqueue.cancel(job_id => i.id, reason => CAST(%(reason)s AS text))",
        ids,
        {"reason": reason},
    )


def set_priority(ids: Sequence[int], priority: int) -> Statement[dict[int, str]]:
    """Change their priority; gives the state of each."""
    return _each(
        "SELECT i.id, pgqueue.set_priority(job_id => i.id,"
        " priority => CAST(CAST(%(priority)s AS text) AS integer))",
        ids,
        {"priority": str(priority)},
    )


def set_queue(ids: Sequence[int], queue: str) -> Statement[dict[int, str]]:
    """Let them be run in another queue; gives the state of each."""
    return _each(
        "SELECT i.id, pgqueue.set_queue(job_id => i.id, queue => CAST(%(queue)s AS text))",
        ids,
        {"queue": queue},
    )


def delete(ids: Sequence[int]) -> Statement[dict[int, str]]:
    """Delete them; gives `deleted` for each that was there, else `gone`."""
    return _each(
        "SELECT i.id, CASE WHEN pgqueue.delete_job(job_id => i.id) THEN 'deleted' ELSE 'gone' END",
        ids,
        {},
    )


def _each(
    call: LiteralString, ids: Sequence[int], params: dict[str, Param]
) -> Statement[dict[int, str]]:
    listed = json.dumps([int(one) for one in ids])
    return Statement(text=call + _EACH, params={**params, "ids": listed}, decode=_states)


def _states(rows: Rows) -> dict[int, str]:
    # A row that came in past the trigger has no position until the leader files it.
    return {as_int(row[0]): str(row[1] or JobState.BLOCKED) for row in rows}
