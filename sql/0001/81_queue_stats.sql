-- Purpose: one row a queue: how many jobs wait, how long, is it paused.
-- Read by: the command line, people, monitors. Reads the waiting and running positions and queues:
-- small tables unless there is a backlog.
CREATE VIEW pgqueue.queue_stats AS
SELECT
    n.queue,
    coalesce(sum(n.n) FILTER (WHERE n.state = 'ready'), 0)::bigint AS ready,
    coalesce(sum(n.n) FILTER (WHERE n.state = 'scheduled'), 0)::bigint AS scheduled,
    coalesce(sum(n.n) FILTER (WHERE n.state = 'blocked'), 0)::bigint AS blocked,
    coalesce(sum(n.n) FILTER (WHERE n.state = 'running'), 0)::bigint AS running,
    coalesce(sum(n.n) FILTER (WHERE n.state = 'unknown_task'), 0)::bigint AS unknown_task,
    coalesce(bool_or(q.paused AND (q.resume_at IS NULL OR q.resume_at > clock_timestamp())), false)
        AS paused,
    max(q.resume_at) AS resume_at,
    (
        SELECT extract(epoch FROM clock_timestamp() - j.created_at)::float8
        FROM pgqueue.ready_jobs AS r
        JOIN pgqueue.jobs AS j ON j.id = r.job_id
        WHERE r.queue = n.queue
        ORDER BY r.priority DESC, r.seq
        LIMIT 1
    ) AS first_waits_seconds,
    max(q.retention_succeeded) AS retention_succeeded,
    max(q.retention_other) AS retention_other,
    max(q.max_running) AS max_running,
    max(q.rate_jobs || '/' || q.rate_seconds || 's') AS rate,
    max(q.max_pending) AS max_pending
FROM (
    SELECT r.queue, 'ready' AS state, count(*) AS n FROM pgqueue.ready_jobs AS r GROUP BY r.queue
    UNION ALL
    SELECT s.queue, 'scheduled', count(*) FROM pgqueue.scheduled_jobs AS s GROUP BY s.queue
    UNION ALL
    SELECT s.queue, 'unknown_task', count(*) FROM pgqueue.scheduled_jobs AS s
    WHERE s.reason = 'unknown_task' GROUP BY s.queue
    UNION ALL
    SELECT b.queue, 'blocked', count(*) FROM pgqueue.blocked_jobs AS b GROUP BY b.queue
    UNION ALL
    SELECT u.queue, 'running', count(*) FROM pgqueue.running_jobs AS u GROUP BY u.queue
    UNION ALL
    SELECT q.name, 'ready', 0 FROM pgqueue.queues AS q
) AS n
LEFT JOIN pgqueue.queues AS q ON q.name = n.queue
GROUP BY n.queue;

COMMENT ON VIEW pgqueue.queue_stats IS
'One row for each queue that has waiting or running jobs, or settings: counts by state, how many of
the scheduled ones wait because no worker knew their task, whether it is paused, and how many
seconds the job that is next has waited.';
