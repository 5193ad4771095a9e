-- Purpose: file the jobs that came in without the trigger (logical replication, a restored table).
-- Called by: the leader every few seconds, with the id up to which it has looked; people, with 0.
-- Reads jobs and the position tables; writes ready_jobs and scheduled_jobs.
-- Locks: those of ring; a job that two callers file at once is filed by one (unique job_id).
CREATE FUNCTION pgqueue.file_strays(
    above bigint DEFAULT 0,
    max_jobs integer DEFAULT 10000,
    at timestamptz DEFAULT clock_timestamp(),
    OUT filed integer,
    OUT reached bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_queues text[];
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT j.id
        FROM pgqueue.jobs AS j
        WHERE j.id > file_strays.above
        ORDER BY j.id
        LIMIT file_strays.max_jobs
    ),
    stray AS MATERIALIZED (
        SELECT j.*
        FROM seen AS s
        CROSS JOIN LATERAL (
            SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = s.id OFFSET 0
        ) AS j
        WHERE NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS p WHERE p.job_id = s.id)
            AND NOT EXISTS (SELECT FROM pgqueue.ready_jobs AS p WHERE p.job_id = s.id)
            AND NOT EXISTS (SELECT FROM pgqueue.running_jobs AS p WHERE p.job_id = s.id)
            AND NOT EXISTS (SELECT FROM pgqueue.scheduled_jobs AS p WHERE p.job_id = s.id)
            AND NOT EXISTS (SELECT FROM pgqueue.blocked_jobs AS p WHERE p.job_id = s.id)
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs (job_id, run_at, queue, priority, flags)
        SELECT
            n.id, n.run_at, n.queue, n.priority,
            (n.expires_at IS NOT NULL)::integer
                + 2 * (n.timeout IS NOT NULL OR n.max_attempts IS NOT NULL
                    OR n.meta IS NOT NULL)::integer
        FROM stray AS n
        WHERE n.run_at > file_strays.at
        ON CONFLICT DO NOTHING
        RETURNING job_id
    ),
    ready AS (
        INSERT INTO pgqueue.ready_jobs (queue, priority, seq, job_id, flags)
        SELECT
            n.queue, n.priority, n.id, n.id,
            (n.expires_at IS NOT NULL)::integer
                + 2 * (n.timeout IS NOT NULL OR n.max_attempts IS NOT NULL
                    OR n.meta IS NOT NULL)::integer
        FROM stray AS n
        WHERE n.run_at IS NULL OR n.run_at <= file_strays.at
        ON CONFLICT DO NOTHING
        RETURNING queue
    )
    SELECT
        (SELECT count(*) FROM later) + (SELECT count(*) FROM ready),
        (SELECT max(s.id) FROM seen AS s),
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r)
    INTO file_strays.filed, file_strays.reached, v_queues;
    PERFORM pgqueue.ring(v_queues);
    file_strays.reached := coalesce(file_strays.reached, file_strays.above);
END
$$;

COMMENT ON FUNCTION pgqueue.file_strays(bigint, integer, timestamptz) IS
'File the jobs that came in without the trigger.

Args: above: look at jobs with a higher id; max_jobs: the most to look at; at: the time it is.
Returns: filed: how many had no position; reached: the highest id looked at.';
