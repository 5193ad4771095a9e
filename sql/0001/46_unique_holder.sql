-- Purpose: which job has this unique key, if it still counts?
-- Called by: the insert triggers, take_unique_keys. Reads unique_keys, jobs, the position tables.
-- Locks: nothing; but where the job keeps the key only while it waits, its position row, FOR KEY
-- SHARE until the end of the transaction, never waiting.
-- Why that lock: whoever drops a job as the duplicate of a waiting one counts on that one to start
-- later than the commit of what it has just written. So no worker takes it before; a row that a
-- worker is just taking cannot be locked, and its job does not wait any more.
CREATE FUNCTION pgqueue.unique_holder(key text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_row record;
    v_found record;
BEGIN
    SELECT u.job_id, u.while_waiting, u.held_until INTO v_row
    FROM pgqueue.unique_keys AS u
    WHERE u.key = unique_holder.key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_row.held_until > unique_holder.at AND NOT EXISTS (
        -- Then somebody held the row just when its job ended, and it is left behind.
        SELECT FROM pgqueue.finished_jobs AS f
        WHERE f.job_id = v_row.job_id AND f.state IN ('cancelled', 'expired')
    ) THEN
        RETURN v_row.job_id;
    END IF;
    IF NOT v_row.while_waiting THEN
        RETURN (
            SELECT j.id
            FROM pgqueue.jobs AS j
            WHERE j.id = v_row.job_id
                AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
        );
    END IF;
    -- Again, since it may move from one table to another between two of the looks.
    FOR v_pass IN 1..3 LOOP
        PERFORM FROM pgqueue.ready_jobs AS r
        WHERE r.job_id = v_row.job_id
        FOR KEY SHARE SKIP LOCKED;
        IF NOT FOUND THEN
            PERFORM FROM pgqueue.scheduled_jobs AS s
            WHERE s.job_id = v_row.job_id
            FOR KEY SHARE SKIP LOCKED;
        END IF;
        IF NOT FOUND THEN
            PERFORM FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = v_row.job_id
            FOR KEY SHARE SKIP LOCKED;
        END IF;
        IF FOUND THEN
            RETURN v_row.job_id;
        END IF;
        SELECT
            EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = v_row.job_id)
            OR EXISTS (SELECT FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = v_row.job_id)
            OR EXISTS (SELECT FROM pgqueue.blocked_jobs AS b WHERE b.job_id = v_row.job_id)
                AS waits,
            EXISTS (SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = v_row.job_id)
            OR EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = v_row.job_id)
            OR NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = v_row.job_id)
                AS has_begun
        INTO v_found;
        IF NOT v_found.waits THEN
            -- Neither: it stands before us in the statement that is being filed.
            RETURN CASE WHEN NOT v_found.has_begun THEN v_row.job_id END;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.unique_holder(text, timestamptz) IS
'Which job has a unique key. Internal.

Args: key; at: the time it is.
Returns: the job, or null where the key is free. Within a period (unique_for) it may have succeeded
or failed, or be deleted.
Locks: the position row of a job that is unique only while it waits.';
