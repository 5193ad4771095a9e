-- Purpose: add up what there is in group_deltas for some groups, and end those that are over.
-- Called by: close_group, create_group, advance, retry_group, jobs_forget's caller. Writes what
-- apply_counts writes; deletes the deltas of groups that are gone.
-- Why it looks who is there to be locked first: a group that somebody holds gets no delta of zeros.
CREATE FUNCTION pgqueue.end_groups(ids bigint[], at timestamptz) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_held bigint[];
    v_ended bigint[];
BEGIN
    SELECT array_agg(h.id) INTO v_held
    FROM (
        SELECT g.id
        FROM pgqueue.groups AS g
        WHERE g.id = ANY (end_groups.ids)
        ORDER BY g.id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS h;
    IF v_held IS NOT NULL THEN
        SELECT a.ended INTO v_ended
        FROM (SELECT array_fill(0, ARRAY[cardinality(v_held)]) AS n) AS z
        CROSS JOIN LATERAL pgqueue.apply_counts(
            v_held, z.n, z.n, z.n, z.n, z.n, end_groups.at) AS a;
        IF v_ended IS NOT NULL THEN
            PERFORM pgqueue.settle(ARRAY(SELECT -e.id FROM unnest(v_ended) AS e (id)), NULL, 0,
                end_groups.at);
        END IF;
    END IF;
    DELETE FROM pgqueue.group_deltas AS d
    WHERE d.group_id = ANY (end_groups.ids)
        AND NOT EXISTS (SELECT FROM pgqueue.groups AS g WHERE g.id = d.group_id);
    RETURN v_ended;
END
$$;

COMMENT ON FUNCTION pgqueue.end_groups(bigint[], timestamptz) IS
'Add up what is still to be counted for groups, and end those that are over. Internal.

Args: ids: groups, each once; at: the time it is.
Returns: those that ended.
Locks: rows of groups, FOR NO KEY UPDATE, skipping those that others hold.';
