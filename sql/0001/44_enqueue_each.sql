-- Purpose: enqueue jobs that may be duplicates, in one statement, and tell what became of each.
-- Called by: the Python package, for jobs that have a unique_key; enqueue_many; anybody.
-- Writes jobs (and, by its triggers, positions and unique_keys). Locks: those of take_unique_keys.
-- Errors: PQ001, PQ006, PQ007.
-- Why the ids are drawn here: RETURNING does not say which rows were left out, and gives the id of
-- some that were dropped.
-- Why a loop: the job that has the key may end between our INSERT and our look at it. Then the key
-- is free, and the job is enqueued after all.
CREATE FUNCTION pgqueue.enqueue_each(jobs jsonb)
RETURNS TABLE (job_id bigint, duplicate boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_left integer[];
    v_drawn bigint[];
    v_found bigint[] := '{}';
    v_old boolean[] := '{}';
    v_row record;
BEGIN
    IF jsonb_typeof(enqueue_each.jobs) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('jobs must be a JSON array of objects; got %s',
                coalesce(jsonb_typeof(enqueue_each.jobs), 'null'));
    END IF;
    v_left := ARRAY(SELECT generate_series(1, jsonb_array_length(enqueue_each.jobs)));
    FOR v_pass IN 1..100 LOOP
        v_drawn := ARRAY(
            SELECT nextval('pgqueue.jobs_id_seq') FROM generate_series(1, cardinality(v_left)));
        INSERT INTO pgqueue.jobs (
            id, task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts,
            meta, unique_key, unique_while, unique_for, on_duplicate, group_id, callbacks, after,
            run_if, results_as, concurrency_key, max_running, fair_key, rate
        ) OVERRIDING SYSTEM VALUE
        SELECT
            d.id, r.task, coalesce(r.args, '[]'), coalesce(r.kwargs, '{}'),
            coalesce(r.queue, 'default'), coalesce(r.priority, 0),
            coalesce(r.run_at, clock_timestamp() + make_interval(secs => r.run_in)),
            coalesce(r.expires_at, clock_timestamp() + make_interval(secs => r.expires_in)),
            r.timeout, r.max_attempts, r.meta,
            r.unique_key, r.unique_while, r.unique_for, r.on_duplicate, r.group_id, r.callbacks,
            r.after, r.run_if, r.results_as, r.concurrency_key, r.max_running, r.fair_key, r.rate
        FROM unnest(v_left, v_drawn) AS d (n, id)
        CROSS JOIN LATERAL jsonb_to_record(enqueue_each.jobs -> (d.n - 1)) AS r (
            task text, args jsonb, kwargs jsonb, queue text, priority smallint,
            run_at timestamptz, run_in double precision, expires_at timestamptz,
            expires_in double precision, timeout interval, max_attempts smallint, meta jsonb,
            unique_key text, unique_while text, unique_for interval, on_duplicate text,
            group_id bigint, callbacks jsonb, after bigint[], run_if text, results_as text,
            concurrency_key text, max_running integer, fair_key text, rate text
        )
        ORDER BY d.n;
        FOR v_row IN
            SELECT
                d.n,
                coalesce(j.id, u.job_id) AS id,
                j.id IS NULL AS old
            FROM unnest(v_left, v_drawn) AS d (n, id)
            LEFT JOIN LATERAL (
                SELECT j.id FROM pgqueue.jobs AS j WHERE j.id = d.id OFFSET 0
            ) AS j ON true
            LEFT JOIN LATERAL (
                SELECT u.job_id
                FROM pgqueue.unique_keys AS u
                WHERE j.id IS NULL
                    AND u.key = enqueue_each.jobs -> (d.n - 1) ->> 'unique_key'
                OFFSET 0
            ) AS u ON true
            ORDER BY d.n
        LOOP
            v_found[v_row.n] := v_row.id;
            v_old[v_row.n] := v_row.old;
        END LOOP;
        v_left := ARRAY(
            SELECT f.n::integer
            FROM unnest(v_found) WITH ORDINALITY AS f (id, n)
            WHERE f.id IS NULL
            ORDER BY f.n
        );
        EXIT WHEN v_left = '{}';
    END LOOP;
    RETURN QUERY
    SELECT f.id, f.old FROM unnest(v_found, v_old) WITH ORDINALITY AS f (id, old, n) ORDER BY f.n;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue_each(jsonb) IS
'Enqueue many jobs in this transaction, in one statement, and tell which were duplicates.

Args: jobs: a JSON array of objects whose keys are columns of pgqueue.jobs; only task is needed.
run_in and expires_in, in seconds, count from now.
Returns: one row a job, in the order of the array: its id, or for a duplicate that of the job that
has its unique_key; and whether it is one.
Errors: PQ001 for a job that could never run, PQ006 for a duplicate whose on_duplicate is error,
PQ007 for a queue that is full; then none is enqueued.
Locks: rows of unique_keys; it waits for transactions that are taking the same keys.';
