-- Purpose: one row a job with its state, for people.
-- Read by: the Python client, the command line, people. Reads everything.
-- Why five left joins: each is one descent of a unique index for the jobs that are asked for.
CREATE VIEW pgqueue.job_overview AS
SELECT
    j.id,
    CASE
        WHEN f.job_id IS NOT NULL THEN f.state
        WHEN u.job_id IS NOT NULL THEN 'running'
        WHEN r.job_id IS NOT NULL THEN 'ready'
        WHEN s.job_id IS NOT NULL THEN 'scheduled'
        WHEN b.job_id IS NOT NULL THEN 'blocked'
    END AS state,
    j.task,
    j.args,
    j.kwargs,
    coalesce(r.queue, s.queue, u.queue, b.queue, j.queue) AS queue,
    coalesce(r.priority, s.priority, u.priority, b.priority, j.priority) AS priority,
    coalesce(f.attempt, u.attempt, r.attempt, s.attempt, b.attempt) AS attempt,
    coalesce(f.lost, u.lost, r.lost, s.lost, b.lost) AS lost,
    coalesce(f.crashes, u.crashes, r.crashes, s.crashes, b.crashes) AS crashes,
    j.max_attempts,
    coalesce(s.run_at, j.run_at) AS run_at,
    j.expires_at,
    j.timeout,
    j.meta,
    j.created_at,
    coalesce(f.started_at, u.started_at) AS started_at,
    f.finished_at,
    coalesce(f.worker_id, u.worker_id) AS worker_id,
    f.result,
    f.error,
    coalesce(s.reason, b.reason) AS reason,
    p.fraction AS progress,
    p.note AS progress_note,
    j.unique_key,
    j.group_id,
    j.after,
    j.concurrency_key,
    j.fair_key
FROM pgqueue.jobs AS j
LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
LEFT JOIN pgqueue.running_jobs AS u ON u.job_id = j.id
LEFT JOIN pgqueue.ready_jobs AS r ON r.job_id = j.id
LEFT JOIN pgqueue.scheduled_jobs AS s ON s.job_id = j.id
LEFT JOIN pgqueue.blocked_jobs AS b ON b.job_id = j.id
LEFT JOIN pgqueue.job_progress AS p ON p.job_id = j.id;

COMMENT ON VIEW pgqueue.job_overview IS
'One row a job with its state: blocked, scheduled, ready, running, succeeded, failed, cancelled or
expired. Give an id or a narrow condition: a count over all of it reads all of it.';
