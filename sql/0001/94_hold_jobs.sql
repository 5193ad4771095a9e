-- Purpose: lock jobs for the caller's transaction, so that nobody changes or starts them meanwhile.
-- Called by: the models of older queues, for select_for_update(): PostgreSQL locks no rows through
-- the outer joins of their views. Reads nothing else.
-- Locks: each job, then the row of its position unless it runs (django_future_place): a worker
-- passes by what is locked there. In the order that is asked for, as a SELECT would.
CREATE FUNCTION pgqueue.hold_jobs(
    ids bigint[],
    if_locked text DEFAULT 'wait',
    max_jobs bigint DEFAULT NULL
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_id bigint;
    v_number bigint := 0;
BEGIN
    FOREACH v_id IN ARRAY hold_jobs.ids LOOP
        EXIT WHEN v_number >= hold_jobs.max_jobs;
        CASE hold_jobs.if_locked
        WHEN 'fail' THEN
            PERFORM FROM pgqueue.jobs AS j WHERE j.id = v_id FOR UPDATE NOWAIT;
        WHEN 'skip' THEN
            PERFORM FROM pgqueue.jobs AS j WHERE j.id = v_id FOR UPDATE SKIP LOCKED;
        ELSE
            PERFORM FROM pgqueue.jobs AS j WHERE j.id = v_id FOR UPDATE;
        END CASE;
        CONTINUE WHEN NOT FOUND;
        PERFORM pgqueue.django_future_place(v_id);
        v_number := v_number + 1;
        RETURN NEXT v_id;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.hold_jobs(bigint[], text, bigint) IS
'Lock jobs until the end of the transaction, so that nobody changes or starts them. Internal.

Args: ids: of jobs; if_locked: what to do where another has one: wait, fail or skip; max_jobs: lock
no more than so many.
Returns: those that were locked, in the order of ids; jobs that are gone are left out.
Errors: 55P03 with fail.
Locks: the jobs, and the rows of their positions.';
