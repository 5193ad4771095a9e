-- Purpose: how long a job of a queue is kept once it has ended.
-- Called by: claim, store_outcomes, cancel, expire, rescue. Reads queues.
CREATE FUNCTION pgqueue.retention(queue text, state text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT coalesce(
        (
            SELECT CASE WHEN retention.state = 'succeeded' THEN q.retention_succeeded
                        ELSE q.retention_other END
            FROM pgqueue.queues AS q
            WHERE q.name = retention.queue
        ),
        CASE WHEN retention.state = 'succeeded' THEN interval '7 days' ELSE interval '30 days' END
    )
$$;

COMMENT ON FUNCTION pgqueue.retention(text, text) IS
'How long a job of this queue that ended in this state is kept.

Args: queue: its name; state: succeeded, failed, cancelled or expired.
Returns: the setting of the queue, else 7 days for succeeded and 30 days for the rest.';
