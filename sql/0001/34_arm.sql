-- Purpose: the sleeper's side of the doorbell, steps S1 and S2 of the proof in 31_ring.sql.
-- Called by: a worker's listener session, after LISTEN has committed and before its last look.
-- Reads pg_locks. Locks: advisory (70677101, bucket) shared, of the session, never waiting.
-- Why the answer is a list of transactions: only those that hold `writing` now may still commit
-- without ringing; later ones see the sleeper. The caller asks still_writing until none is left.
CREATE FUNCTION pgqueue.arm(queues text[], leader boolean DEFAULT false)
RETURNS TABLE (armed boolean, writers text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_buckets integer[] := pgqueue.sleep_buckets(arm.queues, arm.leader);
    v_bucket integer;
    v_taken integer[] := '{}';
BEGIN
    FOREACH v_bucket IN ARRAY v_buckets LOOP
        IF NOT pg_try_advisory_lock_shared(70677101, v_bucket) THEN
            -- A writer is just looking (W2): give all back, the caller tries again.
            FOREACH v_bucket IN ARRAY v_taken LOOP
                PERFORM pg_advisory_unlock_shared(70677101, v_bucket);
            END LOOP;
            RETURN QUERY SELECT false, '{}'::text[];
            RETURN;
        END IF;
        v_taken := v_taken || v_bucket;
    END LOOP;
    RETURN QUERY
    SELECT true, coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
        AND l.classid = 70677102
        AND l.objsubid = 2
        AND l.objid = ANY (v_buckets::oid[])
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
END
$$;

COMMENT ON FUNCTION pgqueue.arm(text[], boolean) IS
'Say that this session is about to sleep on these queues, so that writers ring.

Call it on a session that LISTENs on "pgqueue", then wait until pgqueue.still_writing(writers) is
false, look for jobs once more, and only then sleep. Give it back with pgqueue.disarm.

Args: queues: names, or {*} for every queue; leader: also wake for jobs that fall due soon.
Returns: armed: false when a writer was just looking (call again); writers: the transactions that
may still commit without ringing.
Locks: advisory (70677101, bucket) shared, of the session; never waits.';
