-- Purpose: TRUNCATE of jobs empties what hangs on them too.
-- Fired by: TRUNCATE on jobs. Truncates the five position tables, job_errors, job_progress,
-- job_logs, cancel_requests, unique_keys, slots, offers, key_takes, turns, and what there is of
-- groups and dependencies. Locks: ACCESS EXCLUSIVE on each, as TRUNCATE does.
CREATE FUNCTION pgqueue.jobs_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    TRUNCATE pgqueue.ready_jobs, pgqueue.scheduled_jobs, pgqueue.blocked_jobs,
        pgqueue.running_jobs, pgqueue.finished_jobs, pgqueue.job_errors, pgqueue.job_progress,
        pgqueue.job_logs, pgqueue.cancel_requests, pgqueue.unique_keys, pgqueue.slots,
        pgqueue.offers, pgqueue.key_takes, pgqueue.turns, pgqueue.job_dependencies,
        pgqueue.job_waits, pgqueue.wait_deltas, pgqueue.groups, pgqueue.group_deltas;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_truncate() IS
'Empty the tables that hang on jobs when jobs is truncated.';

CREATE TRIGGER jobs_truncate
BEFORE TRUNCATE ON pgqueue.jobs
FOR EACH STATEMENT
EXECUTE FUNCTION pgqueue.jobs_truncate();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_truncate;

COMMENT ON TRIGGER jobs_truncate ON pgqueue.jobs IS
'Empties what hangs on jobs.';
