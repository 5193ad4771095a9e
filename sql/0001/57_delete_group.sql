-- Purpose: delete a group with its jobs, and the groups in it.
-- Called by: people and programs. Deletes from jobs (and, by its trigger, from the rest), groups,
-- group_deltas. Locks: the groups, FOR UPDATE; the jobs, and their position rows, as DELETE does.
-- Errors: PQ003.
CREATE FUNCTION pgqueue.delete_group(group_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_groups bigint[];
    v_running bigint;
    v_count integer;
BEGIN
    WITH RECURSIVE inside (id) AS (
        SELECT delete_group.group_id
        UNION
        SELECT g.id FROM inside AS i JOIN pgqueue.groups AS g ON g.parent_id = i.id
    )
    SELECT array_agg(i.id ORDER BY i.id) INTO v_groups FROM inside AS i;
    PERFORM FROM pgqueue.groups AS g WHERE g.id = ANY (v_groups) ORDER BY g.id FOR UPDATE;
    PERFORM
    FROM pgqueue.jobs AS j
    WHERE j.group_id = ANY (v_groups)
    ORDER BY j.id
    FOR UPDATE;
    PERFORM
    FROM pgqueue.ready_jobs AS r
    WHERE r.job_id = ANY (ARRAY(
        SELECT j.id FROM pgqueue.jobs AS j WHERE j.group_id = ANY (v_groups)))
    FOR UPDATE;
    SELECT j.id INTO v_running
    FROM pgqueue.jobs AS j
    JOIN pgqueue.running_jobs AS r ON r.job_id = j.id
    WHERE j.group_id = ANY (v_groups)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ003',
            MESSAGE = format('group %s must not have running jobs to be deleted; job %s is running',
                delete_group.group_id, v_running),
            HINT = 'cancel the group first, or wait for it';
    END IF;
    DELETE FROM pgqueue.jobs AS j WHERE j.group_id = ANY (v_groups);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM pgqueue.group_deltas AS d WHERE d.group_id = ANY (v_groups);
    -- One that had not ended is a member less of the group that it was in.
    INSERT INTO pgqueue.group_deltas (group_id, total)
    SELECT g.parent_id, -1
    FROM pgqueue.groups AS g
    WHERE g.id = delete_group.group_id AND g.parent_id IS NOT NULL AND g.ended_at IS NULL;
    DELETE FROM pgqueue.groups AS g WHERE g.id = ANY (v_groups);
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.delete_group(bigint) IS
'Delete a group with all its jobs, and the groups in it.

Args: group_id.
Returns: how many jobs were deleted.
Errors: PQ003 when a worker holds one of them.';
