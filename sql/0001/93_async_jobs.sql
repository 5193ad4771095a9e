-- Purpose: jobs as django-async had them: one row a job, with the columns of its model Job.
-- Read and written by: the model of pgqueue.compat.django_async, and anybody; what may be changed
-- is in 93_async_jobs_insert.sql, …_update.sql and …_delete.sql.
-- A job is one of these if its meta has the key async: its identity, and what else has no column.
-- Why scheduled is worked out: ready_jobs does not know when a job fell due that had failed before,
-- so that is told from its last failure.
CREATE VIEW pgqueue.async_jobs AS
SELECT
    j.id,
    substr(j.task, 7) AS name,
    j.args::text AS args,
    j.kwargs::text AS kwargs,
    coalesce(j.meta -> 'async' -> 'meta', '{}')::text AS meta,
    CASE WHEN f.state = 'succeeded' THEN coalesce(f.result, 'null')::text ELSE '' END AS result,
    coalesce(
        r.priority, s.priority, u.priority, b.priority,
        greatest(j.priority - greatest(w.failures, 0), -32768)
    )::integer AS priority,
    j.meta -> 'async' ->> 'identity' AS identity,
    j.created_at AS added,
    coalesce(
        s.run_at,
        CASE WHEN w.failures > 0 THEN (
            SELECT max(e.at) + interval '60 s' * power(w.failures, 1.6::float8)
            FROM pgqueue.job_errors AS e
            WHERE e.job_id = j.id
                AND e.kind <> ''
                AND e.at > coalesce(
                    (j.meta -> 'async' ->> 'moved')::timestamptz, '-infinity'::timestamptz)
        ) END,
        j.run_at
    ) AS scheduled,
    CASE
        WHEN f.job_id IS NOT NULL THEN f.started_at
        ELSE coalesce(u.started_at, (j.meta -> 'async' ->> 'started')::timestamptz)
    END AS started,
    CASE WHEN f.state = 'succeeded' THEN f.finished_at END AS executed,
    CASE WHEN f.state <> 'succeeded' THEN f.finished_at END AS cancelled,
    j.group_id
FROM pgqueue.jobs AS j
LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
LEFT JOIN pgqueue.running_jobs AS u ON u.job_id = j.id
LEFT JOIN pgqueue.ready_jobs AS r ON r.job_id = j.id
LEFT JOIN pgqueue.scheduled_jobs AS s ON s.job_id = j.id
LEFT JOIN pgqueue.blocked_jobs AS b ON b.job_id = j.id
CROSS JOIN LATERAL (
    SELECT coalesce(
        r.attempt - r.lost, u.attempt - u.lost - 1,
        f.attempt - f.lost - (f.state = 'succeeded')::integer
    ) AS failures
) AS w
WHERE j.meta ? 'async';

COMMENT ON VIEW pgqueue.async_jobs IS
'Jobs as django-async had them; INSERT, UPDATE and DELETE work. args, kwargs, meta and result are
JSON as text. One that is open has neither executed nor cancelled; setting either ends it, unless it
runs, and taking it back lets it run again.';
