-- Purpose: let one member of a group run when all others are over, whatever became of them.
-- Called by: people and programs. Writes groups; moves the job to blocked_jobs (hold_last), and one
-- that was the last before back (release_last).
-- Locks: the group, FOR UPDATE: it waits for transactions that are adding members; the position
-- row. Errors: PQ001, PQ002.
-- Why not jobs.after: members may still come, and each would rewrite a list of all.
CREATE FUNCTION pgqueue.set_last_job(
    group_id bigint,
    job_id bigint,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_before bigint;
BEGIN
    SELECT g.last_job_id INTO v_before
    FROM pgqueue.groups AS g
    WHERE g.id = set_last_job.group_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no group %s', set_last_job.group_id),
            HINT = 'it may have been deleted, or pruned with its jobs';
    END IF;
    IF set_last_job.job_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM pgqueue.jobs AS j
        WHERE j.id = set_last_job.job_id AND j.group_id = set_last_job.group_id
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('the last job of group %s must be a member of it; job %s is not',
                set_last_job.group_id, set_last_job.job_id),
            HINT = 'enqueue it with this group_id';
    END IF;
    -- It would run as soon as those are over.
    IF EXISTS (
        SELECT FROM pgqueue.jobs AS j
        WHERE j.id = set_last_job.job_id AND cardinality(j.after) > 0
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('the last job of group %s must not run after others; job %s does',
                set_last_job.group_id, set_last_job.job_id),
            HINT = 'leave its after out: it runs after all others of the group';
    END IF;
    UPDATE pgqueue.groups AS g
    SET last_job_id = set_last_job.job_id
    WHERE g.id = set_last_job.group_id;
    IF v_before <> set_last_job.job_id OR set_last_job.job_id IS NULL THEN
        -- Whom the leader would let go later, but for its being the last no more.
        PERFORM FROM pgqueue.blocked_jobs AS b WHERE b.job_id = v_before FOR UPDATE;
        PERFORM pgqueue.release_last(ARRAY[v_before], set_last_job.at);
    END IF;
    IF set_last_job.job_id IS NOT NULL THEN
        PERFORM pgqueue.hold_last(set_last_job.job_id);
        -- The others may be over already.
        PERFORM pgqueue.end_groups(ARRAY[set_last_job.group_id], set_last_job.at);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.set_last_job(bigint, bigint, timestamptz) IS
'Let one member of a group run when all others are over, whatever became of them, and the group is
closed. One that runs already is left alone.

Args: group_id; job_id: the member, or null for none any more; at: the time it is.
Returns: nothing.
Errors: PQ001 when the job is no member, or runs after others; PQ002 when there is no such group.
Locks: the group, FOR UPDATE: it waits for transactions that are adding members.';
