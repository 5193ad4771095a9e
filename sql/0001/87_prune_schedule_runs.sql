-- Purpose: forget old runs of schedules.
-- Called by: the leader with its sweep. Deletes from schedule_runs. Locks: the rows it deletes.
-- Why the history may go: done_until is behind each of these slots. Why a floor is not needed: the
-- scan begins at the oldest, and dead entries at the low end are few: at most max_runs a sweep.
CREATE FUNCTION pgqueue.prune_schedule_runs(
    max_runs integer DEFAULT 1000,
    older_than interval DEFAULT '30 days',
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_deleted integer;
BEGIN
    DELETE FROM pgqueue.schedule_runs AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM pgqueue.schedule_runs AS k
        WHERE k.fired_at < prune_schedule_runs.at - prune_schedule_runs.older_than
        ORDER BY k.fired_at
        LIMIT prune_schedule_runs.max_runs
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END
$$;

COMMENT ON FUNCTION pgqueue.prune_schedule_runs(integer, interval, timestamptz) IS
'Forget old runs of schedules; their jobs have a retention of their own.

Args: max_runs: the most to delete; older_than: how old they must be; at: the time it is.
Returns: how many were deleted.';
