-- Purpose: give back what jobs counted against limits, and let the next ones go on.
-- Called by: settle, store_outcomes, rescue, reschedule_waiting, jobs_forget; only where flags say
-- that a job has a concurrency key, or a queue has a limit. Deletes from slots; admits and rings.
-- Why only an offer where the transaction has one snapshot for all its statements: nobody may be in
-- line there who is by now, and admit counts what it sees.
-- Locks: the rows of slots, which belong to jobs whose rows the caller has; those of admit, which
-- it tries for 128 keys itself, of ring.
CREATE FUNCTION pgqueue.release_slots(ids bigint[], kind text, at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_keys text[];
    v_mine text[];
    v_queues text[];
BEGIN
    -- In the order of the jobs, which is that of what is looked up next.
    WITH gone AS (
        DELETE FROM pgqueue.slots AS s
        WHERE s.job_id = ANY (release_slots.ids)
            AND (left(s.key, 1) = 'q') = (release_slots.kind = 'q')
        RETURNING substr(s.key, 3) AS key, s.job_id
    )
    SELECT array_agg(k.key ORDER BY k.job_id) INTO v_keys
    FROM (SELECT g.key, min(g.job_id) AS job_id FROM gone AS g GROUP BY g.key) AS k;
    IF v_keys IS NULL THEN
        RETURN;
    END IF;
    IF release_slots.kind = 'q' THEN
        PERFORM pgqueue.ring(v_keys);
        RETURN;
    END IF;
    IF current_setting('transaction_isolation') NOT LIKE 'read%' THEN
        INSERT INTO pgqueue.offers (key) SELECT k.key FROM unnest(v_keys) AS k (key);
        PERFORM pgqueue.ring(ARRAY(
            SELECT DISTINCT h.queue
            FROM unnest(v_keys) AS k (key)
            CROSS JOIN LATERAL (
                SELECT b.queue
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'concurrency' AND b.key = k.key
                ORDER BY b.priority DESC, b.seq
                LIMIT 1
            ) AS h
        ));
        RETURN;
    END IF;
    -- Most keys have nobody in line. Whoever holds a key's lock and then sees nobody there may
    -- leave it so: one who comes now leaves an offer, which nobody can take before this
    -- transaction ends.
    v_mine := ARRAY(
        SELECT k.key
        FROM unnest(v_keys[1:128]) AS k (key)
        WHERE pg_try_advisory_xact_lock(
            70677106, (hashtextextended(k.key, 0) & 2147483647)::integer)
    );
    IF cardinality(v_mine) < cardinality(v_keys) THEN
        v_keys := ARRAY(SELECT k.key FROM unnest(v_keys) AS k (key) WHERE k.key <> ALL (v_mine));
    ELSE
        v_keys := '{}';
    END IF;
    v_keys := v_keys || ARRAY(
        SELECT k.key
        FROM unnest(v_mine) AS k (key)
        CROSS JOIN LATERAL (
            SELECT b.job_id
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'concurrency' AND b.key = k.key
            ORDER BY b.priority DESC, b.seq
            LIMIT 1
        ) AS b
    );
    IF v_keys = '{}' THEN
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
