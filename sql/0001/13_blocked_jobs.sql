-- Purpose: the jobs that wait for something other than time: another job, a free slot of a key.
-- Written by: the insert trigger and retry_group, for jobs that run after others (reason after),
-- and for jobs of which a deadlock left open whether they are duplicates (unique_key); hold_back,
-- for jobs that have a concurrency key or a fair key; hold_last, for the last job of a group.
-- Emptied by apply_waits, admit, take_turns, settle_unique_keys, release_last, end_waiting, expire.
-- Why one collation for all keys: that of a function's argument is that of whatever it is called
-- with, and an index of another collation is not used.
CREATE TABLE pgqueue.blocked_jobs (
    job_id bigint PRIMARY KEY,
    reason text NOT NULL,
    key text COLLATE "C",
    queue text NOT NULL,
    priority smallint NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    flags integer NOT NULL DEFAULT 0
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX blocked_jobs_line_idx ON pgqueue.blocked_jobs (key, priority DESC, seq)
    WHERE reason = 'concurrency';
CREATE INDEX blocked_jobs_fair_idx
    ON pgqueue.blocked_jobs (queue, key, priority DESC, seq)
    WHERE reason = 'fair';
CREATE INDEX blocked_jobs_queue_idx ON pgqueue.blocked_jobs (queue);
CREATE INDEX blocked_jobs_unique_idx ON pgqueue.blocked_jobs (job_id) WHERE reason = 'unique_key';

COMMENT ON TABLE pgqueue.blocked_jobs IS
'Position: the job waits for another job or for a free slot. One row a job.';
COMMENT ON COLUMN pgqueue.blocked_jobs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.blocked_jobs.seq IS
'Its place in the line of the key; lower first within a priority.';
COMMENT ON COLUMN pgqueue.blocked_jobs.reason IS
'What it waits for: after (other jobs), concurrency (a slot of its key), fair (its turn), group (all
others of its group), unique_key (the leader, to tell whether it is a duplicate).';
COMMENT ON COLUMN pgqueue.blocked_jobs.key IS 'The key whose slot it waits for, if any.';
COMMENT ON COLUMN pgqueue.blocked_jobs.queue IS 'The lane it will wait in.';
COMMENT ON COLUMN pgqueue.blocked_jobs.priority IS 'Higher first.';
COMMENT ON COLUMN pgqueue.blocked_jobs.attempt IS 'Attempts started so far.';
COMMENT ON COLUMN pgqueue.blocked_jobs.lost IS
'Attempts that ended through no fault of the job; the budget is attempt - lost.';
COMMENT ON COLUMN pgqueue.blocked_jobs.crashes IS 'Attempts whose process died.';
COMMENT ON COLUMN pgqueue.blocked_jobs.flags IS 'Features the job uses; see ready_jobs.flags.';
