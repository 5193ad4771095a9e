-- Purpose: have a queue looked at again when its rate permits the next job.
-- Called by: work, under the queue's lock, when the rate is used up. Writes offers; wakes the
-- leader where that is soon. Reads queues, rate_takes.
CREATE FUNCTION pgqueue.rest(queue text, at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_at timestamptz;
BEGIN
    -- The oldest part that counts stops counting 65 parts after its beginning.
    SELECT to_timestamp((min(t.part) + 65) * q.rate_seconds / 64) INTO v_at
    FROM pgqueue.queues AS q
    JOIN pgqueue.rate_takes AS t ON t.queue = q.name
        AND t.part >= floor(extract(epoch FROM rest.at) * 64 / q.rate_seconds) - 64
    WHERE q.name = rest.queue
    GROUP BY q.rate_seconds;
    IF v_at IS NULL OR EXISTS (
        SELECT FROM pgqueue.offers AS o WHERE o.queue = rest.queue AND o.at <= v_at
    ) THEN
        RETURN;
    END IF;
    INSERT INTO pgqueue.offers (queue, at) VALUES (rest.queue, v_at);
    PERFORM pgqueue.ring_leader();
END
$$;

COMMENT ON FUNCTION pgqueue.rest(text, timestamptz) IS
'Have a queue looked at again when its rate permits the next job. Internal.

Args: queue: its name; at: the time it is.';
