-- Purpose: turn a time into an id: of the first job enqueued then or later.
-- Called by: find_jobs. Reads jobs, by some two dozen descents of its primary key.
-- Why it is right but for jobs enqueued at the same moment: the id and created_at of a row are
-- drawn one after the other. Where the clock was set back, it is one of the possible places.
CREATE FUNCTION pgqueue.first_job_at(at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    v_low bigint;
    v_high bigint;
    v_middle bigint;
    v_job record;
BEGIN
    SELECT coalesce(min(j.id), 0), coalesce(max(j.id), 0) + 1 INTO v_low, v_high
    FROM pgqueue.jobs AS j;
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        SELECT j.id, j.created_at INTO v_job
        FROM pgqueue.jobs AS j
        WHERE j.id >= v_middle
        ORDER BY j.id
        LIMIT 1;
        IF NOT FOUND OR v_job.created_at >= first_job_at.at THEN
            v_high := v_middle;
        ELSE
            v_low := v_job.id + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END
$$;

COMMENT ON FUNCTION pgqueue.first_job_at(timestamptz) IS
'Turn a time into an id. Internal.

Args: at: the time.
Returns: the id of the first job that was enqueued then or later; one past the last, if there is
none.';
