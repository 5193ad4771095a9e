-- Purpose: have the last job of a group wait for the others.
-- Called by: set_last_job; join_groups, since new members may come when the others are over.
-- Moves ready_jobs, scheduled_jobs and blocked_jobs in the line of a key to blocked_jobs that wait
-- for a group; deletes from slots. One that runs, or is over, is left alone.
-- Why a loop: the job may be on the move, from the line of its key to those that are ready. Then
-- the statement waits for the move, and does not see where the job stands now; the next one does.
-- One that a worker takes meanwhile is in none of the three places.
-- Locks: the position row; those of release_slots.
CREATE FUNCTION pgqueue.hold_last(job_id bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_held boolean;
BEGIN
    LOOP
        WITH ready AS (
            DELETE FROM pgqueue.ready_jobs AS r
            WHERE r.job_id = hold_last.job_id
            RETURNING r.job_id, r.queue, r.priority, r.attempt, r.lost, r.crashes, r.flags
        ),
        scheduled AS (
            DELETE FROM pgqueue.scheduled_jobs AS s
            WHERE s.job_id = hold_last.job_id
            RETURNING s.job_id, s.queue, s.priority, s.attempt, s.lost, s.crashes, s.flags
        ),
        in_line AS (
            DELETE FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = hold_last.job_id AND b.reason IN ('concurrency', 'fair')
            RETURNING b.job_id, b.queue, b.priority, b.attempt, b.lost, b.crashes, b.flags
        )
        INSERT INTO pgqueue.blocked_jobs
            (job_id, reason, queue, priority, attempt, lost, crashes, flags)
        SELECT m.job_id, 'group', m.queue, m.priority, m.attempt, m.lost, m.crashes, m.flags
        FROM (
            SELECT * FROM ready
            UNION ALL
            SELECT * FROM scheduled
            UNION ALL
            SELECT * FROM in_line
        ) AS m;
        v_held := FOUND;
        EXIT WHEN v_held OR NOT (
            EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = hold_last.job_id)
            OR EXISTS (SELECT FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = hold_last.job_id)
            OR EXISTS (
                SELECT FROM pgqueue.blocked_jobs AS b
                WHERE b.job_id = hold_last.job_id AND b.reason IN ('concurrency', 'fair')
            )
        );
    END LOOP;
    IF v_held THEN
        -- It would keep others of its key waiting for as long as the group lasts, and itself.
        PERFORM pgqueue.release_slots(ARRAY[hold_last.job_id], 'k', clock_timestamp(), true);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.hold_last(bigint) IS
'Have the last job of a group wait for the others. Internal.

Args: job_id.
Locks: the position row; those of pgqueue.release_slots.';
