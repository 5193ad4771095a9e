-- Purpose: let a waiting job start at another time.
-- Called by: take_unique_keys, for a duplicate that says on_duplicate = reschedule. Moves
-- scheduled_jobs and ready_jobs to each other or themselves, and blocked_jobs that wait for a turn
-- to scheduled_jobs; a job that runs after others stays where it is.
-- Locks: the position row, skipped where another holds it; those of ring.
CREATE FUNCTION pgqueue.reschedule_waiting(
    job_id bigint,
    run_at timestamptz,
    at timestamptz
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_later boolean := coalesce(reschedule_waiting.run_at > reschedule_waiting.at, false);
    v_queue text;
    v_flags integer;
BEGIN
    WITH scheduled AS (
        DELETE FROM pgqueue.scheduled_jobs AS s
        WHERE s.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.scheduled_jobs AS k
            WHERE k.job_id = reschedule_waiting.job_id FOR UPDATE SKIP LOCKED))
        RETURNING s.queue, s.priority, s.job_id, s.attempt, s.lost, s.crashes, s.flags
    ),
    ready AS (
        DELETE FROM pgqueue.ready_jobs AS r
        WHERE v_later AND r.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.ready_jobs AS k
            WHERE k.job_id = reschedule_waiting.job_id FOR UPDATE SKIP LOCKED))
        RETURNING r.queue, r.priority, r.job_id, r.attempt, r.lost, r.crashes, r.flags
    ),
    -- One that waits for its turn leaves the line; one that runs after others goes on doing so.
    blocked AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE v_later AND b.ctid = ANY (ARRAY(
            SELECT k.ctid FROM pgqueue.blocked_jobs AS k
            WHERE k.job_id = reschedule_waiting.job_id AND k.reason IN ('concurrency', 'fair')
            FOR UPDATE SKIP LOCKED))
        RETURNING b.queue, b.priority, b.job_id, b.attempt, b.lost, b.crashes, b.flags
    ),
    moved AS (
        SELECT * FROM scheduled UNION ALL SELECT * FROM ready UNION ALL SELECT * FROM blocked
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags)
        SELECT
            m.job_id, reschedule_waiting.run_at, m.queue, m.priority, m.attempt, m.lost, m.crashes,
            m.flags
        FROM moved AS m
        WHERE v_later
    ),
    now AS (
        INSERT INTO pgqueue.ready_jobs
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            m.queue, m.priority, nextval('pgqueue.jobs_id_seq'), m.job_id, m.attempt, m.lost,
            m.crashes, m.flags
        FROM moved AS m
        WHERE NOT v_later
        RETURNING queue
    )
    SELECT (SELECT n.queue FROM now AS n), (SELECT bit_or(m.flags) FROM moved AS m)
    INTO v_queue, v_flags;
    IF (v_flags & 48) <> 0 THEN
        IF v_later THEN
            -- A job that runs later does not hold its key.
            PERFORM pgqueue.release_slots(
                ARRAY[reschedule_waiting.job_id], 'k', reschedule_waiting.at, true);
        ELSE
            PERFORM pgqueue.hold_back(ARRAY[reschedule_waiting.job_id]);
        END IF;
    END IF;
    IF v_queue IS NOT NULL THEN
        PERFORM pgqueue.ring(ARRAY[v_queue]);
    ELSIF reschedule_waiting.run_at < reschedule_waiting.at + interval '2 s' THEN
        PERFORM pgqueue.ring_leader();
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.reschedule_waiting(bigint, timestamptz, timestamptz) IS
'Let a waiting job start at another time. Internal.

Args: job_id; run_at: when, null for now; at: the time it is.
Locks: the position row, skipped where another holds it; those of ring.';
