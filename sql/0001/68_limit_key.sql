-- Purpose: say how many jobs of a concurrency key may run at once, over what the jobs say.
-- Called by: people and programs. Writes key_limits, offers; rings every queue the line is for.
-- Locks: the row of the key. Errors: PQ004.
CREATE FUNCTION pgqueue.limit_key(key text, max_running integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF limit_key.key IS NULL OR limit_key.max_running < 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'key must be text and max_running a whole number from 0 on, or null for what '
                'the jobs say';
    END IF;
    IF limit_key.max_running IS NULL THEN
        DELETE FROM pgqueue.key_limits AS l WHERE l.key = limit_key.key;
    ELSE
        INSERT INTO pgqueue.key_limits AS l (key, max_running)
        VALUES (limit_key.key, limit_key.max_running)
        ON CONFLICT ON CONSTRAINT key_limits_pkey DO UPDATE SET max_running = excluded.max_running;
    END IF;
    INSERT INTO pgqueue.offers (key) VALUES (limit_key.key);
    PERFORM pgqueue.ring(ARRAY(
        SELECT DISTINCT b.queue
        FROM pgqueue.blocked_jobs AS b
        WHERE b.reason = 'concurrency' AND b.key = limit_key.key
    ));
END
$$;

COMMENT ON FUNCTION pgqueue.limit_key(text, integer) IS
'Say how many jobs of a concurrency key may run at once, from now on.

Args: key: the concurrency key; max_running: how many, 0 to hold it, null for what the jobs say.
Errors: PQ004 for a number below 0.
Locks: the row of the key.';
