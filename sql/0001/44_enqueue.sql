-- Purpose: enqueue one job from SQL, by named arguments, and get its id.
-- Called by: people and programs. Writes jobs (and, by its triggers, the position).
-- Errors: PQ001, PQ006, PQ007.
-- Why integer and not smallint parameters: with smallint, priority => 5 finds no function.
CREATE FUNCTION pgqueue.enqueue(
    task text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    timeout interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    meta jsonb DEFAULT NULL,
    unique_key text DEFAULT NULL,
    unique_while text DEFAULT NULL,
    unique_for interval DEFAULT NULL,
    on_duplicate text DEFAULT NULL,
    group_id bigint DEFAULT NULL,
    callbacks jsonb DEFAULT NULL,
    after bigint[] DEFAULT NULL,
    run_if text DEFAULT NULL,
    results_as text DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    max_running integer DEFAULT NULL,
    fair_key text DEFAULT NULL,
    rate text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    IF enqueue.priority NOT BETWEEN -32768 AND 32767 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('priority must be between -32768 and 32767; got %s', enqueue.priority);
    END IF;
    IF enqueue.max_attempts NOT BETWEEN 1 AND 32767 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('max_attempts must be between 1 and 32767; got %s',
                enqueue.max_attempts);
    END IF;
    FOR v_pass IN 1..100 LOOP
        INSERT INTO pgqueue.jobs AS j (
            task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta,
            unique_key, unique_while, unique_for, on_duplicate, group_id, callbacks, after, run_if,
            results_as, concurrency_key, max_running, fair_key, rate
        )
        VALUES (
            enqueue.task, coalesce(enqueue.args, '[]'), coalesce(enqueue.kwargs, '{}'),
            coalesce(enqueue.queue, 'default'), coalesce(enqueue.priority, 0), enqueue.run_at,
            enqueue.expires_at, enqueue.timeout, enqueue.max_attempts, enqueue.meta,
            enqueue.unique_key, enqueue.unique_while, enqueue.unique_for, enqueue.on_duplicate,
            enqueue.group_id, enqueue.callbacks, enqueue.after, enqueue.run_if, enqueue.results_as,
            enqueue.concurrency_key, enqueue.max_running, enqueue.fair_key, enqueue.rate
        )
        RETURNING j.id INTO v_id;
        IF enqueue.unique_key IS NULL
            OR EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = v_id)
        THEN
            RETURN v_id;
        END IF;
        SELECT u.job_id INTO v_id
        FROM pgqueue.unique_keys AS u
        WHERE u.key = enqueue.unique_key;
        IF FOUND THEN
            RETURN v_id;
        END IF;
        -- The job that had the key ended in between: now it is free.
    END LOOP;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue(
    text, jsonb, jsonb, text, integer, timestamptz, timestamptz, interval, integer, jsonb,
    text, text, interval, text, bigint, jsonb, bigint[], text, text, text, integer, text, text
) IS
'Enqueue a job in this transaction.

Args: as the columns of pgqueue.jobs, by name: task => ''mail.receipt'', args => ''[42]'',
run_at => now() + ''5 min''. Only task is needed; null means the default.
Returns: the id of the job; for a duplicate, that of the job that has the unique_key.
Errors: PQ001 for a job that could never run, PQ006 for a duplicate whose on_duplicate is error,
PQ007 for a queue that is full.
Locks: for a unique_key, its row; it waits for a transaction that is taking the same key.';
