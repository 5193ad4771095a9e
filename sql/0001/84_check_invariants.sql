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
    SELECT 'cancel request without a job', c.job_id, NULL
    FROM pgqueue.cancel_requests AS c
    WHERE NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = c.job_id)
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
