-- Purpose: count new members of groups, and refuse those of groups that take none.
-- Called by: the insert trigger, file_strays. Reads groups; writes group_deltas; has the last jobs
-- of the groups wait for the new ones, too (hold_last).
-- Locks: the groups, FOR KEY SHARE, so that close_group and delete_group wait for this transaction;
-- one that is closed already FOR SHARE, so that it does not end meanwhile: whoever would end it
-- leaves that to the leader. A finish waits for neither. Errors: PQ001.
CREATE FUNCTION pgqueue.join_groups(ids bigint[], counts integer[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_missing bigint;
BEGIN
    -- The stronger lock first: whoever asks for more of what he holds may meet another who waits.
    PERFORM
    FROM pgqueue.groups AS g
    WHERE g.id = ANY (join_groups.ids) AND g.closed_at IS NOT NULL
    ORDER BY g.id
    FOR SHARE;
    PERFORM FROM pgqueue.groups AS g WHERE g.id = ANY (join_groups.ids) ORDER BY g.id FOR KEY SHARE;
    -- Closed in between, which is rare.
    PERFORM
    FROM pgqueue.groups AS g
    WHERE g.id = ANY (join_groups.ids) AND g.closed_at IS NOT NULL
    ORDER BY g.id
    FOR SHARE;
    SELECT i.id INTO v_missing
    FROM unnest(join_groups.ids) AS i (id)
    WHERE NOT EXISTS (
        SELECT FROM pgqueue.groups AS g WHERE g.id = i.id AND g.ended_at IS NULL
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('group_id must name a group that has not ended; %s %s', v_missing,
                CASE WHEN EXISTS (SELECT FROM pgqueue.groups AS g WHERE g.id = v_missing)
                    THEN 'has ended' ELSE 'is no group' END),
            HINT = 'make a group with pgqueue.create_group, and close it when its jobs are there';
    END IF;
    INSERT INTO pgqueue.group_deltas (group_id, total)
    SELECT t.id, t.n FROM unnest(join_groups.ids, join_groups.counts) AS t (id, n);
    PERFORM pgqueue.hold_last(g.last_job_id)
    FROM pgqueue.groups AS g
    WHERE g.id = ANY (join_groups.ids) AND g.last_job_id IS NOT NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.join_groups(bigint[], integer[]) IS
'Count new members of groups. Internal.

Args: ids: groups, each once; counts: how many members more.
Returns: nothing.
Errors: PQ001 for a group that is none, or has ended.
Locks: the groups, FOR KEY SHARE; those that are closed FOR SHARE.';
