-- Purpose: start no job of a queue until it is resumed.
-- Called by: people and programs. Writes queues; moves ready_jobs that have a concurrency key back
-- to blocked_jobs, and lets others of the key go on (park). Locks: the row of the queue; the rows
-- it moves, skipping those that a worker is just taking; those of admit and ring. Errors: PQ004.
-- Why: in a paused queue a job would keep the slot of its key from jobs of other queues.
CREATE FUNCTION pgqueue.pause(
    queue text,
    resume_in interval DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pgqueue.check_queue_name(pause.queue);
    IF pause.resume_in <= interval '0' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('resume_in must be longer than nothing; got %s', pause.resume_in);
    END IF;
    INSERT INTO pgqueue.queues AS q (name, paused, resume_at)
    VALUES (pause.queue, true, pause.at + pause.resume_in)
    ON CONFLICT (name) DO UPDATE SET paused = true, resume_at = excluded.resume_at;
    PERFORM pgqueue.park(pause.queue, pause.at);
END
$$;

COMMENT ON FUNCTION pgqueue.pause(text, interval, timestamptz) IS
'Start no job of a queue until it is resumed; running ones go on, new ones may be enqueued.

Args: queue; resume_in: when it resumes by itself, or null; at: the time it is.
Errors: PQ004 for a bad name or time.';
