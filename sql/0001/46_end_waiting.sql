-- Purpose: end waiting jobs that shall not run.
-- Called by: cancel, cancel_matching, take_unique_keys (replace), settle_unique_keys. Moves
-- ready_jobs, scheduled_jobs and blocked_jobs to finished_jobs, and does what follows (settle).
-- Locks: the position rows, skipping those that others hold: a claim may be taking the job.
CREATE FUNCTION pgqueue.end_waiting(
    ids bigint[],
    state text,
    error text,
    at timestamptz
) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_ended bigint[];
    v_featured bigint[];
    v_features integer;
BEGIN
    WITH ready AS (
        DELETE FROM pgqueue.ready_jobs AS r
        WHERE r.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.ready_jobs AS k
            WHERE k.job_id = ANY (end_waiting.ids) FOR UPDATE SKIP LOCKED))
        RETURNING r.job_id, r.queue, r.attempt, r.lost, r.crashes, r.flags
    ),
    scheduled AS (
        DELETE FROM pgqueue.scheduled_jobs AS s
        WHERE s.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.scheduled_jobs AS k
            WHERE k.job_id = ANY (end_waiting.ids) FOR UPDATE SKIP LOCKED))
        RETURNING s.job_id, s.queue, s.attempt, s.lost, s.crashes, s.flags
    ),
    blocked AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE b.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.blocked_jobs AS k
            WHERE k.job_id = ANY (end_waiting.ids) FOR UPDATE SKIP LOCKED))
        RETURNING b.job_id, b.queue, b.attempt, b.lost, b.crashes, b.flags
    ),
    ended AS (
        SELECT * FROM ready UNION ALL SELECT * FROM scheduled UNION ALL SELECT * FROM blocked
    ),
    finished AS (
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
        SELECT
            e.job_id, end_waiting.state, e.attempt, e.lost, e.crashes, end_waiting.at,
            end_waiting.at + pgqueue.retention(e.queue, end_waiting.state, e.flags),
            end_waiting.error
        FROM ended AS e
    )
    SELECT array_agg(e.job_id), array_agg(e.job_id) FILTER (WHERE e.flags > 3), bit_or(e.flags)
    INTO v_ended, v_featured, v_features
    FROM ended AS e;
    IF v_ended IS NOT NULL THEN
        PERFORM pgqueue.settle(v_ended, v_featured, v_features & ~16, end_waiting.at);
        IF (v_features & 16) <> 0 THEN
            PERFORM pgqueue.release_slots(v_featured, 'k', end_waiting.at, true);
        END IF;
    END IF;
    RETURN coalesce(v_ended, '{}');
END
$$;

COMMENT ON FUNCTION pgqueue.end_waiting(bigint[], text, text, timestamptz) IS
'End waiting jobs that shall not run. Internal.

Args: ids: jobs; state: cancelled or expired; error: one line saying why; at: the time it is.
Returns: those that ended; the others do not wait, or somebody holds their row just now.
Locks: the position rows, skipping those that others hold.';
