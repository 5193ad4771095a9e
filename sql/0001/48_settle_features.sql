-- Purpose: what follows from the end of jobs that use groups, callbacks or dependencies.
-- Called by: settle. Writes what follow, apply_counts and call_back write.
-- Locks: rows of job_waits and blocked_jobs, then rows of groups, each by id and skipping those
-- that others hold. So it never waits, and two of it never wait for each other.
-- Why SET clauses here: whoever ends jobs may have other settings, and a plan that walks job_waits
-- for each job of a batch is quadratic.
CREATE FUNCTION pgqueue.settle_features(
    ids bigint[],
    features integer,
    at timestamptz,
    succeeded boolean,
    OUT over bigint[],
    OUT over_features integer,
    OUT group_ids bigint[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_ids bigint[] := settle_features.ids;
    v_features integer := settle_features.features;
    v_wave bigint[] := settle_features.ids;
    v_succeeded boolean := settle_features.succeeded;
    v_counts record;
    v_next record;
BEGIN
    IF (v_features & 4096) <> 0 AND NOT v_succeeded THEN
        -- Ended while they waited for others, by a cancel or since they expired.
        DELETE FROM pgqueue.job_waits AS w
        WHERE w.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM unnest(v_ids) AS i (id)
            CROSS JOIN LATERAL (
                SELECT k.ctid FROM pgqueue.job_waits AS k WHERE k.job_id = i.id
                OFFSET 0
                FOR UPDATE SKIP LOCKED
            ) AS k
        ));
    END IF;
    -- Those that will never run end with this, and tell those behind them in turn.
    WHILE (v_features & 1024) <> 0 LOOP
        SELECT f.over, f.features INTO v_next
        FROM pgqueue.follow(v_wave, settle_features.at, v_succeeded) AS f;
        EXIT WHEN v_next.over IS NULL;
        v_succeeded := false;
        v_wave := v_next.over;
        v_ids := v_ids || v_wave;
        v_features := v_features | v_next.features;
        settle_features.over_features :=
            coalesce(settle_features.over_features, 0) | v_next.features;
        settle_features.over := settle_features.over || v_wave;
        EXIT WHEN (v_next.features & 1024) = 0;
    END LOOP;
    IF (v_features & 256) <> 0 AND v_succeeded THEN
        SELECT
            array_agg(c.group_id) AS group_ids, array_agg(0) AS totals,
            array_agg(c.n) AS succeeded, array_agg(0) AS failed, array_agg(0) AS cancelled,
            array_agg(0) AS skipped
        INTO v_counts
        FROM (
            SELECT j.group_id, count(*)::integer AS n
            FROM (
                SELECT j.group_id FROM pgqueue.jobs AS j WHERE j.id = ANY (v_ids) OFFSET 0
            ) AS j
            WHERE j.group_id IS NOT NULL
            GROUP BY j.group_id
        ) AS c;
    ELSIF (v_features & 256) <> 0 THEN
        SELECT
            array_agg(c.group_id) AS group_ids, array_agg(0) AS totals,
            array_agg(c.succeeded) AS succeeded, array_agg(c.failed) AS failed,
            array_agg(c.cancelled) AS cancelled, array_agg(c.skipped) AS skipped
        INTO v_counts
        FROM (
            SELECT
                j.group_id,
                (count(*) FILTER (WHERE f.state = 'succeeded'))::integer AS succeeded,
                (count(*) FILTER (WHERE f.state IN ('failed', 'expired')))::integer AS failed,
                (count(*) FILTER (
                    WHERE f.state = 'cancelled' AND coalesce(f.error, '') NOT LIKE 'skipped:%'
                ))::integer AS cancelled,
                (count(*) FILTER (
                    WHERE f.state = 'cancelled' AND f.error LIKE 'skipped:%'
                ))::integer AS skipped
            FROM unnest(v_ids) AS i (id)
            CROSS JOIN LATERAL (
                SELECT j.group_id FROM pgqueue.jobs AS j
                WHERE j.id = i.id AND j.group_id IS NOT NULL
                OFFSET 0
            ) AS j
            CROSS JOIN LATERAL (
                SELECT f.state, f.error FROM pgqueue.finished_jobs AS f WHERE f.job_id = i.id
                OFFSET 0
            ) AS f
            GROUP BY j.group_id
        ) AS c;
    END IF;
    IF (v_features & 256) <> 0 THEN
        IF v_counts.group_ids IS NOT NULL THEN
            SELECT a.ended INTO settle_features.group_ids
            FROM pgqueue.apply_counts(
                v_counts.group_ids, v_counts.totals, v_counts.succeeded, v_counts.failed,
                v_counts.cancelled, v_counts.skipped, settle_features.at
            ) AS a;
        END IF;
    END IF;
    IF (v_features & 512) <> 0 THEN
        PERFORM pgqueue.call_back(v_ids);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.settle_features(bigint[], integer, timestamptz, boolean) IS
'Count ended jobs for their groups and for those that run after them, and enqueue their callbacks.
Internal.

Args: ids: jobs that have ended, each once; features: their flags together; at: the time it is;
succeeded: whether all of them ran and did.
Returns: over: jobs that ended since they will never run; over_features: their flags; group_ids:
groups that ended.
Locks: rows of job_waits, blocked_jobs and groups, skipping those that others hold.';
