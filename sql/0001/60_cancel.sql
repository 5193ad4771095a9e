-- Purpose: stop a job: at once where it waits, by request where it runs.
-- Called by: people and programs. Moves ready_jobs, scheduled_jobs, blocked_jobs to finished_jobs
-- (end_waiting); writes cancel_requests and notifies pgqueue_control for a running job.
-- Locks: the position row. Where a claim holds it just now, the request is written, and the attempt
-- that begins is told. Errors: PQ002.
CREATE FUNCTION pgqueue.cancel(
    job_id bigint,
    reason text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_state text;
BEGIN
    IF pgqueue.end_waiting(
        ARRAY[cancel.job_id], 'cancelled', concat_ws(': ', 'cancelled', left(cancel.reason, 500)),
        cancel.at
    ) <> '{}' THEN
        RETURN 'cancelled';
    END IF;
    SELECT f.state INTO v_state FROM pgqueue.finished_jobs AS f WHERE f.job_id = cancel.job_id;
    IF FOUND THEN
        RETURN v_state;
    END IF;
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = cancel.job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no job %s', cancel.job_id),
            HINT = 'it may have been pruned; see the retention of its queue';
    END IF;
    INSERT INTO pgqueue.cancel_requests AS c (job_id, reason, requested_at)
    VALUES (cancel.job_id, left(cancel.reason, 500), cancel.at)
    ON CONFLICT DO NOTHING;
    IF pg_notification_queue_usage() < 0.5
        AND current_setting('pgqueue.notify', true) IS DISTINCT FROM 'off'
    THEN
        PERFORM pg_notify('pgqueue_control', 'cancel');
    END IF;
    RETURN 'running';
END
$$;

COMMENT ON FUNCTION pgqueue.cancel(bigint, text, timestamptz) IS
'Stop a job.

Args: job_id; reason: a line for people, or null; at: the time it is.
Returns: cancelled for a job that was waiting; running for one a worker holds, which is asked to
stop; the state it has already for one that is over.
Errors: PQ002 when there is no such job.
Locks: the position row, skipped where a worker is just taking it.';
