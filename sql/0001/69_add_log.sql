-- Purpose: write a line into the log of a running job.
-- Called by: workers in other languages, on any connection. Reads running_jobs; writes job_logs.
-- Locks: the job against being deleted meanwhile, and against another line of it at the same time.
-- Errors: PQ003, PQ004.
CREATE FUNCTION pgqueue.add_log(
    job_id bigint,
    message text,
    level text DEFAULT 'info',
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_attempt integer;
    v_n integer;
BEGIN
    IF add_log.level IS NULL OR add_log.level NOT IN ('debug', 'info', 'warning', 'error') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('level must be debug, info, warning or error; got %s',
                coalesce(quote_literal(left(add_log.level, 60)), 'null'));
    END IF;
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = add_log.job_id FOR NO KEY UPDATE;
    SELECT r.attempt INTO v_attempt
    FROM pgqueue.running_jobs AS r
    WHERE r.job_id = add_log.job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ003',
            MESSAGE = format('job %s must be running to log something', add_log.job_id);
    END IF;
    SELECT coalesce(max(l.n), 0) + 1 INTO v_n
    FROM pgqueue.job_logs AS l
    WHERE l.job_id = add_log.job_id AND l.attempt = v_attempt;
    IF v_n > 500 THEN
        RETURN NULL;
    END IF;
    INSERT INTO pgqueue.job_logs AS l (job_id, attempt, n, at, level, message)
    VALUES (
        add_log.job_id, v_attempt, v_n, add_log.at, add_log.level,
        left(coalesce(add_log.message, ''), 4096)
    );
    DELETE FROM pgqueue.job_logs AS l
    WHERE l.job_id = add_log.job_id AND l.attempt <= v_attempt - 10;
    RETURN v_n;
END
$$;

COMMENT ON FUNCTION pgqueue.add_log(bigint, text, text, timestamptz) IS
'Write a line into the log of a running job.

Args: job_id; message: shortened to 4 KiB; level: debug, info, warning or error; at: the time it is.
Returns: the number of the line within the attempt; null when the attempt has 500 already.
Errors: PQ003 when the job is not running; PQ004 for a level that is none.
Locks: the job, FOR NO KEY UPDATE.';
