-- Purpose: delete a job and everything that hangs on it.
-- Called by: people. Deletes from jobs (and, by its trigger, from the rest). Reads running_jobs.
-- Locks: the job, as a plain DELETE does; then the position row, so that it cannot begin to run
-- meanwhile. In this order, in which retry and set_priority take them too. Errors: PQ003.
CREATE FUNCTION pgqueue.delete_job(job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = delete_job.job_id FOR UPDATE;
    PERFORM FROM pgqueue.ready_jobs AS r WHERE r.job_id = delete_job.job_id FOR UPDATE;
    PERFORM FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = delete_job.job_id FOR UPDATE;
    IF EXISTS (SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = delete_job.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ003',
            MESSAGE = format('job %s must not be running to be deleted', delete_job.job_id),
            HINT = 'cancel it first, or wait for it';
    END IF;
    -- Also where its period is not over: nothing is to be left of it.
    DELETE FROM pgqueue.unique_keys AS u WHERE u.job_id = delete_job.job_id;
    DELETE FROM pgqueue.jobs AS j WHERE j.id = delete_job.job_id;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION pgqueue.delete_job(bigint) IS
'Delete a job and everything that hangs on it.

Args: job_id.
Returns: false when there was none.
Errors: PQ003 when a worker holds it.';
