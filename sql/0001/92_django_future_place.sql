-- Purpose: tell where a job of pgqueue.compat.django_future stands, and keep it there.
-- Called by: django_future_store. Reads the five position tables.
-- Locks: the position row of a job that does not run, waiting for who holds it.
-- Why a loop: the job may move from one table to another between two of the statements.
CREATE FUNCTION pgqueue.django_future_place(job_id bigint) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_place text;
BEGIN
    FOR v_pass IN 1..10 LOOP
        PERFORM FROM pgqueue.ready_jobs AS r WHERE r.job_id = django_future_place.job_id FOR UPDATE;
        v_place := CASE WHEN FOUND THEN 'waiting' END;
        EXIT WHEN FOUND;
        PERFORM FROM pgqueue.scheduled_jobs AS s
        WHERE s.job_id = django_future_place.job_id
        FOR UPDATE;
        v_place := CASE WHEN FOUND THEN 'waiting' END;
        EXIT WHEN FOUND;
        PERFORM FROM pgqueue.blocked_jobs AS b
        WHERE b.job_id = django_future_place.job_id
        FOR UPDATE;
        v_place := CASE WHEN FOUND THEN 'waiting' END;
        EXIT WHEN FOUND;
        PERFORM FROM pgqueue.finished_jobs AS f
        WHERE f.job_id = django_future_place.job_id
        FOR UPDATE;
        v_place := CASE WHEN FOUND THEN 'over' END;
        EXIT WHEN FOUND;
        PERFORM FROM pgqueue.running_jobs AS r WHERE r.job_id = django_future_place.job_id;
        v_place := CASE WHEN FOUND THEN 'running' END;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN v_place;
END
$$;

COMMENT ON FUNCTION pgqueue.django_future_place(bigint) IS
'Tell where a job of pgqueue.compat.django_future stands, and keep it there. Internal.

Args: job_id.
Returns: waiting, running or over.
Locks: the position row, unless it runs.';
