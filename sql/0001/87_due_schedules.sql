-- Purpose: the schedules that are due, as the leader needs them to compute their slots.
-- Called by: the leader. Reads schedules; locks nothing: fire_schedules compares the revision.
-- Why no bitmap scan: it would fetch all that are due to give the first few.
-- Why JSON: it is one value for every driver, with times in one form whatever the session has set.
CREATE FUNCTION pgqueue.due_schedules(
    max_schedules integer DEFAULT 500,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
    SELECT jsonb_build_object(
        'at', due_schedules.at,
        'schedules', coalesce(jsonb_agg(jsonb_build_object(
            'id', d.id, 'revision', d.revision, 'kind', d.kind, 'rule', d.rule,
            'timezone', d.timezone, 'starts_at', d.starts_at, 'ends_at', d.ends_at,
            'repeats', d.repeats, 'runs', d.runs, 'sticky', d.sticky,
            'jitter', extract(epoch FROM d.jitter), 'catch_up', d.catch_up,
            'max_catch_up', d.max_catch_up, 'overlap', d.overlap, 'done_until', d.done_until,
            'last_slot', d.last_slot, 'held_slot', d.held_slot
        ) ORDER BY d.next_run_at, d.id), '[]')
    )
    FROM (
        SELECT s.*
        FROM pgqueue.schedules AS s
        WHERE s.next_run_at <= due_schedules.at
        ORDER BY s.next_run_at
        LIMIT due_schedules.max_schedules
    ) AS d
$$;

COMMENT ON FUNCTION pgqueue.due_schedules(integer, timestamptz) IS
'The schedules that are due, as the leader needs them to compute their slots.

Args: max_schedules: the most to give; at: the time it is.
Returns: an object with at and schedules, an array.';
