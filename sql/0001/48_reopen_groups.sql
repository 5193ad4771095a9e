-- Purpose: a job of a group runs again: count it as one that is not over, and let a group that had
-- ended end again.
-- Called by: retry, retry_group. Writes groups and group_deltas.
-- Locks: the groups, and those that they are in, FOR NO KEY UPDATE.
CREATE FUNCTION pgqueue.reopen_groups(
    group_id bigint,
    succeeded integer,
    failed integer,
    cancelled integer,
    skipped integer
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_state text;
    v_parent bigint;
BEGIN
    INSERT INTO pgqueue.group_deltas (group_id, succeeded, failed, cancelled, skipped)
    VALUES (
        reopen_groups.group_id, -reopen_groups.succeeded, -reopen_groups.failed,
        -reopen_groups.cancelled, -reopen_groups.skipped
    );
    SELECT g.state, g.parent_id INTO v_state, v_parent
    FROM pgqueue.groups AS g
    WHERE g.id = reopen_groups.group_id
    FOR NO KEY UPDATE;
    IF v_state IS NULL THEN
        RETURN;
    END IF;
    UPDATE pgqueue.groups AS g
    SET ended_at = NULL, state = NULL, released = false
    WHERE g.id = reopen_groups.group_id;
    IF v_parent IS NOT NULL THEN
        PERFORM pgqueue.reopen_groups(v_parent, (v_state = 'succeeded')::integer,
            (v_state = 'failed')::integer, (v_state = 'cancelled')::integer, 0);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.reopen_groups(bigint, integer, integer, integer, integer) IS
'Count members of a group that run again. Internal.

Args: group_id; succeeded, failed, cancelled, skipped: how many of them had ended so.
Returns: nothing.
Locks: the group, and those it is in, FOR NO KEY UPDATE.';
