-- Purpose: decide about the jobs of which a deadlock left open whether they are duplicates.
-- Called by: the leader every second; idempotent, anybody may. Moves blocked_jobs to ready_jobs,
-- scheduled_jobs or, for a duplicate, finished_jobs. Reads jobs; writes unique_keys.
-- Locks: the rows it moves, by job id, skipping those that others hold; those of take_unique_keys,
-- one key at a time, for two milliseconds; those of ring.
-- Why it hardly waits: a producer may keep a key open for hours, and the leader asks this together
-- with promote.
CREATE FUNCTION pgqueue.settle_unique_keys(at timestamptz DEFAULT clock_timestamp())
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
SET lock_timeout = '2ms'
AS $$
DECLARE
    v_id bigint;
    v_keys record;
    v_job record;
    v_count integer := 0;
BEGIN
    FOR v_id IN
        SELECT b.job_id
        FROM pgqueue.blocked_jobs AS b
        WHERE b.reason = 'unique_key'
        ORDER BY b.job_id
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            v_keys := pgqueue.take_unique_keys(ARRAY[v_id], true, settle_unique_keys.at);
        EXCEPTION WHEN lock_not_available THEN
            CONTINUE;
        END;
        CONTINUE WHEN v_keys.undecided IS NOT NULL;
        v_count := v_count + 1;
        IF v_keys.dropped <> '{}' THEN
            PERFORM pgqueue.end_waiting(v_keys.dropped, 'cancelled',
                'cancelled: duplicate of a job with the same unique_key', settle_unique_keys.at);
            CONTINUE;
        END IF;
        WITH gone AS (
            DELETE FROM pgqueue.blocked_jobs AS b WHERE b.job_id = v_id
            RETURNING b.*
        ),
        later AS (
            INSERT INTO pgqueue.scheduled_jobs
                (job_id, run_at, queue, priority, attempt, lost, crashes, flags)
            SELECT
                g.job_id, j.run_at, g.queue, g.priority, g.attempt, g.lost, g.crashes, g.flags
            FROM gone AS g
            JOIN pgqueue.jobs AS j ON j.id = g.job_id
            WHERE j.run_at > settle_unique_keys.at AND (g.flags & 4096) = 0
        ),
        -- It may have missed the ends of what it runs after: the leader looks.
        waits AS (
            INSERT INTO pgqueue.job_waits (job_id, remaining, run_if, late)
            SELECT
                g.job_id, (SELECT count(DISTINCT a.id) FROM unnest(j.after) AS a (id)),
                coalesce(j.run_if, 'succeeded'), true
            FROM gone AS g
            JOIN pgqueue.jobs AS j ON j.id = g.job_id
            WHERE (g.flags & 4096) <> 0
        ),
        blocked AS (
            INSERT INTO pgqueue.blocked_jobs
                (job_id, reason, queue, priority, attempt, lost, crashes, flags)
            SELECT
                g.job_id, 'after', g.queue, g.priority, g.attempt, g.lost, g.crashes, g.flags
            FROM gone AS g
            WHERE (g.flags & 4096) <> 0
        ),
        ready AS (
            INSERT INTO pgqueue.ready_jobs
                (queue, priority, seq, job_id, attempt, lost, crashes, flags)
            SELECT
                g.queue, g.priority, nextval('pgqueue.jobs_id_seq'), g.job_id, g.attempt, g.lost,
                g.crashes, g.flags
            FROM gone AS g
            JOIN pgqueue.jobs AS j ON j.id = g.job_id
            WHERE (j.run_at IS NULL OR j.run_at <= settle_unique_keys.at)
                AND (g.flags & 4096) = 0
            RETURNING queue, flags
        )
        SELECT r.queue, r.flags INTO v_job FROM ready AS r;
        IF FOUND THEN
            IF (v_job.flags & 48) <> 0 THEN
                PERFORM pgqueue.hold_back(ARRAY[v_id]);
            END IF;
            PERFORM pgqueue.ring(ARRAY[v_job.queue]);
        END IF;
    END LOOP;
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.settle_unique_keys(timestamptz) IS
'Decide about the jobs of which a deadlock between producers left open whether they are duplicates.

Args: at: the time it is.
Returns: how many were decided about.
Locks: the rows it moves, skipping those that others hold; rows of unique_keys.';
