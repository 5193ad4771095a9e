-- Purpose: say how long the finished jobs of a queue are kept.
-- Called by: people and programs. Writes queues. It holds for jobs that end from now on.
-- Locks: the row of the queue. Errors: PQ004.
CREATE FUNCTION pgqueue.configure_queue(
    queue text,
    retention_succeeded interval DEFAULT NULL,
    retention_other interval DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pgqueue.check_queue_name(configure_queue.queue);
    IF least(configure_queue.retention_succeeded, configure_queue.retention_other) < interval '0'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'a retention must not be negative';
    END IF;
    -- Beyond the calendar no job could be written down as over; an infinite one is within it.
    IF EXISTS (
        SELECT
        FROM unnest(ARRAY[configure_queue.retention_succeeded, configure_queue.retention_other])
            AS r (retention)
        WHERE isfinite(r.retention) AND r.retention > interval '36525 days'
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'a retention must be at most 100 years';
    END IF;
    INSERT INTO pgqueue.queues AS q (name, retention_succeeded, retention_other)
    VALUES (
        configure_queue.queue, configure_queue.retention_succeeded,
        configure_queue.retention_other
    )
    ON CONFLICT (name) DO UPDATE SET
        retention_succeeded = excluded.retention_succeeded,
        retention_other = excluded.retention_other;
END
$$;

COMMENT ON FUNCTION pgqueue.configure_queue(text, interval, interval) IS
'Say how long the finished jobs of a queue are kept; it holds for jobs that end from now on.

Args: queue; retention_succeeded: for succeeded jobs, zero deletes them at once, null means 7 days;
retention_other: for failed, cancelled and expired ones, null means 30 days.
Errors: PQ004 for a bad name, or a retention that is negative or above 100 years.';
