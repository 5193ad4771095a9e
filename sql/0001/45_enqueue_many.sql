-- Purpose: enqueue many jobs in one statement and get their ids in order.
-- Called by: people and programs. Writes jobs (and, by its triggers, positions).
-- Errors: PQ001, PQ006, PQ007.
-- Why one JSON value: it is one parameter for every driver; the ids come in the order of the array
-- because the identity is drawn in the order of the sorted scan.
-- Why the first look: a misspelt key would be passed over, and with it the arguments it names.
CREATE FUNCTION pgqueue.enqueue_many(jobs jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_keys CONSTANT text[] := '{task,args,kwargs,queue,priority,run_at,expires_at,timeout,'
        'max_attempts,meta,unique_key,unique_while,unique_for,on_duplicate,group_id,callbacks,'
        'after,run_if,results_as,concurrency_key,max_running,fair_key,rate}';
    v_refusal text;
BEGIN
    IF jsonb_typeof(enqueue_many.jobs) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('jobs must be a JSON array of objects; got %s',
                coalesce(jsonb_typeof(enqueue_many.jobs), 'null'));
    END IF;
    SELECT concat('jobs[', c.n - 1, ']', c.refusal) INTO v_refusal
    FROM (
        SELECT
            e.n,
            CASE
                WHEN jsonb_typeof(e.job) <> 'object' THEN concat(
                    ' must be a JSON object; got ', jsonb_typeof(e.job))
                WHEN e.job - v_keys <> '{}' THEN concat(
                    ' must have no keys but ', array_to_string(v_keys, ', '), '; got ',
                    quote_literal((
                        SELECT left(k.key, 60) FROM jsonb_object_keys(e.job - v_keys) AS k (key)
                        LIMIT 1
                    )))
                WHEN jsonb_typeof(e.job -> 'priority') = 'number'
                    AND (e.job ->> 'priority')::numeric NOT BETWEEN -32768 AND 32767
                THEN concat(
                    ': priority must be between -32768 and 32767; got ', e.job ->> 'priority')
                WHEN jsonb_typeof(e.job -> 'max_attempts') = 'number'
                    AND (e.job ->> 'max_attempts')::numeric NOT BETWEEN 1 AND 32767
                THEN concat(
                    ': max_attempts must be between 1 and 32767; got ', e.job ->> 'max_attempts')
            END AS refusal
        FROM jsonb_array_elements(enqueue_many.jobs) WITH ORDINALITY AS e (job, n)
    ) AS c
    WHERE c.refusal IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ001', MESSAGE = v_refusal;
    END IF;
    IF enqueue_many.jobs @? '$[*] ? (exists(@.unique_key))' THEN
        RETURN QUERY SELECT e.job_id FROM pgqueue.enqueue_each(enqueue_many.jobs) AS e;
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO pgqueue.jobs AS j
        (task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta,
        unique_while, unique_for, on_duplicate, group_id, callbacks, after, run_if, results_as,
        concurrency_key, max_running, fair_key, rate)
    SELECT
        r.task, coalesce(r.args, '[]'), coalesce(r.kwargs, '{}'), coalesce(r.queue, 'default'),
        coalesce(r.priority, 0), r.run_at, r.expires_at, r.timeout, r.max_attempts, r.meta,
        r.unique_while, r.unique_for, r.on_duplicate, r.group_id, r.callbacks, r.after, r.run_if,
        r.results_as, r.concurrency_key, r.max_running, r.fair_key, r.rate
    FROM ROWS FROM (
        jsonb_to_recordset(enqueue_many.jobs) AS (
            task text, args jsonb, kwargs jsonb, queue text, priority smallint,
            run_at timestamptz, expires_at timestamptz, timeout interval, max_attempts smallint,
            meta jsonb, unique_while text, unique_for interval, on_duplicate text, group_id bigint,
            callbacks jsonb, after bigint[], run_if text, results_as text, concurrency_key text,
            max_running integer, fair_key text, rate text
        )
    ) WITH ORDINALITY AS r (
        task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta,
        unique_while, unique_for, on_duplicate, group_id, callbacks, after, run_if, results_as,
        concurrency_key, max_running, fair_key, rate, n
    )
    ORDER BY r.n
    RETURNING j.id;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue_many(jsonb) IS
'Enqueue many jobs in this transaction, in one statement.

Args: jobs: a JSON array of objects whose keys are columns of pgqueue.jobs; only task is needed.
Returns: the ids, in the order of the array; for a duplicate, that of the job that has its
unique_key.
Errors: PQ001 for a job that could never run, or a key that is no column, PQ006 for a duplicate
whose on_duplicate is error, PQ007 for a queue that is full; then none is enqueued.';
