-- Purpose: the fair keys of a queue that have jobs waiting, in order, one index descent each.
-- Called by: take_turns. Reads blocked_jobs.
CREATE FUNCTION pgqueue.fair_keys(queue text, above text, most text, max_keys integer)
RETURNS text[]
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE found AS (
        (
            SELECT b.key, 1 AS n
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'fair' AND b.queue = fair_keys.queue AND b.key > fair_keys.above
            ORDER BY b.key
            LIMIT 1
        )
        UNION ALL
        SELECT
            (
                SELECT b.key
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'fair' AND b.queue = fair_keys.queue AND b.key > f.key
                ORDER BY b.key
                LIMIT 1
            ),
            f.n + 1
        FROM found AS f
        WHERE f.key IS NOT NULL AND f.n < fair_keys.max_keys
            AND (fair_keys.most IS NULL OR f.key < fair_keys.most)
    )
    SELECT coalesce(array_agg(f.key ORDER BY f.key), '{}')
    FROM found AS f
    WHERE f.key IS NOT NULL AND (fair_keys.most IS NULL OR f.key <= fair_keys.most)
$$;

COMMENT ON FUNCTION pgqueue.fair_keys(text, text, text, integer) IS
'The fair keys of a queue that have jobs waiting. Internal.

Args: queue: its name; above: only those behind this one; most: only those up to this one, null for
all; max_keys: at most so many.
Returns: the keys, in order.';
