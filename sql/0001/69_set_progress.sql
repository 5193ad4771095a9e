-- Purpose: say how far a running job is.
-- Called by: the task that runs, on any connection. Writes job_progress only. Locks: that row, and
-- the job against being deleted meanwhile, which would leave the row behind. Errors: PQ002, PQ004.
CREATE FUNCTION pgqueue.set_progress(
    job_id bigint,
    fraction double precision,
    note text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF set_progress.fraction IS NULL OR set_progress.fraction = 'NaN' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('fraction must be a number from 0 to 1; got %s',
                coalesce(set_progress.fraction::text, 'null'));
    END IF;
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = set_progress.job_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no job %s', set_progress.job_id);
    END IF;
    INSERT INTO pgqueue.job_progress AS p (job_id, fraction, note, updated_at)
    VALUES (
        set_progress.job_id, greatest(0, least(1, set_progress.fraction)),
        left(set_progress.note, 500), set_progress.at
    )
    ON CONFLICT ON CONSTRAINT job_progress_pkey DO UPDATE SET
        fraction = excluded.fraction, note = excluded.note, updated_at = excluded.updated_at;
END
$$;

COMMENT ON FUNCTION pgqueue.set_progress(bigint, double precision, text, timestamptz) IS
'Say how far a job is.

Args: job_id; fraction: 0 to 1, clipped; note: a line for people; at: the time it is.
Errors: PQ002 when there is no such job; PQ004 for a fraction that is no number.
Locks: the job, FOR KEY SHARE.';
