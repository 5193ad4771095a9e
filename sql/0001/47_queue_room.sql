-- Purpose: how many jobs may a queue start now, by its limits?
-- Called by: work, under the queue's lock, and waiting. Reads queues, slots, rate_takes.
CREATE FUNCTION pgqueue.queue_room(queue text, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT least(
        q.max_running - (
            SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'q:' || q.name
        ),
        q.rate_jobs - (
            SELECT coalesce(sum(t.n), 0)
            FROM pgqueue.rate_takes AS t
            WHERE t.queue = q.name
                AND t.part >= floor(extract(epoch FROM queue_room.at) * 64 / q.rate_seconds) - 64
        )
    )
    FROM pgqueue.queues AS q
    WHERE q.name = queue_room.queue
$$;

COMMENT ON FUNCTION pgqueue.queue_room(text, timestamptz) IS
'How many jobs a queue may start now. Internal.

Args: queue: its name; at: the time it is.
Returns: a number, maybe below 0; null without a limit.';
