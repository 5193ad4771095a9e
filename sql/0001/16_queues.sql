-- Purpose: settings of queues. A queue without settings has no row: queues come to be by being
-- named.
-- Written by: pause, resume, configure_queue. Read by: claim (paused), finish (retention).
CREATE TABLE pgqueue.queues (
    name text PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    resume_at timestamptz,
    retention_succeeded interval,
    retention_other interval,
    max_running integer,
    rate_jobs integer,
    rate_seconds double precision,
    max_pending integer
);

COMMENT ON TABLE pgqueue.queues IS 'Settings of the queues that have some.';
COMMENT ON COLUMN pgqueue.queues.name IS 'The queue.';
COMMENT ON COLUMN pgqueue.queues.paused IS 'True while no job of it may be started.';
COMMENT ON COLUMN pgqueue.queues.resume_at IS 'When a pause ends by itself; null means never.';
COMMENT ON COLUMN pgqueue.queues.retention_succeeded IS
'How long succeeded jobs are kept; null means 7 days, zero deletes them at once.';
COMMENT ON COLUMN pgqueue.queues.retention_other IS
'How long failed, cancelled and expired jobs are kept; null means 30 days.';
COMMENT ON COLUMN pgqueue.queues.max_running IS
'How many of its jobs may run at once, of all workers together; null means no limit.';
COMMENT ON COLUMN pgqueue.queues.rate_jobs IS
'How many of its jobs may start in rate_seconds; null means no limit.';
COMMENT ON COLUMN pgqueue.queues.rate_seconds IS 'The period of rate_jobs.';
COMMENT ON COLUMN pgqueue.queues.max_pending IS
'How many of its jobs may wait before an enqueue is refused; null means no limit.';
