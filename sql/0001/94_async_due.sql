-- Purpose: which jobs of django-async one pass over its queue would run next.
-- Called by: flush_queue, once for each priority and again after each round. Reads ready_jobs,
-- scheduled_jobs and jobs. Why not the view: it reads all jobs that ever were.
CREATE FUNCTION pgqueue.async_due(
    prefix text DEFAULT '',
    which integer DEFAULT 0,
    outof integer DEFAULT 1,
    below integer DEFAULT 32768,
    max_jobs integer DEFAULT 300,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS TABLE (job_id bigint, priority integer, scheduled timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT k.job_id, k.priority, k.attempt, j.run_at
        FROM (
            SELECT r.job_id, r.priority, r.attempt
            FROM pgqueue.ready_jobs AS r
            WHERE r.queue = 'async' AND r.priority < async_due.below
            UNION ALL
            SELECT s.job_id, s.priority, s.attempt
            FROM pgqueue.scheduled_jobs AS s
            WHERE s.queue = 'async' AND s.priority < async_due.below AND s.run_at <= async_due.at
        ) AS k
        CROSS JOIN LATERAL (
            SELECT j.run_at
            FROM pgqueue.jobs AS j
            WHERE j.id = k.job_id
                AND j.meta ? 'async'
                AND starts_with(j.task, 'async:' || async_due.prefix)
            OFFSET 0
        ) AS j
        WHERE k.job_id % async_due.outof = async_due.which % async_due.outof
    )
    SELECT d.job_id, d.priority::integer, a.scheduled
    FROM due AS d
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.attempt = 0 THEN d.run_at ELSE (
            SELECT a.scheduled FROM pgqueue.async_jobs AS a WHERE a.id = d.job_id
        ) END AS scheduled
    ) AS a
    WHERE d.priority = (SELECT max(m.priority) FROM due AS m)
        AND coalesce(a.scheduled <= async_due.at, true)
    ORDER BY a.scheduled NULLS LAST, d.job_id
    LIMIT async_due.max_jobs
$$;

COMMENT ON FUNCTION pgqueue.async_due(text, integer, integer, integer, integer, timestamptz) IS
'Tell which jobs of django-async one pass over its queue would run next: of the highest priority
there is, those that were scheduled first, by time, then the others, by id.

Args: prefix: of their names; which, outof: only those whose id leaves the remainder that which does
when it is divided by outof; below: only priorities below this one; max_jobs; at: the time it is.
Returns: one row a job, in order.';
