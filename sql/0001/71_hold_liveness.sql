-- Purpose: tie the worker's life to a session: when the session ends, its death is known at once.
-- Called by: the worker, on its listener session, at each (re)connect. Writes workers.
-- Locks: advisory (70677103, worker) exclusive, of the session; never waits (the session of a lost
-- connection may hold it a while longer).
CREATE FUNCTION pgqueue.hold_liveness(worker_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_held boolean := pg_try_advisory_lock(
        70677103, (hold_liveness.worker_id % 2147483647)::integer);
BEGIN
    UPDATE pgqueue.workers AS w
    SET has_lock = v_held
    WHERE w.id = hold_liveness.worker_id AND w.has_lock <> v_held;
    RETURN v_held;
END
$$;

COMMENT ON FUNCTION pgqueue.hold_liveness(bigint) IS
'Hold the lock whose release tells that this worker died.

Args: worker_id: from pgqueue.register_worker.
Returns: whether this session holds it now.
Locks: advisory (70677103, worker), of the session.';
