-- Purpose: who counts against a limit: one row for each job that has a slot of its concurrency key
-- (from the moment it is ready), or of a queue with max_running (while it runs); and one for each
-- job that is ready and will count for the rate of its key.
-- Written by: admit, take_slots (work); deleted by release_slots when the job leaves, jobs_forget,
-- by take_rates (claim) when it starts, and by tidy where a queue got a limit while a job ended.
-- Why a row a slot and no counter: a counter is a row that everybody updates; here nobody waits for
-- anybody, and what a job has is given back by its id, whoever ends it. So nothing can leak that is
-- not a row without a job, which check_invariants would show.
CREATE TABLE pgqueue.slots (
    key text COLLATE "C" NOT NULL,
    job_id bigint NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX slots_key_idx ON pgqueue.slots (key);
CREATE INDEX slots_job_id_idx ON pgqueue.slots (job_id);

COMMENT ON TABLE pgqueue.slots IS 'One row for each job that counts against a limit.';
COMMENT ON COLUMN pgqueue.slots.key IS
'"k:" and the concurrency key; "r:" and the key, until the job starts; or "q:" and the queue.';
COMMENT ON COLUMN pgqueue.slots.job_id IS 'The job (pgqueue.jobs.id).';
