-- Purpose: one row a worker with what it does, for people. Reads workers, running_jobs.
CREATE VIEW pgqueue.worker_overview AS
SELECT
    w.id, w.name, w.hostname, w.pid, w.queues, w.processes, w.threads, w.version, w.is_leader,
    w.has_lock, w.started_at, w.heartbeat_at,
    extract(epoch FROM clock_timestamp() - w.heartbeat_at)::float8 AS silent_seconds,
    clock_timestamp() - w.heartbeat_at > w.lease AS lost,
    coalesce(r.running, 0) AS running, w.children, w.replaced
FROM pgqueue.workers AS w
LEFT JOIN (
    SELECT u.worker_id, count(*) AS running FROM pgqueue.running_jobs AS u GROUP BY u.worker_id
) AS r ON r.worker_id = w.id;

COMMENT ON VIEW pgqueue.worker_overview IS
'One row a worker: where it runs, what it takes, how long it has been silent, how many jobs it
holds.';
