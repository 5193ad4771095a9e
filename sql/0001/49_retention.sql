-- Purpose: how long a job of a queue is kept once it has ended.
-- Called by: claim, store_outcomes, cancel, expire, rescue. Reads queues.
-- Why in seconds: a day added to a time is as long as the session's time zone makes it; history
-- takes the retention off again, perhaps in another zone.
-- Why members of groups are kept for an hour at least: who waits for the group reads their results
-- when the last of them has ended.
CREATE FUNCTION pgqueue.retention(queue text, state text, flags integer DEFAULT 0)
RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT coalesce(
        (
            SELECT CASE
                WHEN (retention.flags & 256) <> 0 THEN greatest(k.keep, interval '1 h')
                ELSE k.keep
            END
            FROM (
                SELECT interval '1 s' * extract(epoch FROM CASE
                    WHEN retention.state = 'succeeded' THEN q.retention_succeeded
                    ELSE q.retention_other
                END)::float8 AS keep
                FROM pgqueue.queues AS q
                WHERE q.name = retention.queue
            ) AS k
            WHERE k.keep IS NOT NULL
        ),
        CASE WHEN retention.state = 'succeeded' THEN interval '168 h' ELSE interval '720 h' END
    )
$$;

COMMENT ON FUNCTION pgqueue.retention(text, text, integer) IS
'How long a job of this queue that ended in this state is kept.

Args: queue: its name; state: succeeded, failed, cancelled or expired; flags: of the job.
Returns: the setting of the queue in seconds, for a member of a group at least an hour; else 7 days
for succeeded and 30 days for the rest.';
