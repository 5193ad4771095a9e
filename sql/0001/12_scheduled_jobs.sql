-- Purpose: the jobs that run later: delayed, waiting for another attempt, snoozed, crashed, or
-- naming a task that no worker knew.
-- Written by: the insert trigger, finish, retry; emptied by promote, cancel, expire, retry.
-- Why its own table: in the peers that keep future jobs beside the ready ones, 100,000 of them cost
-- every claim 1,200 to 1,700 buffers; here they cost it none.
CREATE TABLE pgqueue.scheduled_jobs (
    job_id bigint PRIMARY KEY,
    run_at timestamptz NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    flags integer NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT 'delayed'
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX scheduled_jobs_run_at_idx ON pgqueue.scheduled_jobs (run_at);

COMMENT ON TABLE pgqueue.scheduled_jobs IS 'Position: the job runs at run_at. One row a job.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.scheduled_jobs.run_at IS 'When it becomes ready.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.queue IS 'The lane it will wait in.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.priority IS 'Higher first.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.attempt IS 'Attempts started so far.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.lost IS
'Attempts that ended through no fault of the job; the budget is attempt - lost.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.crashes IS 'Attempts whose process died.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.flags IS 'Features the job uses; see ready_jobs.flags.';
COMMENT ON COLUMN pgqueue.scheduled_jobs.reason IS
'Why it waits: delayed, retry, snoozed, crashed or unknown_task.';
