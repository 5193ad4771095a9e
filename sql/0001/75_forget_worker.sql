-- Purpose: a worker says good-bye: what it still holds goes back at once.
-- Called by: the worker at the end of its shutdown; people, for a worker they know is gone.
-- Moves running_jobs to ready_jobs (store_outcomes); deletes from workers.
-- Locks: advisory (70677105, worker) until the end of the transaction, those of store_outcomes.
-- Why the worker may stay on the list: a job whose row somebody holds just now would have no
-- worker. Its heartbeat is put back instead, so that the next rescue takes it.
CREATE FUNCTION pgqueue.forget_worker(
    worker_id bigint,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_answers json;
    v_count integer := 0;
    v_again bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(70677105, (forget_worker.worker_id % 2147483647)::integer);
    SELECT json_agg(b.answer), coalesce(sum(b.n), 0) INTO v_answers, v_count
    FROM (
        SELECT
            json_build_object(
                'batch', r.batch_no,
                'rest', json_agg(json_build_object('id', r.job_id, 'state', 'interrupted'))
            ) AS answer,
            count(*) AS n
        FROM pgqueue.running_jobs AS r
        WHERE r.worker_id = forget_worker.worker_id
        GROUP BY r.batch_no
    ) AS b;
    IF v_answers IS NOT NULL THEN
        SELECT s.again INTO v_again
        FROM pgqueue.store_outcomes(forget_worker.worker_id, v_answers, forget_worker.at) AS s;
    END IF;
    IF v_again IS NULL THEN
        DELETE FROM pgqueue.workers AS w WHERE w.id = forget_worker.worker_id;
        RETURN v_count;
    END IF;
    UPDATE pgqueue.workers AS w
    SET heartbeat_at = 'epoch', is_leader = false
    WHERE w.id = forget_worker.worker_id;
    RETURN v_count - cardinality(v_again);
END
$$;

COMMENT ON FUNCTION pgqueue.forget_worker(bigint, timestamptz) IS
'Take a worker off the list; what it still holds is ready again, its attempts counted as lost.

Args: worker_id: from pgqueue.register_worker; at: the time it is.
Returns: how many jobs went back. One whose row somebody holds just now is left to pgqueue.rescue.
Locks: advisory (70677105, worker) until the end of the transaction.';
