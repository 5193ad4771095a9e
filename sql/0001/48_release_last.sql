-- Purpose: let the last jobs of groups go, when all others are over.
-- Called by: apply_counts; set_last_job, for one that is the last no more. Moves blocked_jobs to
-- ready_jobs or scheduled_jobs. Locks: the position rows, skipping those that others hold; those of
-- ring.
-- Why a delta of nothing: whoever holds a row, as a program that changes the priority, may do so
-- for hours, and no finish waits for that. The leader comes back as long as there are deltas.
CREATE FUNCTION pgqueue.release_last(ids bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_queues text[];
    v_next timestamptz;
BEGIN
    WITH freed AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE b.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM pgqueue.blocked_jobs AS k
            WHERE k.job_id = ANY (release_last.ids) AND k.reason = 'group'
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING b.*
    ),
    timed AS MATERIALIZED (
        SELECT f.*, j.run_at
        FROM freed AS f
        CROSS JOIN LATERAL (
            SELECT j.run_at FROM pgqueue.jobs AS j WHERE j.id = f.job_id OFFSET 0
        ) AS j
    ),
    ready AS (
        INSERT INTO pgqueue.ready_jobs
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            t.queue, t.priority, nextval('pgqueue.jobs_id_seq'), t.job_id, t.attempt, t.lost,
            t.crashes, t.flags
        FROM timed AS t
        WHERE t.run_at IS NULL OR t.run_at <= release_last.at
        RETURNING queue
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags)
        SELECT
            t.job_id, t.run_at, t.queue, t.priority, t.attempt, t.lost, t.crashes, t.flags
        FROM timed AS t
        WHERE t.run_at > release_last.at
        RETURNING run_at
    )
    SELECT
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r),
        (SELECT min(l.run_at) FROM later AS l)
    INTO v_queues, v_next;
    INSERT INTO pgqueue.group_deltas (group_id)
    SELECT j.group_id
    FROM pgqueue.blocked_jobs AS b
    JOIN pgqueue.jobs AS j ON j.id = b.job_id
    WHERE b.job_id = ANY (release_last.ids) AND b.reason = 'group' AND j.group_id IS NOT NULL;
    PERFORM pgqueue.ring(v_queues);
    IF v_next < release_last.at + interval '2 s' THEN
        PERFORM pgqueue.ring_leader();
    END IF;
    PERFORM pgqueue.hold_back(ARRAY(
        SELECT r.job_id FROM pgqueue.ready_jobs AS r
        WHERE r.job_id = ANY (release_last.ids) AND (r.flags & 48) <> 0
    ));
END
$$;

COMMENT ON FUNCTION pgqueue.release_last(bigint[], timestamptz) IS
'Let the last jobs of groups go. Internal.

Args: ids: the jobs; one that does not wait for its group is left alone; at: the time it is.
Locks: the position rows, skipping those that others hold, which the leader lets go later; those of
ring.';
