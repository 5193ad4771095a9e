-- Purpose: which job has which unique key. A key has one row, so that the index decides between
-- producers who have not committed.
-- Written by: take_unique_keys, when jobs are inserted or retried; release_unique_keys, when they
-- are over, or taken by a worker where they are unique only while waiting; sweep_unique_keys.
-- Why a row may outlive its job: a period (unique_for); or somebody held the row just when the job
-- ended, and no worker waits for a producer. A row whose job is not live any more and whose period
-- is over counts as free (unique_key_is_held): the next producer takes it, or the leader sweeps it.
CREATE TABLE pgqueue.unique_keys (
    key text COLLATE "C" PRIMARY KEY,
    job_id bigint NOT NULL,
    while_waiting boolean NOT NULL,
    held_until timestamptz
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX unique_keys_job_id_idx ON pgqueue.unique_keys (job_id);

COMMENT ON TABLE pgqueue.unique_keys IS 'The unique keys that jobs have, one row a key.';
COMMENT ON COLUMN pgqueue.unique_keys.key IS 'The key.';
COMMENT ON COLUMN pgqueue.unique_keys.job_id IS
'The job that has it (pgqueue.jobs.id); maybe deleted since, while held_until has not passed.';
COMMENT ON COLUMN pgqueue.unique_keys.while_waiting IS
'True where the job gives it back as soon as a worker takes it.';
COMMENT ON COLUMN pgqueue.unique_keys.held_until IS
'The key is taken until then, even when the job has succeeded or failed; null means no longer.';
