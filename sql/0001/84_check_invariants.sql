-- Purpose: find what must not be: jobs in no position or in two, rows that hang on nothing.
-- Called by: the test suites after every run, "python -m pgqueue check", people. Reads everything,
-- in one snapshot; locks nothing. Empty means that all is well.
CREATE FUNCTION pgqueue.check_invariants()
RETURNS TABLE (problem text, job_id bigint, detail text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    WITH placed AS (
        SELECT r.job_id, 'ready' AS place FROM pgqueue.ready_jobs AS r
        UNION ALL
        SELECT s.job_id, 'scheduled' FROM pgqueue.scheduled_jobs AS s
        UNION ALL
        SELECT b.job_id, 'blocked' FROM pgqueue.blocked_jobs AS b
        UNION ALL
        SELECT u.job_id, 'running' FROM pgqueue.running_jobs AS u
        UNION ALL
        SELECT f.job_id, 'finished' FROM pgqueue.finished_jobs AS f
    ),
    counted AS (
        SELECT p.job_id, count(*) AS n, string_agg(p.place, ', ' ORDER BY p.place) AS places
        FROM placed AS p
        GROUP BY p.job_id
    )
    SELECT 'job in no position', j.id, NULL
    FROM pgqueue.jobs AS j
    WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.job_id = j.id)
    UNION ALL
    SELECT 'job in two positions', c.job_id, c.places FROM counted AS c WHERE c.n > 1
    UNION ALL
    SELECT 'position without a job', c.job_id, c.places
    FROM counted AS c
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = c.job_id)
    UNION ALL
    SELECT 'running job of an unknown worker', u.job_id, u.worker_id::text
    FROM pgqueue.running_jobs AS u
    WHERE NOT EXISTS (SELECT FROM pgqueue.workers AS w WHERE w.id = u.worker_id)
    UNION ALL
    SELECT 'error without a job', e.job_id, NULL
    FROM pgqueue.job_errors AS e
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = e.job_id)
    UNION ALL
    SELECT 'progress without a job', p.job_id, NULL
    FROM pgqueue.job_progress AS p
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = p.job_id)
    UNION ALL
    SELECT 'log without a job', l.job_id, NULL
    FROM (SELECT DISTINCT k.job_id FROM pgqueue.job_logs AS k) AS l
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = l.job_id)
    UNION ALL
    SELECT 'blocked job that nobody lets go', b.job_id, NULL
    FROM pgqueue.blocked_jobs AS b
    WHERE b.reason = 'after'
        AND NOT EXISTS (SELECT FROM pgqueue.job_waits AS w WHERE w.job_id = b.job_id)
    UNION ALL
    SELECT 'last job of a group that nobody lets go', b.job_id, NULL
    FROM pgqueue.blocked_jobs AS b
    JOIN pgqueue.jobs AS j ON j.id = b.job_id
    WHERE b.reason = 'group'
        AND NOT EXISTS (
            SELECT FROM pgqueue.groups AS g
            WHERE g.id = j.group_id
                AND g.last_job_id = b.job_id
                AND (
                    g.closed_at IS NULL
                    OR EXISTS (SELECT FROM pgqueue.group_deltas AS d WHERE d.group_id = g.id)
                    OR g.total - g.succeeded - g.failed - g.cancelled - g.skipped > 1
                )
        )
    UNION ALL
    SELECT 'wait without a job', w.job_id, NULL
    FROM pgqueue.job_waits AS w
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = w.job_id)
    UNION ALL
    SELECT 'wait of a job that does not wait', w.job_id, NULL
    FROM pgqueue.job_waits AS w
    JOIN counted AS c ON c.job_id = w.job_id
    WHERE c.places NOT IN ('blocked', 'finished')
    UNION ALL
    SELECT 'wrong count of jobs to wait for', w.job_id,
        format('%s, and %s to be counted; %s are not over', w.remaining, t.ended, e.open)
    FROM pgqueue.job_waits AS w
    CROSS JOIN LATERAL (
        SELECT count(*) AS open
        FROM pgqueue.jobs AS p
        JOIN pgqueue.job_dependencies AS d ON d.parent_id = p.id
        WHERE d.child_id = w.job_id
            AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = p.id)
    ) AS e
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(t.ended), 0) AS ended
        FROM pgqueue.wait_deltas AS t
        WHERE t.child_id = w.job_id
    ) AS t
    WHERE NOT w.late
        AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = w.job_id)
        AND w.remaining - t.ended <> e.open
    UNION ALL
    SELECT 'dependency of a job that is gone', d.parent_id, d.child_id::text
    FROM pgqueue.job_dependencies AS d
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = d.parent_id)
    UNION ALL
    SELECT 'group that counts wrong', NULL,
        format('group %s: %s of its members are not over, it counts %s', o.id, m.open,
            o.total - o.succeeded - o.failed - o.cancelled - o.skipped)
    FROM pgqueue.group_overview AS o
    CROSS JOIN LATERAL (
        SELECT
            (
                SELECT count(*)
                FROM pgqueue.jobs AS j
                WHERE j.group_id = o.id
                    AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
            ) + (
                SELECT count(*)
                FROM pgqueue.groups AS k
                WHERE k.parent_id = o.id AND k.ended_at IS NULL
            ) AS open
    ) AS m
    WHERE m.open <> o.total - o.succeeded - o.failed - o.cancelled - o.skipped
    UNION ALL
    SELECT 'group that ended before its jobs', NULL, format('group %s', g.id)
    FROM pgqueue.groups AS g
    WHERE g.ended_at IS NOT NULL
        AND EXISTS (
            SELECT FROM pgqueue.jobs AS j
            WHERE j.group_id = g.id
                AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
        )
    UNION ALL
    SELECT 'cancel request without a job', c.job_id, NULL
    FROM pgqueue.cancel_requests AS c
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = c.job_id)
    UNION ALL
    SELECT 'unique key without a live job', u.job_id, NULL
    FROM pgqueue.unique_keys AS u
    WHERE coalesce(u.held_until <= clock_timestamp(), true)
        AND NOT pgqueue.is_live(u.job_id, u.while_waiting)
    UNION ALL
    SELECT 'live job without its unique key', j.id, p.place
    FROM (
        SELECT r.job_id, r.flags, 'ready' AS place FROM pgqueue.ready_jobs AS r
        UNION ALL
        SELECT s.job_id, s.flags, 'scheduled' FROM pgqueue.scheduled_jobs AS s
        UNION ALL
        SELECT b.job_id, b.flags, 'blocked' FROM pgqueue.blocked_jobs AS b
        WHERE b.reason <> 'unique_key'
        UNION ALL
        SELECT u.job_id, u.flags, 'running' FROM pgqueue.running_jobs AS u
    ) AS p
    JOIN pgqueue.jobs AS j ON j.id = p.job_id
    WHERE (p.flags & 4) <> 0
        AND NOT EXISTS (
            SELECT FROM pgqueue.unique_keys AS u
            WHERE u.key = j.unique_key AND u.job_id = j.id
        )
    UNION ALL
    SELECT 'slot without a job that counts', s.job_id, s.key
    FROM pgqueue.slots AS s
    WHERE NOT EXISTS (SELECT FROM pgqueue.running_jobs AS u WHERE u.job_id = s.job_id)
        AND (
            left(s.key, 1) = 'q'
            OR NOT EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = s.job_id)
        )
    UNION ALL
    SELECT 'job that counts without its slot', p.job_id, NULL
    FROM (
        SELECT r.job_id, r.flags FROM pgqueue.ready_jobs AS r
        UNION ALL
        SELECT u.job_id, u.flags FROM pgqueue.running_jobs AS u
    ) AS p
    WHERE (p.flags & 16) <> 0
        AND NOT EXISTS (
            SELECT FROM pgqueue.slots AS s WHERE s.job_id = p.job_id AND s.key LIKE 'k:%'
        )
    UNION ALL
    SELECT 'ready job that does not count for its rate', r.job_id, NULL
    FROM pgqueue.ready_jobs AS r
    WHERE (r.flags & 64) <> 0
        AND NOT EXISTS (
            SELECT FROM pgqueue.slots AS s WHERE s.job_id = r.job_id AND s.key LIKE 'r:%'
        )
    UNION ALL
    SELECT 'started job that counts as ready', s.job_id, s.key
    FROM pgqueue.slots AS s
    WHERE s.key LIKE 'r:%'
        AND NOT EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = s.job_id)
    UNION ALL
    SELECT 'line that nobody looks at', min(b.job_id), b.key
    FROM pgqueue.blocked_jobs AS b
    LEFT JOIN pgqueue.key_limits AS l ON l.key = b.key
    WHERE b.reason = 'concurrency'
        AND NOT EXISTS (SELECT FROM pgqueue.slots AS s WHERE s.key = 'k:' || b.key)
        AND coalesce(l.max_running, 1) > 0
        AND NOT EXISTS (
            SELECT FROM pgqueue.offers AS o
            WHERE b.key IN (o.key, o.later_key) OR b.key = ANY (o.keys)
        )
        AND NOT EXISTS (SELECT FROM pgqueue.queues AS q WHERE q.name = b.queue AND q.paused)
    GROUP BY b.key
    UNION ALL
    SELECT 'more lost attempts than attempts', o.id, format('%s of %s', o.lost, o.attempt)
    FROM pgqueue.job_overview AS o
    WHERE o.lost > o.attempt
    UNION ALL
    SELECT 'schedule beyond its repeats', s.last_job_id, s.name
    FROM pgqueue.schedules AS s
    WHERE s.runs > s.repeats AND s.next_run_at IS NOT NULL AND s.next_run_at > '-infinity'
    UNION ALL
    SELECT 'schedule that waits though it should not', s.last_job_id, s.name
    FROM pgqueue.schedules AS s
    WHERE s.next_run_at IS NOT NULL AND (s.paused OR NOT s.declared)
    UNION ALL
    SELECT 'two slots with one job', r.job_id, count(*)::text
    FROM pgqueue.schedule_runs AS r
    WHERE r.job_id IS NOT NULL
    GROUP BY r.job_id
    HAVING count(*) > 1
$$;

COMMENT ON FUNCTION pgqueue.check_invariants() IS
'List whatever must not be: a job in no position table or in two, a row that hangs on no job.

Returns: one row a fault; none when all is well.';
