-- Purpose: the jobs that are over, with what came out of them.
-- Written by: finish, cancel, expire, rescue (crash_loop); emptied by prune and retry.
-- Why keep_until: the retention of the job's queue, added at the end of the job, makes pruning one
-- ordered scan with no join and no rows that are looked at again and again.
-- Why the partial index: people look for failures; successes do not pay for that.
CREATE TABLE pgqueue.finished_jobs (
    job_id bigint PRIMARY KEY,
    state text NOT NULL,
    attempt integer NOT NULL,
    lost integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    worker_id bigint,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL,
    result jsonb,
    error text,
    CONSTRAINT finished_jobs_state_check
        CHECK (state IN ('succeeded', 'failed', 'cancelled', 'expired'))
);

CREATE INDEX finished_jobs_keep_until_idx ON pgqueue.finished_jobs (keep_until);
CREATE INDEX finished_jobs_unhappy_idx ON pgqueue.finished_jobs (state, finished_at)
    WHERE state <> 'succeeded';

COMMENT ON TABLE pgqueue.finished_jobs IS 'Position: the job is over. One row a job.';
COMMENT ON COLUMN pgqueue.finished_jobs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.finished_jobs.state IS 'succeeded, failed, cancelled or expired.';
COMMENT ON COLUMN pgqueue.finished_jobs.attempt IS 'Attempts that were started.';
COMMENT ON COLUMN pgqueue.finished_jobs.lost IS
'Attempts among them that ended through no fault of the job.';
COMMENT ON COLUMN pgqueue.finished_jobs.crashes IS 'Attempts among them whose process died.';
COMMENT ON COLUMN pgqueue.finished_jobs.worker_id IS 'The worker of the last attempt, if any.';
COMMENT ON COLUMN pgqueue.finished_jobs.started_at IS
'Start of the last attempt: finished_at less the time the task took.';
COMMENT ON COLUMN pgqueue.finished_jobs.finished_at IS 'When the end was written down.';
COMMENT ON COLUMN pgqueue.finished_jobs.keep_until IS 'When pgqueue.prune may delete the job.';
COMMENT ON COLUMN pgqueue.finished_jobs.result IS 'What the task returned, JSON; null for None.';
COMMENT ON COLUMN pgqueue.finished_jobs.error IS
'One line saying why, for a job that did not succeed; tracebacks are in job_errors.';
