-- Purpose: the jobs of pgqueue.compat.django_future, in the words of the library it replaces.
-- Read and written by: its model ScheduledJob; 92_django_future_store.sql takes the writes.
-- Reads jobs, finished_jobs, running_jobs, job_errors.
-- Which jobs: those whose meta has the key django_future. All of them have an end, so that an index
-- that is there anyway finds them among jobs that mostly have none; one of their own would be
-- opened and locked by every INSERT of a plain job.
-- Why a subquery for the error: it is read only where it is asked for.
-- Why the tuple: the old library gave back what it was given, JSON has arrays only.
CREATE VIEW pgqueue.django_future_jobs AS
SELECT
    j.id,
    j.run_at AS time_slot_start,
    j.expires_at AS time_slot_end,
    coalesce(f.started_at, u.started_at) AS execution_start,
    CASE
        WHEN f.state = 'succeeded' THEN 'complete'
        WHEN f.state = 'expired' THEN 'expired'
        WHEN f.job_id IS NOT NULL THEN 'failed'
        WHEN u.job_id IS NOT NULL THEN 'running'
        ELSE 'scheduled'
    END AS status,
    (j.meta #>> '{django_future,content_type}')::integer AS content_type_id,
    j.meta #>> '{django_future,object_id}' AS object_id,
    substr(j.task, 15) AS callable_name,
    CASE
        WHEN j.meta #>> '{django_future,args}' = 'tuple'
        THEN jsonb_build_object('$t', 'tuple', 'v', j.args)
        ELSE j.args
    END AS args,
    j.kwargs,
    coalesce(
        (
            SELECT coalesce(
                e.traceback,
                CASE WHEN f.state IN ('failed', 'cancelled') OR f.state IS NULL
                    THEN concat_ws(': ', e.kind, nullif(e.message, '')) END
            )
            FROM pgqueue.job_errors AS e
            WHERE e.job_id = j.id
            ORDER BY e.at DESC, e.attempt DESC
            LIMIT 1
        ),
        CASE WHEN f.state IN ('failed', 'cancelled') THEN f.error END
    ) AS error,
    f.result #>> '{}' AS return_value
FROM pgqueue.jobs AS j
LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
LEFT JOIN pgqueue.running_jobs AS u ON u.job_id = j.id
WHERE j.meta ? 'django_future' AND j.expires_at IS NOT NULL;

COMMENT ON VIEW pgqueue.django_future_jobs IS
'One row a job of pgqueue.compat.django_future, with the columns and the statuses of django-future:
scheduled, running, failed, complete, expired. INSERT, UPDATE and DELETE do what they say to the
job.';
