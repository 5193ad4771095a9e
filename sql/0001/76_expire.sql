-- Purpose: end the waiting jobs whose latest start has passed.
-- Called by: the leader every few seconds; idempotent, anybody may. A claim checks by itself, so this
-- only tidies: nothing is started too late if it never runs.
-- Reads jobs; moves ready_jobs, scheduled_jobs and blocked_jobs to finished_jobs.
-- Locks: the rows it moves, skipping those that others hold.
CREATE FUNCTION pgqueue.expire(
    max_jobs integer DEFAULT 1000,
    floor timestamptz DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp(),
    OUT expired integer,
    OUT reached timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    SELECT array_agg(j.id), max(j.expires_at)
    INTO v_ids, expire.reached
    FROM (
        SELECT j.id, j.expires_at
        FROM pgqueue.jobs AS j
        WHERE j.expires_at <= expire.at AND j.expires_at >= coalesce(expire.floor, '-infinity')
        ORDER BY j.expires_at
        LIMIT expire.max_jobs
    ) AS j;
    WITH ready AS (
        DELETE FROM pgqueue.ready_jobs AS r
        WHERE r.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.ready_jobs AS k
            WHERE k.job_id = ANY (v_ids) FOR UPDATE SKIP LOCKED
        ))
        RETURNING r.job_id, r.queue, r.attempt, r.lost, r.crashes
    ),
    scheduled AS (
        DELETE FROM pgqueue.scheduled_jobs AS s
        WHERE s.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.scheduled_jobs AS k
            WHERE k.job_id = ANY (v_ids) FOR UPDATE SKIP LOCKED
        ))
        RETURNING s.job_id, s.queue, s.attempt, s.lost, s.crashes
    ),
    blocked AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE b.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.blocked_jobs AS k
            WHERE k.job_id = ANY (v_ids) FOR UPDATE SKIP LOCKED
        ))
        RETURNING b.job_id, b.queue, b.attempt, b.lost, b.crashes
    ),
    ended AS (
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
        SELECT
            w.job_id, 'expired', w.attempt, w.lost, w.crashes, expire.at,
            expire.at + pgqueue.retention(w.queue, 'expired'), 'expired before it could start'
        FROM (
            SELECT * FROM ready UNION ALL SELECT * FROM scheduled UNION ALL SELECT * FROM blocked
        ) AS w
        RETURNING 1
    )
    SELECT count(*) INTO expire.expired FROM ended AS e;
    -- A full batch that moved nothing was all finished jobs: go on above them.
    expire.reached := coalesce(expire.reached, expire.floor);
END
$$;

COMMENT ON FUNCTION pgqueue.expire(integer, timestamptz, timestamptz) IS
'End the waiting jobs whose latest start has passed.

Args: max_jobs: the most to look at; floor: where the last call ended, or null for a scan from the
beginning; at: the time it is.
Returns: expired: how many ended; reached: the floor for the next call.
Locks: the rows it moves, skipping those that others hold.';
