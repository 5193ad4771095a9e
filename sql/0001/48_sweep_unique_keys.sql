-- Purpose: delete the rows of unique keys that nobody has any more: the period is over, or the job
-- ended just when a producer held the row.
-- Called by: the leader every few seconds, key after key; idempotent, anybody may. Reads jobs and
-- the position tables; deletes from unique_keys. Locks: those rows, skipping what others hold.
-- Why no hurry: such a row counts as free already.
CREATE FUNCTION pgqueue.sweep_unique_keys(
    above text DEFAULT '',
    max_keys integer DEFAULT 1000,
    at timestamptz DEFAULT clock_timestamp(),
    OUT swept integer,
    OUT reached text
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_keys text[] := ARRAY(
        SELECT u.key
        FROM pgqueue.unique_keys AS u
        WHERE u.key > sweep_unique_keys.above
        ORDER BY u.key
        LIMIT sweep_unique_keys.max_keys
    );
    v_idle text[];
BEGIN
    SELECT array_agg(u.key) INTO v_idle
    FROM (
        SELECT u.key
        FROM pgqueue.unique_keys AS u
        WHERE u.key = ANY (v_keys)
            AND pgqueue.is_left(u.job_id, u.while_waiting, u.held_until, sweep_unique_keys.at)
        FOR UPDATE SKIP LOCKED
    ) AS u;
    -- Once more, now that they are ours: a key may have got another job meanwhile, which the first
    -- look could not see.
    DELETE FROM pgqueue.unique_keys AS u
    WHERE u.key = ANY (v_idle)
        AND pgqueue.is_left(u.job_id, u.while_waiting, u.held_until, sweep_unique_keys.at);
    GET DIAGNOSTICS sweep_unique_keys.swept = ROW_COUNT;
    sweep_unique_keys.reached := CASE
        WHEN cardinality(v_keys) < sweep_unique_keys.max_keys THEN ''
        ELSE v_keys[cardinality(v_keys)]
    END;
END
$$;

COMMENT ON FUNCTION pgqueue.sweep_unique_keys(text, integer, timestamptz) IS
'Delete the rows of unique keys that nobody has any more.

Args: above: look at keys behind this one; max_keys: the most to look at; at: the time it is.
Returns: swept: how many; reached: above, for the next call.
Locks: the rows it deletes, skipping those that others hold.';
