-- Purpose: what went wrong, one row for each attempt that failed or was lost.
-- Written by: finish, rescue. Deleted with its job. Read by people only.
CREATE TABLE pgqueue.job_errors (
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    traceback text
);

CREATE INDEX job_errors_job_id_idx ON pgqueue.job_errors (job_id);

COMMENT ON TABLE pgqueue.job_errors IS 'One row for each attempt that did not end well.';
COMMENT ON COLUMN pgqueue.job_errors.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.job_errors.attempt IS 'Number of the attempt.';
COMMENT ON COLUMN pgqueue.job_errors.at IS 'When it was written down.';
COMMENT ON COLUMN pgqueue.job_errors.kind IS
'Class of the exception, or what happened to the process: lost, crashed.';
COMMENT ON COLUMN pgqueue.job_errors.message IS 'Its message, shortened to 4 KiB.';
COMMENT ON COLUMN pgqueue.job_errors.traceback IS
'Its traceback, without local variables, shortened to 16 KiB.';
