-- Purpose: have concurrency keys looked at again when their rates permit the next job.
-- Called by: admit, which holds the lock of each key. Writes offers; deletes from key_takes what
-- counts no more, and sums up what counts until the same moment; wakes the leader where one is due
-- soon. Reads key_takes, blocked_jobs, jobs, key_limits.
-- Why a look soon where nothing has started yet: those that are ready count, but nobody knows
-- until when. A 64th of the period later they may have started.
CREATE FUNCTION pgqueue.rest_keys(keys text[], at timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_first timestamptz;
    v_long text[];
BEGIN
    DELETE FROM pgqueue.key_takes AS t
    WHERE t.key = ANY (rest_keys.keys) AND t.until <= rest_keys.at;
    v_long := ARRAY(
        SELECT k.key
        FROM unnest(rest_keys.keys) AS k (key)
        WHERE (SELECT count(*) FROM pgqueue.key_takes AS t WHERE t.key = k.key) > 200
    );
    IF v_long <> '{}' THEN
        WITH gone AS (
            DELETE FROM pgqueue.key_takes AS t WHERE t.key = ANY (v_long) RETURNING t.*
        )
        INSERT INTO pgqueue.key_takes (key, until, n)
        SELECT g.key, g.until, sum(g.n)::integer FROM gone AS g GROUP BY g.key, g.until;
    END IF;
    WITH resting AS (
        INSERT INTO pgqueue.offers AS n (later_key, at)
        SELECT
            k.key,
            coalesce(
                (SELECT min(t.until) FROM pgqueue.key_takes AS t WHERE t.key = k.key),
                rest_keys.at + make_interval(secs => greatest(0.05, pgqueue.rate_seconds(coalesce(
                    (SELECT l.rate FROM pgqueue.key_limits AS l WHERE l.key = k.key),
                    (SELECT j.rate FROM pgqueue.jobs AS j WHERE j.id = h.job_id), '1/s'
                )) / 64))
            )
        FROM unnest(rest_keys.keys) AS k (key)
        CROSS JOIN LATERAL (
            SELECT b.job_id
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'concurrency' AND b.key = k.key
            ORDER BY b.priority DESC, b.seq
            LIMIT 1
        ) AS h
        WHERE NOT EXISTS (
            SELECT FROM pgqueue.offers AS o
            WHERE o.later_key = k.key AND o.at > rest_keys.at
        )
        RETURNING n.at
    )
    SELECT min(r.at) INTO v_first FROM resting AS r;
    IF v_first < rest_keys.at + interval '2 s' THEN
        PERFORM pgqueue.ring_leader();
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.rest_keys(text[], timestamptz) IS
'Have concurrency keys looked at again when their rates permit the next job. Internal.

Args: keys: whose locks the caller holds; at: the time it is.';
