-- Purpose: running jobs that somebody wants stopped.
-- Written by: cancel; read by beat, which tells the worker, and by finish, which ends the job as
-- cancelled instead of giving it another attempt. Left-overs are swept by apply_cancels.
-- Why not a column of running_jobs: nobody but a move may touch a position row.
CREATE TABLE pgqueue.cancel_requests (
    job_id bigint PRIMARY KEY,
    reason text,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE pgqueue.cancel_requests IS 'Running jobs that somebody asked to stop.';
COMMENT ON COLUMN pgqueue.cancel_requests.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.cancel_requests.reason IS 'Why, in the words of who asked.';
COMMENT ON COLUMN pgqueue.cancel_requests.requested_at IS 'When it was asked.';
