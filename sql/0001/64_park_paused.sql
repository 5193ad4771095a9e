-- Purpose: let jobs that came back into paused queues wait in the line of their concurrency key, so
-- that others of the key may go on.
-- Called by: store_outcomes and rescue, for queues that jobs go back to. Reads queues; calls park.
CREATE FUNCTION pgqueue.park_paused(queues text[], at timestamptz) RETURNS void
LANGUAGE sql
AS $$
    SELECT pgqueue.park(q.name, at)
    FROM pgqueue.queues AS q
    WHERE q.name = ANY (queues) AND q.paused AND (q.resume_at IS NULL OR q.resume_at > at)
$$;

COMMENT ON FUNCTION pgqueue.park_paused(text[], timestamptz) IS
'Let jobs that came back into paused queues wait in the line of their key. Internal.

Args: queues: names, paused or not; at: the time it is.';
