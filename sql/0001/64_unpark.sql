-- Purpose: have the concurrency keys looked at whose jobs wait in these queues.
-- Called by: resume, resume_due; set_queue. Writes offers. Reads blocked_jobs. Locks: nothing.
CREATE FUNCTION pgqueue.unpark(queues text[]) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO pgqueue.offers (key)
    SELECT DISTINCT b.key
    FROM pgqueue.blocked_jobs AS b
    WHERE b.queue = ANY (queues) AND b.reason = 'concurrency'
$$;

COMMENT ON FUNCTION pgqueue.unpark(text[]) IS
'Have the concurrency keys looked at whose jobs wait in these queues. Internal.

Args: queues: names.';
