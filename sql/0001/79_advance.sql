-- Purpose: count what could not be counted at once, for groups and for jobs that run after others;
-- and look after the jobs that run after older ones.
-- Called by: promote, when there is something to do; idempotent, anybody may.
-- Deletes from group_deltas and wait_deltas; writes what apply_counts and apply_waits write.
-- Why it does not ring for what it leaves: whoever holds a row may do so for minutes, and the
-- leader would turn in a circle for as long; its own look, each second, finds what there is.
-- Locks: rows of wait_deltas, job_waits, blocked_jobs and groups, skipping those that others hold.
CREATE FUNCTION pgqueue.advance(
    max_jobs integer DEFAULT 1000,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_told record;
    v_next record;
    v_groups bigint[];
    v_zeros integer[];
    v_from bigint;
    v_count integer := 0;
BEGIN
    -- What somebody else held; and once for each round, what runs after older jobs.
    FOR v_round IN 1..2 LOOP
        IF v_round = 1 THEN
            WITH found AS (
                DELETE FROM pgqueue.wait_deltas AS d
                WHERE d.ctid = ANY (ARRAY(
                    SELECT k.ctid
                    FROM pgqueue.wait_deltas AS k
                    LIMIT advance.max_jobs
                    FOR UPDATE SKIP LOCKED
                ))
                RETURNING d.*
            )
            SELECT
                array_agg(f.child_id) AS children, array_agg(f.ended) AS ended,
                array_agg(f.failed) AS failed, array_agg(f.doomed) AS doomed
            INTO v_told
            FROM (
                SELECT
                    f.child_id, sum(f.ended)::integer AS ended, sum(f.failed)::integer AS failed,
                    bool_or(f.doomed) AS doomed
                FROM found AS f
                GROUP BY f.child_id
            ) AS f;
        ELSE
            -- From the first, or from a place by chance: many whose turn is far off hide nobody.
            SELECT CASE WHEN random() < 0.5 THEN k.first
                ELSE k.first + floor(random() * (k.last - k.first + 1))::bigint END
            INTO v_from
            FROM (
                SELECT
                    min(w.job_id) AS first,
                    CASE WHEN count(*) < advance.max_jobs THEN min(w.job_id)
                        ELSE (SELECT max(m.job_id) FROM pgqueue.job_waits AS m WHERE m.late) END
                        AS last
                FROM (
                    SELECT k.job_id
                    FROM pgqueue.job_waits AS k
                    WHERE k.late
                    ORDER BY k.job_id
                    LIMIT advance.max_jobs
                ) AS w
            ) AS k;
            -- A job that is there no more cannot have succeeded, as far as anybody can tell.
            SELECT
                array_agg(f.job_id) AS children, array_agg(f.remaining) AS ended,
                array_agg(f.failed) AS failed, array_agg(f.doomed) AS doomed
            INTO v_told
            FROM (
                SELECT
                    w.job_id, w.remaining, w.run_if,
                    count(*) FILTER (WHERE p.state IS NULL AND p.id IS NOT NULL) AS open,
                    (count(*) FILTER (
                        WHERE p.id IS NULL OR p.state IN ('failed', 'expired')
                            OR (p.state = 'cancelled'
                                AND coalesce(p.error, '') NOT LIKE 'skipped:%')
                    ))::integer AS failed,
                    bool_or(p.id IS NULL OR p.state <> 'succeeded') AS doomed
                FROM (
                    SELECT k.*
                    FROM pgqueue.job_waits AS k
                    WHERE k.late AND k.job_id >= v_from
                    ORDER BY k.job_id
                    LIMIT advance.max_jobs
                ) AS w
                CROSS JOIN LATERAL (
                    SELECT j.after FROM pgqueue.jobs AS j WHERE j.id = w.job_id OFFSET 0
                ) AS c
                CROSS JOIN LATERAL unnest(c.after) AS a (id)
                LEFT JOIN LATERAL (
                    SELECT j.id, f.state, f.error
                    FROM pgqueue.jobs AS j
                    LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
                    WHERE j.id = a.id
                    OFFSET 0
                ) AS p ON true
                GROUP BY w.job_id, w.remaining, w.run_if
            ) AS f
            WHERE f.open = 0 OR (f.run_if = 'succeeded' AND f.doomed);
        END IF;
        IF v_told.children IS NOT NULL THEN
            v_count := v_count + cardinality(v_told.children);
            SELECT w.over, w.features INTO v_next
            FROM pgqueue.apply_waits(v_told.children, v_told.ended, v_told.failed, v_told.doomed,
                advance.at, true) AS w;
            PERFORM pgqueue.settle(v_next.over, v_next.over, v_next.features, advance.at);
        END IF;
    END LOOP;
    SELECT array_agg(d.group_id), array_agg(0) INTO v_groups, v_zeros
    FROM (
        SELECT DISTINCT k.group_id
        FROM (SELECT k.group_id FROM pgqueue.group_deltas AS k LIMIT 10 * advance.max_jobs) AS k
    ) AS d;
    IF v_groups IS NOT NULL THEN
        v_count := v_count + cardinality(v_groups);
        PERFORM pgqueue.end_groups(v_groups, advance.at);
    END IF;
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.advance(integer, timestamptz) IS
'Count for groups, and for jobs that run after others, what could not be counted at once.

Args: max_jobs: about how many to look at; at: the time it is.
Returns: how many groups and jobs there was something to do for.
Locks: the rows it changes, skipping those that others hold.';
