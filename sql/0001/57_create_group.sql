-- Purpose: make a group, for jobs to be added to.
-- Called by: people and programs; enqueue_flow. Writes groups and, for one inside another,
-- group_deltas. Locks: the group it is in, as join_groups. Errors: PQ001.
CREATE FUNCTION pgqueue.create_group(
    name text DEFAULT NULL,
    callbacks jsonb DEFAULT NULL,
    meta jsonb DEFAULT NULL,
    parent_id bigint DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_refusal text;
    v_id bigint;
BEGIN
    v_refusal := CASE
        WHEN octet_length(create_group.name) NOT BETWEEN 1 AND 200 THEN format(
            'name must be 1 to 200 bytes, or left out; got %s', octet_length(create_group.name))
        WHEN jsonb_typeof(create_group.meta) <> 'object'
            OR octet_length(create_group.meta::text) > 1572864
        THEN 'meta must be a JSON object of at most 1572864 bytes, or left out'
        WHEN create_group.callbacks IS NOT NULL THEN
            pgqueue.callbacks_refusal(create_group.callbacks)
    END;
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ001', MESSAGE = v_refusal;
    END IF;
    IF create_group.parent_id IS NOT NULL THEN
        PERFORM pgqueue.join_groups(ARRAY[create_group.parent_id], ARRAY[1]);
    END IF;
    INSERT INTO pgqueue.groups AS g (name, callbacks, meta, parent_id)
    VALUES (
        create_group.name, create_group.callbacks, create_group.meta, create_group.parent_id
    )
    RETURNING g.id INTO v_id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION pgqueue.create_group(text, jsonb, jsonb, bigint) IS
'Make a group. Add jobs by their group_id, then call pgqueue.close_group.

Args: name: for people; callbacks: jobs to enqueue when the group ends, as pgqueue.jobs.callbacks;
meta: a JSON object; parent_id: a group that this one is a member of, where it counts as one.
Returns: the id of the group.
Errors: PQ001 for what could never be, or a parent that has ended.';
