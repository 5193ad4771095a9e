-- Purpose: who waits for the end of which job.
-- Written by: wait_for, in the waiter's own short transaction; the insert trigger, for jobs that
-- others run after which came later (the leader waits for them). Emptied by settle, when the job
-- has ended, and by tidy, once the waiter has not said for a while that it still waits.
-- Why a table and no flag of the job: a waiter comes when the job is long on its way, and nobody
-- but a move may touch a position row. While nobody waits the table is empty, and a finish looks
-- into it once a batch.
CREATE TABLE pgqueue.waiters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    until timestamptz NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX waiters_job_id_idx ON pgqueue.waiters (job_id);

COMMENT ON TABLE pgqueue.waiters IS 'Who waits for the end of a job: one row a waiter and job.';
COMMENT ON COLUMN pgqueue.waiters.id IS 'Number of the row.';
COMMENT ON COLUMN pgqueue.waiters.job_id IS
'The job (pgqueue.jobs.id), or the negative of a group''s id; need not exist yet.';
COMMENT ON COLUMN pgqueue.waiters.until IS
'When the row counts as left behind; who waits longer writes another.';
