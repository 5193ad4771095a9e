-- Purpose: how long until a schedule is due; asked by the leader together with promote.
-- Reads schedules: one descent of an index. Locks nothing.
CREATE FUNCTION pgqueue.schedules_due_in(at timestamptz DEFAULT clock_timestamp()) RETURNS float8
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
    SELECT CASE
        WHEN s.next_run_at <= schedules_due_in.at THEN 0
        ELSE extract(epoch FROM s.next_run_at - schedules_due_in.at)
    END
    FROM pgqueue.schedules AS s
    WHERE s.next_run_at IS NOT NULL
    ORDER BY s.next_run_at
    LIMIT 1
$$;

COMMENT ON FUNCTION pgqueue.schedules_due_in(timestamptz) IS
'How long until a schedule is due.

Args: at: the time it is.
Returns: seconds, 0 when one is due; null when none has anything to come.';
