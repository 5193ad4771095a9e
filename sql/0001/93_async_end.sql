-- Purpose: end a waiting job by hand, as something that was executed or cancelled.
-- Called by: the triggers of async_jobs. Moves the job to finished_jobs (end_waiting).
-- Locks: the position row. One that runs is left alone: what becomes of it is its worker's to say.
-- Why it is kept from now on: what is said to have ended long ago was not pruned meanwhile.
CREATE FUNCTION pgqueue.async_end(
    job_id bigint,
    state text,
    ended_at timestamptz,
    started_at timestamptz,
    result jsonb,
    at timestamptz
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF pgqueue.end_waiting(
        ARRAY[async_end.job_id], async_end.state,
        CASE WHEN async_end.state = 'cancelled' THEN 'cancelled' END, async_end.ended_at
    ) = '{}' THEN
        RETURN;
    END IF;
    UPDATE pgqueue.finished_jobs AS f
    SET started_at = async_end.started_at,
        result = CASE WHEN f.state = 'succeeded' THEN nullif(async_end.result, 'null') END,
        keep_until = async_end.at + pgqueue.retention(j.queue, f.state)
    FROM pgqueue.jobs AS j
    WHERE f.job_id = async_end.job_id AND j.id = f.job_id;
END
$$;

COMMENT ON FUNCTION pgqueue.async_end(bigint, text, timestamptz, timestamptz, jsonb, timestamptz) IS
'End a waiting job of django-async by hand. Internal.

Args: job_id; state: succeeded or cancelled; ended_at, started_at: what is said of it; result: JSON,
or null; at: the time it is.
Locks: the position row.';
