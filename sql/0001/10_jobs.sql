-- Purpose: what is to be done. One row a job, written once by its producer and never changed.
-- Written by: producers (INSERT, COPY, pgqueue.enqueue); deleted by pgqueue.prune and delete_job.
-- Where the job stands is a row in exactly one of ready_jobs, scheduled_jobs, blocked_jobs,
-- running_jobs, finished_jobs; the trigger in 41_jobs_file.sql makes the first of these rows.
-- Why nothing here is NOT NULL or CHECKed: such an error prints the whole row, arguments included,
-- into the client's exception and the server's log. 40_refusal.sql refuses without printing.
-- Why no UPDATE: a payload of 1 MB is written to WAL once, whatever happens to the job later.
CREATE TABLE pgqueue.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    queue text DEFAULT 'default',
    priority smallint DEFAULT 0,
    run_at timestamptz,
    expires_at timestamptz,
    timeout interval,
    max_attempts smallint,
    meta jsonb,
    created_at timestamptz DEFAULT clock_timestamp()
);

-- Only jobs that can expire are in it: a plain job does not pay for it.
CREATE INDEX jobs_expires_at_idx ON pgqueue.jobs (expires_at) WHERE expires_at IS NOT NULL;

-- Which jobs were given a certain row of the application's. Only those that were given any are in
-- it.
CREATE INDEX jobs_objects_idx ON pgqueue.jobs USING gin ((meta -> 'pgqueue_objects'))
    WHERE meta ? 'pgqueue_objects';

COMMENT ON TABLE pgqueue.jobs IS
'One row a job: run this task with these arguments. INSERT here to enqueue; never UPDATE.';
COMMENT ON COLUMN pgqueue.jobs.id IS 'Given by the database; not the order of commits.';
COMMENT ON COLUMN pgqueue.jobs.task IS
'Name of the task, as the worker knows it, mostly module.function. 1 to 500 bytes.';
COMMENT ON COLUMN pgqueue.jobs.args IS 'Positional arguments, a JSON array. Default [].';
COMMENT ON COLUMN pgqueue.jobs.kwargs IS 'Keyword arguments, a JSON object. Default {}.';
COMMENT ON COLUMN pgqueue.jobs.queue IS
'The lane the job waits in, 1 to 200 bytes, not "*". Default "default".';
COMMENT ON COLUMN pgqueue.jobs.priority IS 'Higher first, -32768 to 32767. Default 0.';
COMMENT ON COLUMN pgqueue.jobs.run_at IS
'Earliest start; null means now. "infinity" parks the job until somebody retries it.';
COMMENT ON COLUMN pgqueue.jobs.expires_at IS
'Latest start: a job that has not started by then ends as expired. Null means never.';
COMMENT ON COLUMN pgqueue.jobs.timeout IS
'Longest run of one attempt. Null means the limit of the task.';
COMMENT ON COLUMN pgqueue.jobs.max_attempts IS
'How many attempts may fail before the job does, at least 1. Null means the number of the task.';
COMMENT ON COLUMN pgqueue.jobs.meta IS
'A JSON object of the producer''s own, shown beside the job and given to the task''s context. Under
pgqueue_objects stand the rows that the arguments mean, such as shop.order:42, for its index.';
COMMENT ON COLUMN pgqueue.jobs.created_at IS 'When the row was inserted, not when it committed.';
