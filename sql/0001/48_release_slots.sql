-- Purpose: give back what jobs counted against limits, and let the next ones go on.
-- Called by: settle, store_outcomes, rescue, reschedule_waiting, jobs_forget; only where flags say
-- that a job has a concurrency key, or a queue has a limit. Deletes from slots; admits and rings.
-- Why only an offer where the transaction has one snapshot for all its statements: nobody may be in
-- line there who is by now, and admit counts what it sees.
-- Why gently, only an offer too: the transaction is an application's, which may leave it open for
-- hours, and as long it would keep others from admitting jobs of the key.
-- Why a slot of a queue is skipped that somebody holds: limit_queue writes them anew, maybe in such
-- a transaction; tidy deletes what is left.
-- Locks: the rows of slots, which belong to jobs whose rows the caller has, those of queues
-- skipping what others hold; those of admit, which it tries for 128 keys itself, of ring.
CREATE FUNCTION pgqueue.release_slots(
    ids bigint[],
    kind text,
    at timestamptz,
    gently boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_keys text[];
    v_mine text[];
    v_queues text[];
BEGIN
    IF release_slots.kind = 'q' THEN
        WITH gone AS (
            DELETE FROM pgqueue.slots AS s
            WHERE s.ctid = ANY (ARRAY(
                SELECT k.ctid
                FROM pgqueue.slots AS k
                WHERE k.job_id = ANY (release_slots.ids) AND left(k.key, 1) = 'q'
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING substr(s.key, 3) AS key
        )
        SELECT array_agg(DISTINCT g.key) INTO v_keys FROM gone AS g;
        PERFORM pgqueue.ring(v_keys);
        RETURN;
    END IF;
    -- In the order of the jobs, which is that of what is looked up next.
    WITH gone AS (
        DELETE FROM pgqueue.slots AS s
        WHERE s.job_id = ANY (release_slots.ids) AND left(s.key, 1) <> 'q'
        RETURNING substr(s.key, 3) AS key, s.job_id
    )
    SELECT array_agg(k.key ORDER BY k.job_id) INTO v_keys
    FROM (SELECT g.key, min(g.job_id) AS job_id FROM gone AS g GROUP BY g.key) AS k;
    IF v_keys IS NULL THEN
        RETURN;
    END IF;
    IF release_slots.gently OR current_setting('transaction_isolation') NOT LIKE 'read%' THEN
        INSERT INTO pgqueue.offers (key) SELECT k.key FROM unnest(v_keys) AS k (key);
        PERFORM pgqueue.ring(ARRAY(
            SELECT h.queue
            FROM unnest(v_keys) AS k (key)
            CROSS JOIN LATERAL (
                SELECT b.queue
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'concurrency' AND b.key = k.key
                ORDER BY b.priority DESC, b.seq
                LIMIT 1
            ) AS h
            UNION
            -- Where nobody is in line yet: who comes now may find the slot taken, and sleep.
            SELECT j.queue
            FROM unnest(release_slots.ids) AS i (id)
            CROSS JOIN LATERAL (
                SELECT j.queue FROM pgqueue.jobs AS j WHERE j.id = i.id OFFSET 0
            ) AS j
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

COMMENT ON FUNCTION pgqueue.release_slots(bigint[], text, timestamptz, boolean) IS
'Give back what jobs counted against limits. Internal.

Args: ids: jobs; kind: k for their concurrency keys, q for their queues; at: the time it is; gently:
leave it to the next worker to let others go on, since this transaction may last.
Locks: those of pgqueue.admit and pgqueue.ring.';
