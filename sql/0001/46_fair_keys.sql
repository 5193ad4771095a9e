-- Purpose: the fair keys of a queue that have jobs waiting, in order, and the first job of each, by
-- one index descent a key.
-- Called by: take_turns. Reads blocked_jobs.
CREATE FUNCTION pgqueue.fair_keys(
    queue text,
    above text,
    most text,
    max_keys integer,
    OUT keys text[],
    OUT tids tid[]
)
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE found AS (
        (
            SELECT b.key, b.ctid AS tid, 1 AS n
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'fair' AND b.queue = fair_keys.queue AND b.key > fair_keys.above
                AND fair_keys.max_keys > 0
            ORDER BY b.key, b.priority DESC, b.seq
            LIMIT 1
        )
        UNION ALL
        SELECT b.key, b.tid, f.n + 1
        FROM found AS f
        CROSS JOIN LATERAL (
            SELECT b.key, b.ctid AS tid
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'fair' AND b.queue = fair_keys.queue AND b.key > f.key
            ORDER BY b.key, b.priority DESC, b.seq
            LIMIT 1
        ) AS b
        WHERE f.n < fair_keys.max_keys AND (fair_keys.most IS NULL OR f.key < fair_keys.most)
    )
    SELECT
        coalesce(array_agg(f.key ORDER BY f.n), '{}'), coalesce(array_agg(f.tid ORDER BY f.n), '{}')
    FROM found AS f
    WHERE fair_keys.most IS NULL OR f.key <= fair_keys.most
$$;

COMMENT ON FUNCTION pgqueue.fair_keys(text, text, text, integer) IS
'The fair keys of a queue that have jobs waiting. Internal.

Args: queue: its name; above: only those behind this one; most: only those up to this one, null for
all; max_keys: at most so many.
Returns: keys: in order; tids: where the row of the first job of each is.';
