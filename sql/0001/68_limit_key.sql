-- Purpose: say how many jobs of a concurrency key may run at once, and how many may start in a
-- time, over what the jobs say.
-- Called by: people and programs. Writes key_limits, offers; rings every queue the line is for.
-- Locks: the row of the key. Errors: PQ004.
CREATE FUNCTION pgqueue.limit_key(key text, max_running integer, rate text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF limit_key.key IS NULL OR limit_key.max_running < 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = CASE WHEN limit_key.key IS NULL THEN 'key must be text; got null'
                ELSE concat('max_running must be a whole number from 0 on, or null for what the '
                    'jobs say; got ', limit_key.max_running) END;
    END IF;
    IF limit_key.rate IS NOT NULL AND pgqueue.rate_jobs(limit_key.rate) IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = concat('rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got ',
                quote_literal(left(limit_key.rate, 60)));
    END IF;
    IF limit_key.max_running IS NULL AND limit_key.rate IS NULL THEN
        DELETE FROM pgqueue.key_limits AS l WHERE l.key = limit_key.key;
    ELSE
        INSERT INTO pgqueue.key_limits AS l (key, max_running, rate)
        VALUES (limit_key.key, limit_key.max_running, limit_key.rate)
        ON CONFLICT ON CONSTRAINT key_limits_pkey
        DO UPDATE SET max_running = excluded.max_running, rate = excluded.rate;
    END IF;
    INSERT INTO pgqueue.offers (key) VALUES (limit_key.key);
    PERFORM pgqueue.ring(ARRAY(
        SELECT DISTINCT b.queue
        FROM pgqueue.blocked_jobs AS b
        WHERE b.reason = 'concurrency' AND b.key = limit_key.key
    ));
END
$$;

COMMENT ON FUNCTION pgqueue.limit_key(text, integer, text) IS
'Say how many jobs of a concurrency key may run at once, and how many may start in a time, from now
on.

Args: key: the concurrency key; max_running: how many, 0 to hold it, null for what the jobs say;
rate: how many may start in a time, as 100/m, null for what the jobs say. Both are set each time.
Errors: PQ004 for a number below 0 or a bad rate.
Locks: the row of the key.';
