-- Purpose: say which processes a worker runs jobs in, for people.
-- Called by: workers beside a sign of life, only when their children have changed. Writes workers.
CREATE FUNCTION pgqueue.tell_children(
    worker_id bigint, children integer[], replaced integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE pgqueue.workers AS w
    SET children = tell_children.children, replaced = tell_children.replaced
    WHERE w.id = tell_children.worker_id;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION pgqueue.tell_children(bigint, integer[], integer) IS
'Say which processes a worker runs jobs in.

Args: worker_id; children: their process ids; replaced: how many have taken the place of another.
Returns: false when the worker was given up as lost.
Locks: its row of workers.';
