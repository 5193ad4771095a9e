-- Purpose: give back what jobs counted against limits, and let the next ones go on.
-- Called by: settle, store_outcomes, rescue, reschedule_waiting, jobs_forget; only where flags say
-- that a job has a concurrency key, or a queue has a limit. Deletes from slots; admits and rings.
-- Locks: the rows of slots, which belong to jobs whose rows the caller has; those of admit, of
-- ring.
CREATE FUNCTION pgqueue.release_slots(ids bigint[], kind text, at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_keys text[];
    v_queues text[];
BEGIN
    WITH gone AS (
        DELETE FROM pgqueue.slots AS s
        WHERE s.job_id = ANY (release_slots.ids)
            AND (left(s.key, 1) = 'q') = (release_slots.kind = 'q')
        RETURNING substr(s.key, 3) AS key
    )
    SELECT array_agg(DISTINCT g.key) INTO v_keys FROM gone AS g;
    IF v_keys IS NULL THEN
        RETURN;
    END IF;
    IF release_slots.kind = 'q' THEN
        PERFORM pgqueue.ring(v_keys);
        RETURN;
    END IF;
    v_queues := pgqueue.admit(v_keys, release_slots.at);
    PERFORM pgqueue.ring(v_queues);
END
$$;

COMMENT ON FUNCTION pgqueue.release_slots(bigint[], text, timestamptz) IS
'Give back what jobs counted against limits. Internal.

Args: ids: jobs; kind: k for their concurrency keys, q for their queues; at: the time it is.
Locks: those of pgqueue.admit and pgqueue.ring.';
