-- Purpose: let a schedule make no jobs until it is resumed.
-- Called by: people and programs. Writes schedules. Locks: the row of the schedule.
CREATE FUNCTION pgqueue.pause_schedule(
    name text,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    UPDATE pgqueue.schedules AS s
    SET paused = true, next_slot = NULL, next_run_at = NULL, revision = s.revision + 1,
        updated_at = pause_schedule.at
    FROM pgqueue.schedules AS old
    WHERE s.name = pause_schedule.name AND old.id = s.id
    RETURNING NOT old.paused
$$;

COMMENT ON FUNCTION pgqueue.pause_schedule(text, timestamptz) IS
'Let a schedule make no jobs until it is resumed; jobs it has made go on.

Args: name: of the schedule; at: the time it is.
Returns: false if it was paused already; null if there is no such schedule.';
