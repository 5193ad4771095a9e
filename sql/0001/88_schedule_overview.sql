-- Purpose: one row a schedule, for people: what it does, where it stands, how its last job ended.
-- Reads schedules and job_overview.
-- Why the last job is asked: that nobody knows its task is seen before the next slot is due.
CREATE VIEW pgqueue.schedule_overview AS
SELECT
    s.id,
    s.name,
    CASE
        WHEN NOT s.declared THEN 'undeclared'
        WHEN s.paused THEN 'paused'
        WHEN s.error IS NOT NULL OR o.reason = 'unknown_task' THEN 'error'
        WHEN s.next_run_at IS NULL THEN 'ended'
        ELSE 'active'
    END AS status,
    s.task,
    s.args,
    s.kwargs,
    s.queue,
    s.priority,
    s.expires,
    s.timeout,
    s.max_attempts,
    s.meta,
    s.options,
    s.planned_kwarg,
    s.kind,
    s.rule,
    s.timezone,
    s.starts_at,
    s.ends_at,
    s.repeats,
    s.sticky,
    s.jitter,
    s.catch_up,
    s.max_catch_up,
    s.overlap,
    s.source,
    s.declared_by,
    s.done_until,
    s.next_slot,
    nullif(s.next_run_at, '-infinity') AS next_run_at,
    s.runs,
    s.skipped,
    s.last_slot,
    s.last_job_id,
    s.last_fired_at,
    o.state AS last_state,
    o.result AS last_result,
    coalesce(s.error, CASE WHEN o.reason = 'unknown_task' THEN concat(
        'no worker knows the task ', s.task, '; job ', s.last_job_id, ' waits for one')
    END) AS error,
    o.error AS last_error,
    s.created_at,
    s.updated_at
FROM pgqueue.schedules AS s
LEFT JOIN pgqueue.job_overview AS o ON o.id = s.last_job_id;

COMMENT ON VIEW pgqueue.schedule_overview IS
'One row a schedule with its status: active, paused, error, ended or undeclared; and its last job.';
