-- Purpose: start jobs of a queue again.
-- Called by: people and programs; the leader, for pauses whose time is over (resume_due).
-- Writes queues, offers. Locks: the row of the queue; those of ring.
CREATE FUNCTION pgqueue.resume(queue text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pgqueue.check_queue_name(resume.queue);
    UPDATE pgqueue.queues AS q
    SET paused = false, resume_at = NULL
    WHERE q.name = resume.queue AND q.paused;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pgqueue.unpark(ARRAY[resume.queue]);
    PERFORM pgqueue.ring(ARRAY[resume.queue]);
    RETURN true;
END
$$;

COMMENT ON FUNCTION pgqueue.resume(text) IS
'Start jobs of a paused queue again.

Args: queue.
Returns: false when it was not paused.
Errors: PQ004 for a bad name.';
