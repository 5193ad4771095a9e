-- Purpose: the jobs a worker holds, started or waiting in its buffer.
-- Written by: claim; emptied by finish (fenced by worker and batch) and rescue. Nobody else locks
-- or changes a row here: progress and cancel requests live in tables of their own, since an UPDATE
-- of a running row beside a finish made the finish miss it (380 outcomes of 12,000 in a test).
CREATE TABLE pgqueue.running_jobs (
    job_id bigint PRIMARY KEY,
    worker_id bigint NOT NULL,
    batch_no bigint NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    attempt integer NOT NULL,
    lost integer NOT NULL,
    crashes smallint NOT NULL,
    flags integer NOT NULL,
    started_at timestamptz NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE pgqueue.running_jobs IS 'Position: a worker holds the job. One row a job.';
COMMENT ON COLUMN pgqueue.running_jobs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.running_jobs.worker_id IS
'The worker that holds it (pgqueue.workers.id).';
COMMENT ON COLUMN pgqueue.running_jobs.batch_no IS
'The worker''s own number of the claim; a finish must name it, so that a late one changes nothing.';
COMMENT ON COLUMN pgqueue.running_jobs.queue IS 'The lane it came from.';
COMMENT ON COLUMN pgqueue.running_jobs.priority IS 'The priority it came with.';
COMMENT ON COLUMN pgqueue.running_jobs.attempt IS 'Number of this attempt, 1 is the first.';
COMMENT ON COLUMN pgqueue.running_jobs.lost IS
'Attempts that ended through no fault of the job; the budget is attempt - lost.';
COMMENT ON COLUMN pgqueue.running_jobs.crashes IS 'Attempts whose process died.';
COMMENT ON COLUMN pgqueue.running_jobs.flags IS 'Features the job uses; see ready_jobs.flags.';
COMMENT ON COLUMN pgqueue.running_jobs.started_at IS 'When the worker took it.';
