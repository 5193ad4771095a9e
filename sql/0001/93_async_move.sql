-- Purpose: make a job a member of another group, or of none.
-- Called by: the triggers of async_jobs and async_groups. Writes jobs, groups and group_deltas;
-- writes the position of the job anew (flags).
-- Locks: the job; the groups; its position row. Errors: PQ001, PQ003.
-- Why a group is closed when it gets a member: it ends by itself then, and django-async never adds
-- to one that has begun to end.
CREATE FUNCTION pgqueue.async_move(
    job_id bigint,
    group_id bigint,
    at timestamptz
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_from bigint;
    v_state text;
    v_bit integer := CASE WHEN async_move.group_id IS NULL THEN 0 ELSE 256 END;
BEGIN
    SELECT j.group_id INTO v_from
    FROM pgqueue.jobs AS j
    WHERE j.id = async_move.job_id
    FOR NO KEY UPDATE;
    IF NOT FOUND OR v_from IS NOT DISTINCT FROM async_move.group_id THEN
        RETURN;
    END IF;
    -- The groups first, as in set_last_job.
    PERFORM
    FROM pgqueue.groups AS g
    WHERE g.id IN (v_from, async_move.group_id)
    ORDER BY g.id
    FOR KEY SHARE;
    -- Held from here on, so that no worker takes it in between, as the member that it was.
    PERFORM pgqueue.django_future_place(async_move.job_id);
    SELECT o.state INTO v_state FROM pgqueue.job_overview AS o WHERE o.id = async_move.job_id;
    IF v_state = 'running' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ003',
            MESSAGE = format('job %s must not be running to change its group', async_move.job_id),
            HINT = 'wait for it';
    END IF;
    IF v_state IN ('ready', 'scheduled', 'blocked') AND async_move.group_id IS NOT NULL THEN
        PERFORM pgqueue.join_groups(ARRAY[async_move.group_id], ARRAY[1]);
    ELSIF async_move.group_id IS NOT NULL THEN
        INSERT INTO pgqueue.group_deltas (group_id, total, succeeded, failed, cancelled)
        VALUES (
            async_move.group_id, 1, (v_state = 'succeeded')::integer,
            (v_state IN ('failed', 'expired'))::integer, (v_state = 'cancelled')::integer
        );
    END IF;
    INSERT INTO pgqueue.group_deltas (group_id, total, succeeded, failed, cancelled)
    SELECT
        v_from, -1, -(v_state = 'succeeded')::integer,
        -(v_state IN ('failed', 'expired'))::integer, -(v_state = 'cancelled')::integer
    WHERE v_from IS NOT NULL;
    UPDATE pgqueue.jobs AS j SET group_id = async_move.group_id WHERE j.id = async_move.job_id;
    WITH moved AS (
        DELETE FROM pgqueue.ready_jobs AS r WHERE r.job_id = async_move.job_id RETURNING r.*
    )
    INSERT INTO pgqueue.ready_jobs
        (queue, priority, seq, job_id, attempt, lost, crashes, flags)
    SELECT
        m.queue, m.priority, m.seq, m.job_id, m.attempt, m.lost, m.crashes, m.flags & ~256 | v_bit
    FROM moved AS m;
    WITH moved AS (
        DELETE FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = async_move.job_id RETURNING s.*
    )
    INSERT INTO pgqueue.scheduled_jobs
        (job_id, run_at, queue, priority, attempt, lost, crashes, flags, reason)
    SELECT
        m.job_id, m.run_at, m.queue, m.priority, m.attempt, m.lost, m.crashes,
        m.flags & ~256 | v_bit, m.reason
    FROM moved AS m;
    WITH moved AS (
        DELETE FROM pgqueue.blocked_jobs AS b WHERE b.job_id = async_move.job_id RETURNING b.*
    )
    INSERT INTO pgqueue.blocked_jobs
        (job_id, reason, key, queue, priority, seq, attempt, lost, crashes, flags)
    SELECT
        m.job_id, m.reason, m.key, m.queue, m.priority, m.seq, m.attempt, m.lost, m.crashes,
        m.flags & ~256 | v_bit
    FROM moved AS m;
    IF v_from IS NOT NULL AND EXISTS (
        SELECT FROM pgqueue.groups AS g
        WHERE g.id = v_from AND g.last_job_id = async_move.job_id
    ) THEN
        PERFORM pgqueue.set_last_job(v_from, NULL, async_move.at);
    END IF;
    UPDATE pgqueue.groups AS g
    SET closed_at = async_move.at
    WHERE g.id = async_move.group_id AND g.closed_at IS NULL;
    PERFORM pgqueue.end_groups(
        array_remove(ARRAY[v_from, async_move.group_id], NULL), async_move.at);
END
$$;

COMMENT ON FUNCTION pgqueue.async_move(bigint, bigint, timestamptz) IS
'Make a job of django-async a member of another group. Internal.

Args: job_id; group_id: or null for none; at: the time it is.
Errors: PQ001 for a group that takes none any more, PQ003 while the job runs.
Locks: the job, its position row and the groups.';
