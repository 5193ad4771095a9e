-- Purpose: write down that jobs of a queue with limits have started.
-- Called by: work, under the queue's lock. Writes slots, rate_takes. Reads queues.
CREATE FUNCTION pgqueue.take_slots(queue text, ids bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_limits record;
    v_part bigint;
BEGIN
    SELECT q.max_running, q.rate_jobs, q.rate_seconds INTO v_limits
    FROM pgqueue.queues AS q
    WHERE q.name = take_slots.queue;
    IF v_limits.max_running IS NOT NULL THEN
        INSERT INTO pgqueue.slots (key, job_id)
        SELECT 'q:' || take_slots.queue, i.id FROM unnest(take_slots.ids) AS i (id);
    END IF;
    IF v_limits.rate_jobs IS NOT NULL THEN
        v_part := floor(extract(epoch FROM take_slots.at) * 64 / v_limits.rate_seconds);
        INSERT INTO pgqueue.rate_takes AS t (queue, part, n)
        VALUES (take_slots.queue, v_part, cardinality(take_slots.ids))
        ON CONFLICT ON CONSTRAINT rate_takes_pkey DO UPDATE SET n = t.n + excluded.n;
        DELETE FROM pgqueue.rate_takes AS t
        WHERE t.queue = take_slots.queue AND t.part < v_part - 65;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.take_slots(text, bigint[], timestamptz) IS
'Write down that jobs of a queue with limits have started. Internal.

Args: queue: its name; ids: the jobs; at: the time it is.';
