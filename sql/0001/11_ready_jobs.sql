-- Purpose: the jobs that may run now.
-- Written by: the insert trigger, promote, retry, rescue, finish (jobs given back unstarted);
-- emptied by claim, cancel, expire. Rows are inserted and deleted, never updated: an UPDATE beside
-- a move makes the move miss the row.
-- Why seq: a job enters with its own id as seq; after a wait (promote, retry) it re-enters with a
-- fresh number of the same sequence, so that within a priority the order is that of entering, and a
-- worker can start its scan above the last seq it took instead of walking the dead entries below
-- (50_claim.sql). A job that a worker gave back or lost has waited its turn: it re-enters with its
-- own id, before the others.
CREATE TABLE pgqueue.ready_jobs (
    queue text NOT NULL,
    priority smallint NOT NULL,
    seq bigint NOT NULL,
    job_id bigint NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    flags integer NOT NULL DEFAULT 0
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX ready_jobs_dequeue_idx ON pgqueue.ready_jobs (queue, priority DESC, seq);
CREATE UNIQUE INDEX ready_jobs_job_id_idx ON pgqueue.ready_jobs (job_id);

COMMENT ON TABLE pgqueue.ready_jobs IS 'Position: the job may run now. One row a job.';
COMMENT ON COLUMN pgqueue.ready_jobs.queue IS 'The lane it waits in.';
COMMENT ON COLUMN pgqueue.ready_jobs.priority IS 'Higher first.';
COMMENT ON COLUMN pgqueue.ready_jobs.seq IS 'Order of entering; lower first within a priority.';
COMMENT ON COLUMN pgqueue.ready_jobs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.ready_jobs.attempt IS 'Attempts started so far.';
COMMENT ON COLUMN pgqueue.ready_jobs.lost IS
'Attempts that ended through no fault of the job; the budget is attempt - lost.';
COMMENT ON COLUMN pgqueue.ready_jobs.crashes IS 'Attempts whose process died.';
COMMENT ON COLUMN pgqueue.ready_jobs.flags IS
'Features the job uses, a bitmask: 1 expires, 2 has a timeout, max_attempts or meta of its own, 4
has a unique_key, 8 gives it back when a worker takes the job, 16 has a concurrency_key, 32 a
fair_key, 64 counts for the rate of its key when it starts, 128 says how many jobs of its key may
run or start, 256 is in a group, 512 has callbacks, 1024 others run after it, 2048 takes the results
of others, 4096 runs after others, 8192 and not before a time.';
