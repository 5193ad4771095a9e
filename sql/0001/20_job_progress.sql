-- Purpose: how far a running job says it is.
-- Written by: set_progress. Deleted with its job.
-- Why not a column of running_jobs: nobody but a move may touch a position row.
CREATE TABLE pgqueue.job_progress (
    job_id bigint PRIMARY KEY,
    fraction real NOT NULL,
    note text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

COMMENT ON TABLE pgqueue.job_progress IS 'How far running jobs say they are.';
COMMENT ON COLUMN pgqueue.job_progress.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.job_progress.fraction IS '0 to 1.';
COMMENT ON COLUMN pgqueue.job_progress.note IS 'A line for people.';
COMMENT ON COLUMN pgqueue.job_progress.updated_at IS 'When it was said.';
