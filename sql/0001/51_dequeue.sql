-- Purpose: take jobs as rows: the form for people and for workers in other languages.
-- Called by: them. Moves jobs from ready_jobs to running_jobs (claim).
-- Locks: advisory (70677105, worker) exclusive until the end of the transaction, those of claim.
-- Why SET clauses: plans on tables that were empty when they were analysed cannot be trusted, and
-- a custom plan for each call costs more than the call.
-- Why synchronous_commit is put back: work switches it off for a claim that commits alone, and this
-- one may stand in a transaction with writes of the caller's own.
CREATE FUNCTION pgqueue.dequeue(
    worker_id bigint,
    queues text[] DEFAULT '{*}',
    max_jobs integer DEFAULT 1,
    batch_no bigint DEFAULT 0,
    at timestamptz DEFAULT NULL
) RETURNS TABLE (
    job_id bigint,
    attempt integer,
    task text,
    args jsonb,
    kwargs jsonb,
    queue text,
    priority integer,
    timeout interval,
    max_attempts integer,
    meta jsonb
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_batch record;
    v_commit text := current_setting('synchronous_commit');
BEGIN
    SELECT w.* INTO v_batch
    FROM pgqueue.work(dequeue.worker_id, dequeue.batch_no, dequeue.queues, dequeue.max_jobs,
        at => dequeue.at) AS w;
    PERFORM set_config('synchronous_commit', v_commit, true);
    RETURN QUERY
    SELECT
        b.job_id, b.attempt, j.task, j.args, j.kwargs, r.queue, r.priority::integer,
        j.timeout, j.max_attempts::integer, j.meta
    FROM unnest(v_batch.job_ids, v_batch.attempts) WITH ORDINALITY AS b (job_id, attempt, n)
    CROSS JOIN LATERAL (
        SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = b.job_id OFFSET 0
    ) AS j
    CROSS JOIN LATERAL (
        SELECT r.* FROM pgqueue.running_jobs AS r WHERE r.job_id = b.job_id OFFSET 0
    ) AS r
    ORDER BY b.n;
END
$$;

COMMENT ON FUNCTION pgqueue.dequeue(bigint, text[], integer, bigint, timestamptz) IS
'Take up to max_jobs jobs that may run now, for a registered worker.

Args: worker_id: from pgqueue.register_worker; queues: in order of preference, {*} for every queue;
max_jobs; batch_no: a number of the caller''s that pgqueue.finish must name; at: the time it is,
null for the clock''s.
Returns: one row a job, highest priority first, first in first out within a priority; the attempt is
already counted. Answer each with pgqueue.finish, and call pgqueue.beat every 2 seconds meanwhile.
Errors: PQ005 when the worker is not registered (any more).
Locks: ready_jobs rows it takes, skipping those that others hold.';
