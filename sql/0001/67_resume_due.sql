-- Purpose: end the pauses whose time is over.
-- Called by: the leader with its timer; idempotent, anybody may. Writes queues, offers; rings.
-- Locks: the rows of the queues, skipping those that others hold.
CREATE FUNCTION pgqueue.resume_due(at timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_queues text[];
BEGIN
    IF NOT EXISTS (SELECT FROM pgqueue.queues AS q WHERE q.paused AND q.resume_at <= resume_due.at)
    THEN
        RETURN 0;
    END IF;
    WITH ended AS (
        UPDATE pgqueue.queues AS q
        SET paused = false, resume_at = NULL
        WHERE q.name = ANY (ARRAY(
            SELECT k.name
            FROM pgqueue.queues AS k
            WHERE k.paused AND k.resume_at <= resume_due.at
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING q.name
    )
    SELECT array_agg(o.name) INTO v_queues FROM ended AS o;
    PERFORM pgqueue.unpark(v_queues);
    PERFORM pgqueue.ring(v_queues);
    RETURN coalesce(cardinality(v_queues), 0);
END
$$;

COMMENT ON FUNCTION pgqueue.resume_due(timestamptz) IS
'End the pauses whose time is over.

Args: at: the time it is.
Returns: how many queues were resumed.';
