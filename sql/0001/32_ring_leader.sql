-- Purpose: tell the leader that something falls due before it next looks by itself.
-- Called by: the insert trigger, store_outcomes and retry, when they file a job into scheduled_jobs
-- that is due within two seconds; later ones the leader finds in time by its own timer (1 s).
-- Touches no table. Locks: as ring, bucket 65, which the leader holds while it sleeps.
CREATE FUNCTION pgqueue.ring_leader() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF current_setting('pgqueue.notify', true) IS NOT DISTINCT FROM 'off' THEN
        RETURN;
    END IF;
    IF (NOT pg_try_advisory_xact_lock_shared(70677102, 65)
        OR NOT (CASE WHEN pg_try_advisory_lock(70677101, 65)
                    THEN pg_advisory_unlock(70677101, 65) ELSE false END))
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM pg_notify('pgqueue_control', 'due');
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.ring_leader() IS
'Wake the leader, at commit, because a job falls due before its timer ends.

Setting: pgqueue.notify = off keeps it silent.
Locks: advisory (70677102, 65) shared until the end of the transaction; never waits.';
