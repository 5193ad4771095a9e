-- Purpose: the jobs that are to be enqueued when a job or a group has ended so and so.
-- Called by: call_back and apply_counts. Touches no table.
-- Why no settings: so it is inlined, and what the jobs are told is put together only where one is
-- due (a callback that does not fire took 30 microseconds more).
CREATE FUNCTION pgqueue.callback_jobs(callbacks jsonb, state text, told jsonb)
RETURNS TABLE (
    n integer,
    task text,
    args jsonb,
    kwargs jsonb,
    queue text,
    priority smallint,
    meta jsonb,
    concurrency_key text,
    max_running integer,
    fair_key text,
    rate text
)
LANGUAGE sql STABLE
AS $$
    SELECT
        e.n,
        CASE jsonb_typeof(c.spec) WHEN 'string' THEN c.spec #>> '{}' ELSE c.spec ->> 'task' END,
        jsonb_build_array(told) || coalesce(c.spec -> 'args', '[]'),
        coalesce(c.spec -> 'kwargs', '{}'),
        coalesce(c.spec ->> 'queue', 'default'),
        coalesce((c.spec ->> 'priority')::smallint, 0::smallint),
        c.spec -> 'meta',
        c.spec ->> 'concurrency_key',
        (c.spec ->> 'max_running')::integer,
        c.spec ->> 'fair_key',
        c.spec ->> 'rate'
    FROM (
        VALUES
            (1, 'on_success', state = 'succeeded'),
            (2, 'on_failure', state IN ('failed', 'expired')),
            (3, 'on_finish', true)
    ) AS e (n, name, is_due)
    CROSS JOIN LATERAL (SELECT callbacks -> e.name AS spec) AS c
    WHERE e.is_due AND jsonb_typeof(c.spec) IN ('string', 'object')
$$;

COMMENT ON FUNCTION pgqueue.callback_jobs(jsonb, text, jsonb) IS
'The jobs to enqueue when something has ended. Internal.

Args: callbacks: as in pgqueue.jobs.callbacks; state: how it ended; told: what the job is given as
its first argument.
Returns: one row a job, in the order on_success, on_failure, on_finish.';
