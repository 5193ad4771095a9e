-- Purpose: say that no more jobs are expected, so that the group ends when all its jobs have.
-- Called by: people and programs. Writes groups; ends the group if all are over already
-- (end_groups). Locks: the group, FOR UPDATE: it waits for transactions that are adding members.
-- Errors: PQ002.
CREATE FUNCTION pgqueue.close_group(
    group_id bigint,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_state text;
BEGIN
    PERFORM FROM pgqueue.groups AS g WHERE g.id = close_group.group_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no group %s', close_group.group_id),
            HINT = 'it may have been deleted, or pruned with its jobs';
    END IF;
    UPDATE pgqueue.groups AS g
    SET closed_at = close_group.at
    WHERE g.id = close_group.group_id AND g.closed_at IS NULL;
    PERFORM pgqueue.end_groups(ARRAY[close_group.group_id], close_group.at);
    SELECT g.state INTO v_state FROM pgqueue.groups AS g WHERE g.id = close_group.group_id;
    RETURN coalesce(v_state, 'closed');
END
$$;

COMMENT ON FUNCTION pgqueue.close_group(bigint, timestamptz) IS
'Let a group end as soon as all its jobs are over. Until then more may be added, as by its own jobs.

Args: group_id; at: the time it is.
Returns: closed; or succeeded, failed or cancelled where the group has ended with that.
Errors: PQ002 when there is no such group.
Locks: the group, FOR UPDATE: it waits for transactions that are adding members.';
