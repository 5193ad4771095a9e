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
    created_at timestamptz DEFAULT clock_timestamp(),
    unique_key text,
    unique_while text,
    unique_for interval,
    on_duplicate text,
    group_id bigint,
    callbacks jsonb,
    after bigint[],
    run_if text,
    results_as text,
    has_dependents boolean,
    concurrency_key text,
    max_running integer,
    fair_key text,
    rate text
);

-- Only jobs that can expire are in it: a plain job does not pay for it.
CREATE INDEX jobs_expires_at_idx ON pgqueue.jobs (expires_at) WHERE expires_at IS NOT NULL;

-- The same for members of a group.
CREATE INDEX jobs_group_id_idx ON pgqueue.jobs (group_id, id) WHERE group_id IS NOT NULL;

-- Which jobs were given a certain row of the application's. Only those that were given any are in
-- it.
CREATE INDEX jobs_objects_idx ON pgqueue.jobs USING gin ((meta -> 'pgqueue_objects'))
    WHERE meta ? 'pgqueue_objects';

-- Jobs by names that a layer above has given them, such as "django_q:id:…": one index for all that
-- look for jobs by something of their own, since each index is locked by every INSERT. Not updated
-- later (fastupdate): who enqueues a job may ask for it the next moment.
CREATE INDEX jobs_keys_idx ON pgqueue.jobs USING gin ((meta -> 'pgqueue_keys'))
    WITH (fastupdate = off) WHERE meta ? 'pgqueue_keys';

-- The jobs of pgqueue.compat.django_async, and which of them make the same call.
CREATE INDEX jobs_async_identity_idx ON pgqueue.jobs ((meta -> 'async' ->> 'identity'))
    WHERE meta ? 'async';

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
pgqueue_objects stand the rows that the arguments mean, such as shop.order:42, for its index; under
pgqueue_keys other names that the job is looked for by, an array of texts.';
COMMENT ON COLUMN pgqueue.jobs.created_at IS 'When the row was inserted, not when it committed.';
COMMENT ON COLUMN pgqueue.jobs.unique_key IS
'At most one live job has it, whatever its task: a second one is a duplicate. 1 to 1000 bytes. Null
means none.';
COMMENT ON COLUMN pgqueue.jobs.unique_while IS
'How long the job keeps its unique_key: live, until it is over, which null means too; waiting, until
a worker takes it for the first time.';
COMMENT ON COLUMN pgqueue.jobs.unique_for IS
'Keep the unique_key so long, counted from the INSERT, even when the job has succeeded or failed by
then. Null means no longer than unique_while says.';
COMMENT ON COLUMN pgqueue.jobs.on_duplicate IS
'What a duplicate does to the job that has the unique_key: ignore, which null means too, replace,
reschedule (only the time is taken over) or error.';
COMMENT ON COLUMN pgqueue.jobs.group_id IS
'The group the job is a member of (pgqueue.groups.id); null means none.';
COMMENT ON COLUMN pgqueue.jobs.callbacks IS
'Jobs to enqueue when this one is over: a JSON object with on_success, on_failure (it failed or
expired) and on_finish (always), each the name of a task, or an object with task, args, kwargs,
queue, priority, meta, concurrency_key, max_running, rate, fair_key. Their first argument is an
object that tells how this job ended.';
COMMENT ON COLUMN pgqueue.jobs.after IS
'Ids of older jobs that this one runs after: it is blocked until they are over.';
COMMENT ON COLUMN pgqueue.jobs.run_if IS
'What must have become of the jobs it runs after: succeeded (all of them have, which null means
too; else it is cancelled), finished (whatever became of them), failed (one of them has not
succeeded; else it is skipped).';
COMMENT ON COLUMN pgqueue.jobs.results_as IS
'How it is given the results of the jobs it runs after: args, one argument each before its own;
list, all of them as its first argument; null means not.';
COMMENT ON COLUMN pgqueue.jobs.has_dependents IS
'Written by pgqueue.enqueue_flow: true where jobs of the same statement run after this one.';
COMMENT ON COLUMN pgqueue.jobs.concurrency_key IS
'At most max_running jobs that have it run at once, whatever their task; the others wait in its
line. 1 to 1000 bytes. Null means none.';
COMMENT ON COLUMN pgqueue.jobs.max_running IS
'How many jobs of the concurrency_key may run at once while this one is the first of its line. Null
means 1; where rate is given, any number.';
COMMENT ON COLUMN pgqueue.jobs.fair_key IS
'Jobs of a queue that have one are taken in turn, one of each key, as of each customer. 1 to 1000
bytes; not together with a concurrency_key. Null means none: such jobs go before those that do.';
COMMENT ON COLUMN pgqueue.jobs.rate IS
'How many jobs of the concurrency_key may start in a time, as 100/m, while this one is the first of
its line. Null means any number.';
