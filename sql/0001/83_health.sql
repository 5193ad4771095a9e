-- Purpose: is everything well? One JSON value for scripts and probes.
-- Called by: the command line, people, load balancers. Reads workers and the views; locks nothing.
CREATE FUNCTION pgqueue.health(at timestamptz DEFAULT clock_timestamp()) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    WITH w AS (
        SELECT
            count(*) FILTER (WHERE heartbeat_at >= at - lease) AS alive,
            count(*) FILTER (WHERE heartbeat_at < at - lease) AS lost,
            coalesce(bool_or(is_leader AND heartbeat_at >= at - lease), false) AS led
        FROM pgqueue.workers
    ),
    q AS (
        SELECT
            coalesce(sum(ready), 0) AS ready,
            coalesce(sum(scheduled), 0) AS scheduled,
            coalesce(sum(blocked), 0) AS blocked,
            coalesce(sum(running), 0) AS running,
            coalesce(sum(unknown_task), 0) AS unknown_task,
            count(*) FILTER (WHERE paused) AS paused_queues,
            max(first_waits_seconds) FILTER (WHERE NOT paused) AS first_waits_seconds
        FROM pgqueue.queue_stats
    )
    SELECT jsonb_build_object(
        'status', CASE
            WHEN w.alive = 0 AND q.ready + q.running > 0 THEN 'no worker'
            WHEN w.lost > 0 THEN 'worker lost'
            WHEN q.unknown_task > 0 THEN 'unknown task'
            ELSE 'ok'
        END,
        'workers', w.alive,
        'workers_lost', w.lost,
        'leader', w.led,
        'ready', q.ready,
        'scheduled', q.scheduled,
        'blocked', q.blocked,
        'running', q.running,
        'unknown_task', q.unknown_task,
        'paused_queues', q.paused_queues,
        'first_waits_seconds', q.first_waits_seconds,
        'notification_queue', pg_notification_queue_usage()
    )
    FROM w CROSS JOIN q
$$;

COMMENT ON FUNCTION pgqueue.health(timestamptz) IS
'Tell in one JSON object whether everything is well.

Args: at: the time it is.
Returns: status (ok, no worker, worker lost, unknown task) and the counts behind it.';
