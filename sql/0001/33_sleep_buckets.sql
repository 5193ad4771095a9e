-- Purpose: the doorbell's buckets of a worker that takes these queues.
-- Called by: arm, disarm. Touches no table.
CREATE FUNCTION pgqueue.sleep_buckets(queues text[], leader boolean) RETURNS integer[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT b.bucket ORDER BY b.bucket), '{}')
    FROM (
        SELECT CASE WHEN q.name = '*' THEN 64 ELSE pgqueue.bucket(q.name) END AS bucket
        FROM unnest(queues) AS q (name)
        UNION ALL
        SELECT 65 WHERE leader
    ) AS b
$$;

COMMENT ON FUNCTION pgqueue.sleep_buckets(text[], boolean) IS
'The buckets a worker of these queues sleeps on.

Args: queues: names, or {*}; leader: whether it also waits for due jobs.
Returns: distinct buckets, ascending.';
