-- Purpose: finish the cancels that met their job on the move: requested while it ran, and by then
-- it was waiting again, or over.
-- Called by: the leader every few seconds; idempotent, anybody may. Deletes from cancel_requests;
-- moves waiting jobs to finished_jobs (cancel).
-- Locks: the requests by job id and their jobs against deletion, skipping those that others hold;
-- those of cancel. So it never waits for a row.
CREATE FUNCTION pgqueue.apply_cancels(at timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_request record;
    v_count integer := 0;
BEGIN
    FOR v_request IN
        SELECT c.job_id, c.reason
        FROM pgqueue.cancel_requests AS c
        WHERE NOT EXISTS (SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = c.job_id)
        ORDER BY c.job_id
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM FROM pgqueue.jobs AS j
        WHERE j.id = v_request.job_id
        FOR KEY SHARE SKIP LOCKED;
        IF FOUND THEN
            -- "running" also means that a claim holds the row just now: then the request must stay.
            CONTINUE WHEN
                pgqueue.cancel(v_request.job_id, v_request.reason, apply_cancels.at) = 'running';
        ELSIF EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = v_request.job_id) THEN
            -- Somebody is deleting it.
            CONTINUE;
        END IF;
        DELETE FROM pgqueue.cancel_requests AS c WHERE c.job_id = v_request.job_id;
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.apply_cancels(timestamptz) IS
'Finish the cancels whose job left its worker before the request reached it.

Args: at: the time it is.
Returns: how many requests were settled.';
