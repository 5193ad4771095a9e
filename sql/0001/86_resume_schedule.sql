-- Purpose: let a schedule make jobs again, be it that it was paused, has failed or has ended.
-- Called by: people and programs. Writes schedules; rings the leader. Locks: the row.
-- Why done_until moves on: slots while it was paused were not missed, somebody did not want them.
CREATE FUNCTION pgqueue.resume_schedule(
    name text,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_paused boolean;
BEGIN
    UPDATE pgqueue.schedules AS s
    SET paused = false,
        done_until = CASE WHEN old.paused AND s.kind <> 'once' THEN resume_schedule.at
            ELSE s.done_until END,
        held_slot = CASE WHEN NOT old.paused THEN s.held_slot END,
        next_slot = NULL,
        next_run_at = CASE WHEN s.declared THEN timestamptz '-infinity' END,
        error = NULL,
        revision = s.revision + 1,
        updated_at = resume_schedule.at
    FROM pgqueue.schedules AS old
    WHERE s.name = resume_schedule.name AND old.id = s.id
    RETURNING old.paused INTO v_paused;
    PERFORM pgqueue.ring_leader();
    RETURN v_paused;
END
$$;

COMMENT ON FUNCTION pgqueue.resume_schedule(text, timestamptz) IS
'Let a schedule make jobs again; what it would have run while it was paused is left out. One with an
error is tried at once.

Args: name: of the schedule; at: the time it is.
Returns: whether it was paused; null if there is no such schedule.';
