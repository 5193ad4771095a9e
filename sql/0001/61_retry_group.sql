-- Purpose: run the jobs of a group again that did not succeed, and those that did not run for it.
-- Called by: people and programs. Moves finished_jobs to ready_jobs (retry) and to blocked_jobs;
-- writes job_waits, group_deltas, groups. Locks: the group and those inside it, in their order, FOR
-- UPDATE; the jobs, as retry; rows of job_waits. Errors: PQ002.
-- Why the way down (job_dependencies) and not jobs.after: a running job may have put others before
-- one that waits.
CREATE FUNCTION pgqueue.retry_group(
    group_id bigint,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_all bigint[];
    v_blocked bigint[];
    v_remaining integer[];
    v_counts record;
    v_inside bigint[];
    v_keyed bigint[];
    v_id bigint;
    v_taken integer := 0;
BEGIN
    WITH RECURSIVE inside (id) AS (
        SELECT retry_group.group_id
        UNION
        SELECT g.id FROM inside AS i JOIN pgqueue.groups AS g ON g.parent_id = i.id
    )
    SELECT array_agg(i.id) INTO v_inside FROM inside AS i;
    PERFORM FROM pgqueue.groups AS g WHERE g.id = ANY (v_inside) ORDER BY g.id FOR UPDATE;
    IF NOT EXISTS (SELECT FROM pgqueue.groups AS g WHERE g.id = retry_group.group_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no group %s', retry_group.group_id),
            HINT = 'it may have been deleted, or pruned with its jobs';
    END IF;
    SELECT coalesce(array_agg(l.id), '{}') INTO v_all
    FROM (
        SELECT j.id
        FROM pgqueue.jobs AS j
        JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
        WHERE j.group_id = retry_group.group_id
            AND f.state <> 'succeeded'
            AND (f.state <> 'cancelled' OR coalesce(f.error, '') NOT LIKE 'skipped:%')
        ORDER BY j.id
        FOR NO KEY UPDATE OF j
    ) AS l;
    -- Those that run after one of these wait for it again, whether they had given up or not.
    SELECT coalesce(array_agg(e.child_id), '{}'), coalesce(array_agg(e.n), '{}')
    INTO v_blocked, v_remaining
    FROM (
        SELECT d.child_id, count(*)::integer AS n
        FROM (
            SELECT j.id AS parent_id
            FROM pgqueue.jobs AS j
            WHERE j.group_id = retry_group.group_id
                AND (CASE
                    WHEN j.id IN (SELECT a.id FROM unnest(v_all) AS a (id)) THEN true
                    ELSE NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
                END)
        ) AS p
        JOIN pgqueue.job_dependencies AS d ON d.parent_id = p.parent_id
        GROUP BY d.child_id
    ) AS e
    WHERE (CASE WHEN e.child_id IN (SELECT a.id FROM unnest(v_all) AS a (id)) THEN true END);
    -- For the others retry does this.
    UPDATE pgqueue.job_waits AS w
    SET remaining = w.remaining + e.ended, failed = greatest(0, w.failed - e.ended)
    FROM (
        SELECT d.child_id, count(*)::integer AS ended
        FROM unnest(v_blocked) AS a (id)
        JOIN pgqueue.job_dependencies AS d ON d.parent_id = a.id
        GROUP BY d.child_id
    ) AS e
    WHERE w.job_id = e.child_id AND NOT w.late;
    -- Before the others wait for them: it adds to what waits for them already.
    v_keyed := ARRAY(
        SELECT a.id
        FROM unnest(v_all) AS a (id)
        CROSS JOIN LATERAL (
            SELECT j.unique_key FROM pgqueue.jobs AS j WHERE j.id = a.id OFFSET 0
        ) AS j
        WHERE j.unique_key IS NOT NULL
            AND a.id NOT IN (SELECT b.id FROM unnest(v_blocked) AS b (id))
    );
    PERFORM pgqueue.retry(a.id, at => retry_group.at)
    FROM (
        SELECT
            a.id,
            a.id IN (SELECT b.id FROM unnest(v_blocked) AS b (id)) AS is_blocked,
            a.id IN (SELECT k.id FROM unnest(v_keyed) AS k (id)) AS has_key
        FROM unnest(v_all) AS a (id)
        OFFSET 0
    ) AS a
    WHERE NOT a.is_blocked AND NOT a.has_key;
    FOREACH v_id IN ARRAY v_keyed LOOP
        BEGIN
            PERFORM pgqueue.retry(v_id, at => retry_group.at);
        EXCEPTION WHEN SQLSTATE 'PQ006' THEN
            -- Another job has its key by now: it stays as it is, and keeps no other back.
            v_taken := v_taken + 1;
        END;
    END LOOP;
    WITH gone AS (
        DELETE FROM pgqueue.finished_jobs AS f WHERE f.job_id = ANY (v_blocked) RETURNING f.*
    ),
    back AS (
        INSERT INTO pgqueue.blocked_jobs
            (job_id, reason, queue, priority, attempt, lost, crashes, flags)
        SELECT
            g.job_id, 'after', j.queue, j.priority, g.attempt, g.attempt, 0,
            pgqueue.job_flags(j)
                - coalesce(j.expires_at <= retry_group.at, false)::integer
        FROM gone AS g
        CROSS JOIN LATERAL (
            SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = g.job_id OFFSET 0
        ) AS j
    ),
    waits AS (
        INSERT INTO pgqueue.job_waits (job_id, remaining, run_if)
        SELECT b.id, b.remaining, coalesce(j.run_if, 'succeeded')
        FROM unnest(v_blocked, v_remaining) AS b (id, remaining)
        CROSS JOIN LATERAL (
            SELECT j.run_if FROM pgqueue.jobs AS j WHERE j.id = b.id OFFSET 0
        ) AS j
        ON CONFLICT ON CONSTRAINT job_waits_pkey DO UPDATE SET
            remaining = excluded.remaining, failed = 0, late = false
    )
    SELECT
        (count(*) FILTER (WHERE g.state IN ('failed', 'expired')))::integer AS failed,
        (count(*) FILTER (WHERE g.state = 'cancelled'))::integer AS cancelled
    INTO v_counts
    FROM gone AS g;
    DELETE FROM pgqueue.cancel_requests AS c WHERE c.job_id = ANY (v_blocked);
    IF cardinality(v_blocked) > 0 THEN
        PERFORM pgqueue.reopen_groups(retry_group.group_id, 0, v_counts.failed,
            v_counts.cancelled, 0);
    END IF;
    RETURN cardinality(v_all) - v_taken + (
        SELECT coalesce(sum(pgqueue.retry_group(g.id, retry_group.at)), 0)
        FROM pgqueue.groups AS g
        WHERE g.parent_id = retry_group.group_id
    );
END
$$;

COMMENT ON FUNCTION pgqueue.retry_group(bigint, timestamptz) IS
'Run the jobs of a group again that failed, expired or were cancelled, and only these. In a flow
those that did not run because of them wait for them again. So with the groups inside it. The group
ends anew. A job whose unique_key another job has by now stays as it is.

Args: group_id; at: the time it is.
Returns: how many jobs.
Errors: PQ002 when there is no such group.
Locks: the group and those inside it, FOR UPDATE; the jobs, as pgqueue.retry.';
