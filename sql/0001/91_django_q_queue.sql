-- Purpose: the tasks of django-q that wait or run, as its model OrmQ has them.
-- Read and written by: people through the ORM and the admin; see django_q_queue_write.
-- Why the position tables come first: they are short whatever has ended, and a condition on the
-- key is one on their queue.
-- Why two colons are left out, but for packages: so begin the names of jobs that the facade itself
-- needs, as that which waits for the next run of a schedule.
-- Why lock is what it is: the old broker took what was locked until a time that has passed, so a
-- task that may be taken has one in the past, one that is tried again or comes later has the time
-- when that is, and one that runs has one that does not come.
CREATE VIEW pgqueue.django_q_queue AS
SELECT
    j.id,
    p.queue AS key,
    CASE
        WHEN j.task = 'django_q::package' THEN j.args ->> 0
        ELSE jsonb_build_object(
            'task', j.task, 'args', j.args, 'kwargs', j.kwargs, 'queue', j.queue,
            'options', coalesce(j.meta -> 'django_q', '{}'), 'started', j.created_at,
            'timeout', extract(epoch FROM j.timeout)::float8
        )::text
    END AS payload,
    CASE p.state
        WHEN 'ready' THEN j.created_at
        WHEN 'scheduled' THEN p.run_at
        WHEN 'running' THEN timestamptz 'infinity'
    END AS lock,
    p.state
FROM (
    SELECT r.job_id, r.queue, 'ready' AS state, NULL::timestamptz AS run_at
    FROM pgqueue.ready_jobs AS r
    UNION ALL
    SELECT s.job_id, s.queue, 'scheduled', s.run_at FROM pgqueue.scheduled_jobs AS s
    UNION ALL
    SELECT u.job_id, u.queue, 'running', NULL FROM pgqueue.running_jobs AS u
    UNION ALL
    SELECT b.job_id, b.queue, 'blocked', NULL FROM pgqueue.blocked_jobs AS b
) AS p
JOIN pgqueue.jobs AS j ON j.id = p.job_id
WHERE j.task LIKE 'django\_q:%'
    AND (j.task NOT LIKE 'django\_q::%' OR j.task = 'django_q::package');

COMMENT ON VIEW pgqueue.django_q_queue IS
'The tasks of django-q that wait or run: id, key (the queue), payload (what is to be done), lock
(when it may be taken) and state; the model django_q.OrmQ.';
