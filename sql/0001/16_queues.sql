-- Purpose: settings of queues. A queue without settings has no row: queues come to be by being
-- named.
-- Written by: pause, resume, configure_queue. Read by: claim (paused), finish (retention).
CREATE TABLE pgqueue.queues (
    name text PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    resume_at timestamptz,
    retention_succeeded interval,
    retention_other interval
);

COMMENT ON TABLE pgqueue.queues IS 'Settings of the queues that have some.';
COMMENT ON COLUMN pgqueue.queues.name IS 'The queue.';
COMMENT ON COLUMN pgqueue.queues.paused IS 'True while no job of it may be started.';
COMMENT ON COLUMN pgqueue.queues.resume_at IS 'When a pause ends by itself; null means never.';
COMMENT ON COLUMN pgqueue.queues.retention_succeeded IS
'How long succeeded jobs are kept; null means 7 days, zero deletes them at once.';
COMMENT ON COLUMN pgqueue.queues.retention_other IS
'How long failed, cancelled and expired jobs are kept; null means 30 days.';
