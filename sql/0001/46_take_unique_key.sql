-- Purpose: give one job the unique key it asks for, where another has it or had it.
-- Called by: take_unique_keys, for keys that were not simply free. Reads jobs, the position tables;
-- writes unique_keys; for a duplicate that says so, ends or reschedules the job that has the key.
-- Locks: the row of the key, where it changes hands. Errors: PQ006.
-- Why a loop: whoever has the key may be gone, or another, by the time its row is ours.
CREATE FUNCTION pgqueue.take_unique_key(
    job_id bigint,
    key text,
    while_waiting boolean,
    unique_for interval,
    on_duplicate text,
    run_at timestamptz,
    at timestamptz
) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_holder bigint;
    v_named bigint;
BEGIN
    FOR v_pass IN 1..1000 LOOP
        INSERT INTO pgqueue.unique_keys AS u (key, job_id, while_waiting, held_until)
        VALUES (
            take_unique_key.key, take_unique_key.job_id, take_unique_key.while_waiting,
            take_unique_key.at + take_unique_key.unique_for
        )
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN true;
        END IF;
        SELECT u.job_id INTO v_named FROM pgqueue.unique_keys AS u
        WHERE u.key = take_unique_key.key;
        CONTINUE WHEN NOT FOUND;
        IF v_named = take_unique_key.job_id THEN
            -- It had it before, and is retried: lest the row is swept meanwhile.
            PERFORM FROM pgqueue.unique_keys AS u
            WHERE u.key = take_unique_key.key AND u.job_id = v_named
            FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
            RETURN true;
        END IF;
        v_holder := pgqueue.unique_holder(take_unique_key.key, take_unique_key.at);
        IF v_holder IS NULL THEN
            UPDATE pgqueue.unique_keys AS u
            SET job_id = take_unique_key.job_id, while_waiting = take_unique_key.while_waiting,
                held_until = take_unique_key.at + take_unique_key.unique_for
            WHERE u.key = take_unique_key.key AND u.job_id = v_named;
            IF FOUND THEN
                RETURN true;
            END IF;
            CONTINUE;
        END IF;
        CASE take_unique_key.on_duplicate
        WHEN 'error' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ006',
                MESSAGE = format(
                    'unique_key must be held by no other job; job %s has it', v_holder),
                HINT = 'wait for that job, or say what is to become of it with on_duplicate';
        WHEN 'ignore' THEN
            RETURN false;
        ELSE
            -- Whoever is changing hands with this key just now goes first.
            PERFORM FROM pgqueue.unique_keys AS u
            WHERE u.key = take_unique_key.key AND u.job_id = v_holder
            FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
            IF take_unique_key.on_duplicate = 'reschedule' THEN
                PERFORM pgqueue.reschedule_waiting(
                    v_holder, take_unique_key.run_at, take_unique_key.at);
                RETURN false;
            END IF;
            IF pgqueue.end_waiting(
                ARRAY[v_holder], 'cancelled',
                format('cancelled: replaced by job %s', take_unique_key.job_id), take_unique_key.at
            ) = '{}' THEN
                -- A worker has it, or it is over and its period is not.
                RETURN false;
            END IF;
        END CASE;
    END LOOP;
    RETURN false;
END
$$;

COMMENT ON FUNCTION pgqueue.take_unique_key(
    bigint, text, boolean, interval, text, timestamptz, timestamptz
) IS
'Give one job the unique key it asks for. Internal.

Args: job_id; key, while_waiting, unique_for, on_duplicate, run_at: what its row says; at: the time
it is.
Returns: false where it is a duplicate.
Errors: PQ006 for a duplicate whose on_duplicate is error.
Locks: the row of the key, where it changes hands.';
