"""The statement behind charts: what became of jobs lately, who waits, who works; one answer."""

import json
from typing import Final

from pgqueue.db.statements.base import Rows, Statement

_CHARTS: Final = """
SELECT CAST(json_build_object(
    'at', extract(epoch FROM clock_timestamp()),
    'bins', (
        SELECT json_agg(json_build_object(
            'at', extract(epoch FROM h.begins),
            'seconds', h.seconds,
            'succeeded', h.succeeded,
            'failed', h.failed,
            'cancelled', h.cancelled,
            'expired', h.expired,
            'run_p50', h.run_p50,
            'run_p95', h.run_p95,
            'wait_p50', h.wait_p50,
            'wait_p95', h.wait_p95
        ) ORDER BY h.begins)
        FROM pgqueue.history(
            since => make_interval(secs => CAST(CAST(%(since)s AS text) AS double precision)),
            bins => CAST(CAST(%(bins)s AS text) AS integer)) AS h),
    'queues', (
        SELECT coalesce(json_agg(json_build_object(
            'queue', q.queue,
            'ready', q.ready,
            'scheduled', q.scheduled,
            'blocked', q.blocked,
            'running', q.running,
            'unknown_task', q.unknown_task,
            'paused', q.paused,
            'waits', q.first_waits_seconds
        ) ORDER BY q.ready DESC, q.running DESC, q.queue), '[]')
        FROM pgqueue.queue_stats AS q),
    'workers', (
        SELECT json_build_object(
            'alive', count(*) FILTER (WHERE NOT w.lost),
            'lost', count(*) FILTER (WHERE w.lost),
            'slots', coalesce(sum(w.processes * w.threads) FILTER (WHERE NOT w.lost), 0),
            'running', coalesce(sum(w.running), 0),
            'led', coalesce(bool_or(w.is_leader AND NOT w.lost), false))
        FROM pgqueue.worker_overview AS w)
) AS text)
"""


def charts(since: float, bins: int = 60) -> Statement[dict[str, object]]:
    """Read what charts show.

    Args:
        since: how many seconds to look back.
        bins: into how many parts that is cut.

    Returns:
        `at`, now in seconds since 1970; `bins`, the rows of `pgqueue.history`; `queues`, those of
        `pgqueue.queue_stats`, the longest first; and `workers`: alive, lost, slots, running, and
        whether they are led.
    """
    return Statement(
        text=_CHARTS, params={"since": repr(float(since)), "bins": str(bins)}, decode=_charts
    )


def _charts(rows: Rows) -> dict[str, object]:
    found = json.loads(str(rows[0][0]))
    return dict(found)
