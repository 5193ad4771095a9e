-- Purpose: how long a job of a queue is kept once it has ended.
-- Called by: claim, store_outcomes, cancel, expire, rescue. Reads queues.
-- Why in seconds: a day added to a time is as long as the session's time zone makes it; history
-- takes the retention off again, perhaps in another zone.
CREATE FUNCTION pgqueue.retention(queue text, state text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT coalesce(
        (
            SELECT interval '1 s' * extract(epoch FROM CASE
                WHEN retention.state = 'succeeded' THEN q.retention_succeeded
                ELSE q.retention_other
            END)::float8
            FROM pgqueue.queues AS q
            WHERE q.name = retention.queue
        ),
        CASE WHEN retention.state = 'succeeded' THEN interval '168 h' ELSE interval '720 h' END
    )
$$;

COMMENT ON FUNCTION pgqueue.retention(text, text) IS
'How long a job of this queue that ended in this state is kept.

Args: queue: its name; state: succeeded, failed, cancelled or expired.
Returns: the setting of the queue in seconds, else 7 days for succeeded and 30 days for the rest.';
