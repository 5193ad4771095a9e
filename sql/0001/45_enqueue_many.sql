-- Purpose: enqueue many jobs in one statement and get their ids in order.
-- Called by: the Python client, people and programs. Writes jobs (and, by its triggers, positions).
-- Why one JSON value: it is one parameter for every driver; the ids come in the order of the array
-- because the identity is drawn in the order of the sorted scan.
CREATE FUNCTION pgqueue.enqueue_many(jobs jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(enqueue_many.jobs) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('jobs must be a JSON array of objects; got %s',
                coalesce(jsonb_typeof(enqueue_many.jobs), 'null'));
    END IF;
    RETURN QUERY
    INSERT INTO pgqueue.jobs AS j
        (task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta)
    SELECT
        r.task, coalesce(r.args, '[]'), coalesce(r.kwargs, '{}'), coalesce(r.queue, 'default'),
        coalesce(r.priority, 0), r.run_at, r.expires_at, r.timeout, r.max_attempts, r.meta
    FROM ROWS FROM (
        jsonb_to_recordset(enqueue_many.jobs) AS (
            task text, args jsonb, kwargs jsonb, queue text, priority smallint,
            run_at timestamptz, expires_at timestamptz, timeout interval, max_attempts smallint,
            meta jsonb
        )
    ) WITH ORDINALITY AS r (
        task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta, n
    )
    ORDER BY r.n
    RETURNING j.id;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue_many(jsonb) IS
'Enqueue many jobs in this transaction, in one statement.

Args: jobs: a JSON array of objects whose keys are columns of pgqueue.jobs; only task is needed.
Returns: the ids, in the order of the array.
Errors: PQ001 for a job that could never run; then none is enqueued.';
