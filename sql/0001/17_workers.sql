-- Purpose: one row a worker (a supervisor with its children), with its sign of life.
-- Written by: register_worker, beat, tell_children, hold_liveness, held, forget_worker; deleted by
-- rescue when lost.
CREATE TABLE pgqueue.workers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    hostname text NOT NULL DEFAULT '',
    pid integer NOT NULL DEFAULT 0,
    queues text[] NOT NULL DEFAULT '{*}',
    processes integer NOT NULL DEFAULT 1,
    threads integer NOT NULL DEFAULT 1,
    version text NOT NULL DEFAULT '',
    lease interval NOT NULL DEFAULT '30 s',
    has_lock boolean NOT NULL DEFAULT false,
    is_leader boolean NOT NULL DEFAULT false,
    fence bigint,
    children integer[] NOT NULL DEFAULT '{}',
    replaced integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);

COMMENT ON TABLE pgqueue.workers IS 'The workers that are alive, or were until just now.';
COMMENT ON COLUMN pgqueue.workers.id IS 'Given at registration; a restarted worker gets a new one.';
COMMENT ON COLUMN pgqueue.workers.name IS 'For people: host:pid unless one was given.';
COMMENT ON COLUMN pgqueue.workers.hostname IS 'The machine it runs on.';
COMMENT ON COLUMN pgqueue.workers.pid IS 'Process id of the supervisor on that machine.';
COMMENT ON COLUMN pgqueue.workers.queues IS 'The queues it takes jobs from; {*} means all.';
COMMENT ON COLUMN pgqueue.workers.processes IS 'How many children it runs.';
COMMENT ON COLUMN pgqueue.workers.threads IS 'How many slots each child has.';
COMMENT ON COLUMN pgqueue.workers.version IS 'Version of pgqueue it runs.';
COMMENT ON COLUMN pgqueue.workers.lease IS
'How long its jobs stay its own without a heartbeat.';
COMMENT ON COLUMN pgqueue.workers.has_lock IS
'True while a session of it holds the advisory lock that tells its death at once.';
COMMENT ON COLUMN pgqueue.workers.is_leader IS
'True for the worker that promotes, rescues and prunes.';
COMMENT ON COLUMN pgqueue.workers.fence IS
'Batches up to this number come too late: they were sent over a connection that was lost.';
COMMENT ON COLUMN pgqueue.workers.children IS
'Process ids of its children on that machine, as of its last sign of life but one.';
COMMENT ON COLUMN pgqueue.workers.replaced IS
'How many of its children have taken the place of another: that died, was killed, had run enough
jobs or was too large.';
COMMENT ON COLUMN pgqueue.workers.started_at IS 'When it registered.';
COMMENT ON COLUMN pgqueue.workers.heartbeat_at IS 'Its last sign of life, by the server''s clock.';
