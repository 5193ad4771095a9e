-- Purpose: a sign of life and nothing else, of a worker that leads nobody and listens to nothing.
-- Called by: programs that run jobs in their own process, beside them. Writes its row of workers.
-- Locks: that row.
-- Why not beat: that makes whoever calls it the leader where there is none, and such a program is
-- gone in a moment.
CREATE FUNCTION pgqueue.keep_alive(
    worker_id bigint,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE pgqueue.workers AS w
    SET heartbeat_at = keep_alive.at
    WHERE w.id = keep_alive.worker_id;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION pgqueue.keep_alive(bigint, timestamptz) IS
'Give a sign of life, without becoming the leader as pgqueue.beat may.

Args: worker_id: from pgqueue.register_worker; at: the time it is.
Returns: whether it is registered; false when it was given up as lost.';
