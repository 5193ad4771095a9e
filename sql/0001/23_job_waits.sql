-- Purpose: for how many jobs a blocked job still waits.
-- Written by: the insert trigger, enqueue_flow, apply_waits, retry, retry_group. Deleted with the
-- blocked row, by whoever has locked both.
-- Why a counter: a job that runs after 10,000 others would look at all of them each time one ends.
-- Why not in blocked_jobs: position rows are never updated.
CREATE TABLE pgqueue.job_waits (
    job_id bigint PRIMARY KEY,
    remaining integer NOT NULL,
    failed integer NOT NULL DEFAULT 0,
    run_if text NOT NULL,
    late boolean NOT NULL DEFAULT false
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX job_waits_late_idx ON pgqueue.job_waits (job_id) WHERE late;

COMMENT ON TABLE pgqueue.job_waits IS 'For how many jobs a blocked job still waits.';
COMMENT ON COLUMN pgqueue.job_waits.job_id IS 'The blocked job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.job_waits.remaining IS 'How many of the jobs it runs after are not over.';
COMMENT ON COLUMN pgqueue.job_waits.failed IS
'How many of them have failed, expired or were cancelled.';
COMMENT ON COLUMN pgqueue.job_waits.run_if IS 'As pgqueue.jobs.run_if, never null.';
COMMENT ON COLUMN pgqueue.job_waits.late IS
'True where it runs after jobs that were enqueued before it: these tell it nothing, so the leader
looks at them each second.';
