-- Purpose: what does the database think this worker holds?
-- Called by: the supervisor when the reply of a work() was lost or its connection was new.
-- Reads running_jobs; writes workers. Locks: advisory (70677105, worker) until the end of the
-- transaction, so that it waits for a late work() of the same worker instead of running beside it;
-- the row of the worker.
-- Why a fence: a work() that has not even reached the server yet cannot be waited for. One that
-- comes after the answer is refused by its number.
CREATE FUNCTION pgqueue.held(worker_id bigint, fence bigint DEFAULT NULL)
RETURNS TABLE (job_id bigint, attempt integer, batch_no bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(70677105, (held.worker_id % 2147483647)::integer);
    UPDATE pgqueue.workers AS w
    SET fence = greatest(w.fence, held.fence)
    WHERE w.id = held.worker_id AND held.fence IS NOT NULL;
    RETURN QUERY
    SELECT r.job_id, r.attempt, r.batch_no
    FROM pgqueue.running_jobs AS r
    WHERE r.worker_id = held.worker_id
    ORDER BY r.job_id;
END
$$;

COMMENT ON FUNCTION pgqueue.held(bigint, bigint) IS
'The jobs a worker holds, as the database sees it.

Args: worker_id: from pgqueue.register_worker; fence: the last batch_no that was used: a call of
pgqueue.work with it, or with a lower one, that comes later is refused; null for none.
Returns: job, attempt and batch of each.
Locks: advisory (70677105, worker) until the end of the transaction; the row of the worker.';
