-- Purpose: end the waiting jobs whose latest start has passed.
-- Called by: the leader every few seconds; idempotent, anybody may. A claim checks by itself, so
-- this only tidies: nothing is started too late if it never runs.
-- Reads jobs; moves ready_jobs, scheduled_jobs and blocked_jobs to finished_jobs.
-- Locks: the rows it moves, skipping those that others hold.
-- Why floor: jobs that are over stay in the index until they are pruned; a scan that starts above
-- the last one does not look at them again. null scans from the beginning, for rows that committed
-- late.
-- Why WITH TIES: many jobs may share one expires_at. All of them are looked at together, else a
-- page of finished ones would hide the rest for ever; the floor goes above them once all are moved.
-- Why rounds: a page that holds finished jobs only is passed over at once.
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
    v_last timestamptz;
    v_moved integer;
    v_ended bigint[];
    v_featured bigint[];
    v_features integer;
BEGIN
    expire.expired := 0;
    expire.reached := expire.floor;
    FOR v_round IN 1..20 LOOP
        SELECT array_agg(j.id), max(j.expires_at)
        INTO v_ids, v_last
        FROM (
            SELECT j.id, j.expires_at
            FROM pgqueue.jobs AS j
            WHERE j.expires_at <= expire.at
                AND j.expires_at > coalesce(expire.reached, '-infinity')
            ORDER BY j.expires_at
            FETCH FIRST expire.max_jobs ROWS WITH TIES
        ) AS j;
        EXIT WHEN v_last IS NULL;
        WITH ready AS (
            DELETE FROM pgqueue.ready_jobs AS r
            WHERE r.ctid = ANY (ARRAY(
                SELECT k.ctid FROM pgqueue.ready_jobs AS k
                WHERE k.job_id = ANY (v_ids) AND (k.flags & 1) = 1
                LIMIT expire.max_jobs - expire.expired
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING r.job_id, r.queue, r.attempt, r.lost, r.crashes, r.flags
        ),
        scheduled AS (
            DELETE FROM pgqueue.scheduled_jobs AS s
            WHERE s.ctid = ANY (ARRAY(
                SELECT k.ctid FROM pgqueue.scheduled_jobs AS k
                WHERE k.job_id = ANY (v_ids) AND (k.flags & 1) = 1
                LIMIT expire.max_jobs - expire.expired
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING s.job_id, s.queue, s.attempt, s.lost, s.crashes, s.flags
        ),
        blocked AS (
            DELETE FROM pgqueue.blocked_jobs AS b
            WHERE b.ctid = ANY (ARRAY(
                SELECT k.ctid FROM pgqueue.blocked_jobs AS k
                WHERE k.job_id = ANY (v_ids) AND (k.flags & 1) = 1
                LIMIT expire.max_jobs - expire.expired
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING b.job_id, b.queue, b.attempt, b.lost, b.crashes, b.flags
        ),
        waited AS (
            SELECT * FROM ready UNION ALL SELECT * FROM scheduled UNION ALL SELECT * FROM blocked
        ),
        ended AS (
            INSERT INTO pgqueue.finished_jobs
                (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
            SELECT
                w.job_id, 'expired', w.attempt, w.lost, w.crashes, expire.at,
                expire.at + pgqueue.retention(w.queue, 'expired', w.flags),
                'expired before it could start'
            FROM waited AS w
        )
        SELECT
            count(*), array_agg(w.job_id), array_agg(w.job_id) FILTER (WHERE w.flags > 3),
            coalesce(bit_or(w.flags), 0)
        INTO v_moved, v_ended, v_featured, v_features
        FROM waited AS w;
        PERFORM pgqueue.settle(v_ended, v_featured, v_features, expire.at);
        expire.expired := expire.expired + v_moved;
        -- Full: there may be more at or below v_last, and the next call begins where this one did.
        EXIT WHEN expire.expired >= expire.max_jobs;
        expire.reached := v_last;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.expire(integer, timestamptz, timestamptz) IS
'End the waiting jobs whose latest start has passed.

Args: max_jobs: about how many to end; floor: where the last call ended, or null for a scan from the
beginning; at: the time it is.
Returns: expired: how many ended; reached: the floor for the next call.
Locks: the rows it moves, skipping those that others hold.';
