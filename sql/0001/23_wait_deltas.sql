-- Purpose: ends of jobs that could not be counted for those that run after them, since somebody
-- else held these just then.
-- Written by: apply_waits, jobs_forget. Emptied by advance.
CREATE TABLE pgqueue.wait_deltas (
    child_id bigint NOT NULL,
    ended integer NOT NULL,
    failed integer NOT NULL,
    doomed boolean NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE pgqueue.wait_deltas IS
'Ends of jobs still to be counted for those that run after them.';
COMMENT ON COLUMN pgqueue.wait_deltas.child_id IS 'The job that waits (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.wait_deltas.ended IS 'How many ended.';
COMMENT ON COLUMN pgqueue.wait_deltas.failed IS
'How many of them failed, expired or were cancelled.';
COMMENT ON COLUMN pgqueue.wait_deltas.doomed IS
'Whether one of them did not succeed, so that a job that runs only if they do never will.';
