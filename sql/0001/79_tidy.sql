-- Purpose: what nobody else tidies up: waiters that left without a word.
-- Called by: the leader every few seconds; idempotent, anybody may. Deletes from waiters.
-- Locks: the rows it deletes, skipping those that others hold.
CREATE FUNCTION pgqueue.tidy(at timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_count integer;
BEGIN
    DELETE FROM pgqueue.waiters AS w
    WHERE w.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM pgqueue.waiters AS k
        WHERE k.until < tidy.at
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.tidy(timestamptz) IS
'Delete the traces of those who waited for a job and went away.

Args: at: the time it is.
Returns: how many rows.
Locks: the rows it deletes, skipping those that others hold.';
