-- Purpose: the sleeper is awake: writers need not ring any more.
-- Called by: a worker's listener session after it woke. Touches no table.
-- Locks: gives back the session's advisory locks (70677101, bucket) that arm took.
CREATE FUNCTION pgqueue.disarm(queues text[], leader boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_unlock_shared(70677101, b.bucket)
    FROM unnest(pgqueue.sleep_buckets(disarm.queues, disarm.leader)) AS b (bucket);
END
$$;

COMMENT ON FUNCTION pgqueue.disarm(text[], boolean) IS
'Say that this session does not sleep any more. Call it once for each pgqueue.arm that armed, with
the same arguments.

Args: queues, leader: as given to pgqueue.arm.';
