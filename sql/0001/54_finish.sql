-- Purpose: write down outcomes given as arrays: the form for people and workers in other languages.
-- Called by: them, with what pgqueue.dequeue gave. Moves jobs out of running_jobs (store_outcomes).
-- Locks: advisory (70677105, worker) until the end of the transaction, those of store_outcomes.
-- Errors: PQ004.
CREATE FUNCTION pgqueue.finish(
    worker_id bigint,
    job_ids bigint[],
    attempts integer[],
    states text[] DEFAULT NULL,
    results jsonb[] DEFAULT NULL,
    errors text[] DEFAULT NULL,
    delays interval[] DEFAULT NULL,
    batch_no bigint DEFAULT 0,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_wrong text;
    v_twice bigint;
    v_stale bigint[];
    v_rest json;
    v_stored record;
BEGIN
    PERFORM pg_advisory_xact_lock(70677105, (finish.worker_id % 2147483647)::integer);
    SELECT s.state INTO v_wrong
    FROM unnest(finish.states) AS s (state)
    WHERE s.state IS NULL OR s.state NOT IN ('succeeded', 'failed', 'cancelled', 'retry', 'snoozed',
        'unknown_task', 'crashed', 'interrupted', 'unstarted')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('a state must be succeeded, failed, cancelled, retry, snoozed, '
                'unknown_task, crashed, interrupted or unstarted; got %s',
                coalesce(quote_literal(v_wrong), 'null'));
    END IF;
    IF finish.job_ids IS NULL
        OR cardinality(finish.attempts) IS DISTINCT FROM cardinality(finish.job_ids)
        OR cardinality(finish.states) <> cardinality(finish.job_ids)
        OR cardinality(finish.results) <> cardinality(finish.job_ids)
        OR cardinality(finish.errors) <> cardinality(finish.job_ids)
        OR cardinality(finish.delays) <> cardinality(finish.job_ids)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format(
                'job_ids, attempts, states, results, errors and delays must be of one length; '
                'got %s, %s, %s, %s, %s and %s',
                coalesce(cardinality(finish.job_ids)::text, 'null'),
                coalesce(cardinality(finish.attempts)::text, 'null'),
                coalesce(cardinality(finish.states)::text, 'null'),
                coalesce(cardinality(finish.results)::text, 'null'),
                coalesce(cardinality(finish.errors)::text, 'null'),
                coalesce(cardinality(finish.delays)::text, 'null')),
            HINT = 'states, results, errors and delays may be left out';
    END IF;
    SELECT i.id INTO v_twice
    FROM unnest(finish.job_ids) AS i (id)
    GROUP BY i.id
    HAVING count(*) > 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('job_ids must name each job once; got %s twice',
                coalesce(v_twice::text, 'null'));
    END IF;
    -- The attempt is checked here, the worker and the batch below, under the worker's lock.
    SELECT
        array_agg(t.id) FILTER (WHERE r.job_id IS NULL),
        json_agg(json_build_object(
            'id', t.id,
            'state', coalesce(t.state, 'succeeded'),
            'us', greatest(0, extract(epoch FROM finish.at - r.started_at) * 1000000)::bigint,
            'result', t.result,
            'delay', extract(epoch FROM t.delay),
            'reason', t.error,
            'kind', CASE WHEN t.state IN ('failed', 'retry', 'crashed') THEN 'Error' END,
            'message', t.error
        ) ORDER BY t.n) FILTER (WHERE r.job_id IS NOT NULL)
    INTO v_stale, v_rest
    FROM unnest(finish.job_ids, finish.attempts, finish.states, finish.results, finish.errors,
        finish.delays) WITH ORDINALITY AS t (id, attempt, state, result, error, delay, n)
    LEFT JOIN LATERAL (
        SELECT k.job_id, k.started_at
        FROM pgqueue.running_jobs AS k
        WHERE k.job_id = t.id AND k.attempt = t.attempt
        OFFSET 0
    ) AS r ON true;
    IF v_rest IS NULL THEN
        RETURN coalesce(v_stale, '{}');
    END IF;
    SELECT s.* INTO v_stored
    FROM pgqueue.store_outcomes(
        finish.worker_id,
        json_build_array(json_build_object('batch', finish.batch_no, 'rest', v_rest)),
        finish.at
    ) AS s;
    RETURN coalesce(v_stale, '{}') || coalesce(v_stored.refused, '{}')
        || coalesce(v_stored.again, '{}');
END
$$;

COMMENT ON FUNCTION pgqueue.finish(
    bigint, bigint[], integer[], text[], jsonb[], text[], interval[], bigint, timestamptz
) IS
'Write down what became of jobs taken with pgqueue.dequeue.

Args: worker_id, batch_no: as given to pgqueue.dequeue; job_ids, attempts: as it returned them;
states: succeeded (the default), failed, cancelled, retry, snoozed, unstarted …; results: JSON or
null; errors: a message or null; delays: for retry and snoozed; at: the time it is.
Returns: the ids that were not stored: jobs that are not this worker''s any more, or that somebody
has locked just now (the latter may be sent again).
Errors: PQ004 for a state that is none, a job named twice, or arrays of different lengths.
Locks: advisory (70677105, worker); the running rows, skipping those that others hold.';
