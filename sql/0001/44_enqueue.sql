-- Purpose: enqueue one job from SQL, by named arguments, and get its id.
-- Called by: people and programs. Writes jobs (and, by its triggers, the position).
-- Errors: PQ001.
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
    meta jsonb DEFAULT NULL
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
    INSERT INTO pgqueue.jobs AS j
        (task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta)
    VALUES (
        enqueue.task, coalesce(enqueue.args, '[]'), coalesce(enqueue.kwargs, '{}'),
        coalesce(enqueue.queue, 'default'), coalesce(enqueue.priority, 0), enqueue.run_at,
        enqueue.expires_at, enqueue.timeout, enqueue.max_attempts, enqueue.meta
    )
    RETURNING j.id INTO v_id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue(
    text, jsonb, jsonb, text, integer, timestamptz, timestamptz, interval, integer, jsonb
) IS
'Enqueue a job in this transaction.

Args: as the columns of pgqueue.jobs, by name: task => ''mail.receipt'', args => ''[42]'',
run_at => now() + ''5 min''. Only task is needed; null means the default.
Returns: the id of the job.
Errors: PQ001 for a job that could never run.';
