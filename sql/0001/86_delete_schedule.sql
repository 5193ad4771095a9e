-- Purpose: delete a schedule and its history; its jobs stay.
-- Called by: people and programs. Writes schedules and, by the foreign key, schedule_runs.
CREATE FUNCTION pgqueue.delete_schedule(name text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM pgqueue.schedules AS s WHERE s.name = delete_schedule.name RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone)
$$;

COMMENT ON FUNCTION pgqueue.delete_schedule(text) IS
'Delete a schedule and its history; its jobs stay. One that code declares comes back with the next
worker that starts with that code: pause it instead.

Args: name: of the schedule.
Returns: whether there was one.';
