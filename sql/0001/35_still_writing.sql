-- Purpose: step S3 of the doorbell: is any of these transactions still open?
-- Called by: a worker between arm and its last look. Reads pg_locks; locks nothing.
CREATE FUNCTION pgqueue.still_writing(writers text[]) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory'
            AND l.classid = 70677102
            AND l.virtualtransaction = ANY (writers)
    )
$$;

COMMENT ON FUNCTION pgqueue.still_writing(text[]) IS
'Whether a transaction that pgqueue.arm found writing is still open.

Args: writers: as pgqueue.arm returned them.
Returns: true while the last look must wait.';
