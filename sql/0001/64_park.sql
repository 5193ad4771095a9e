-- Purpose: let the ready jobs of a paused queue that have a concurrency key wait in its line, so
-- that others of the key may go on.
-- Called by: pause; set_queue, for a job that comes into a paused queue.
-- Moves ready_jobs to blocked_jobs (hold_back); gives their slots back (release_slots).
-- Locks: the rows it moves, skipping those that others hold; those of admit and ring.
CREATE FUNCTION pgqueue.park(queue text, at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM pgqueue.slots) THEN
        RETURN;
    END IF;
    v_ids := ARRAY(
        SELECT r.job_id
        FROM pgqueue.ready_jobs AS r
        WHERE r.queue = park.queue AND (r.flags & 16) <> 0
        ORDER BY r.priority DESC, r.seq
        FOR UPDATE SKIP LOCKED
    );
    IF v_ids <> '{}' THEN
        PERFORM pgqueue.hold_back(v_ids), pgqueue.release_slots(v_ids, 'k', park.at, true);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.park(text, timestamptz) IS
'Let the ready jobs of a paused queue wait in the line of their concurrency key. Internal.

Args: queue: its name; at: the time it is.';
