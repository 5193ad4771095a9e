-- Purpose: make a worker known, so that it may take jobs.
-- Called by: workers, once at their start and again when they were given up as lost. Writes
-- workers.
CREATE FUNCTION pgqueue.register_worker(
    name text,
    queues text[] DEFAULT '{*}',
    hostname text DEFAULT '',
    pid integer DEFAULT 0,
    processes integer DEFAULT 1,
    threads integer DEFAULT 1,
    version text DEFAULT '',
    lease interval DEFAULT '30 s',
    at timestamptz DEFAULT clock_timestamp()
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    INSERT INTO pgqueue.workers (
        name, queues, hostname, pid, processes, threads, version, lease, started_at, heartbeat_at
    )
    VALUES (
        register_worker.name, register_worker.queues, register_worker.hostname,
        register_worker.pid, register_worker.processes, register_worker.threads,
        register_worker.version, register_worker.lease, register_worker.at, register_worker.at
    )
    RETURNING id
$$;

COMMENT ON FUNCTION pgqueue.register_worker(
    text, text[], text, integer, integer, integer, text, interval, timestamptz
) IS
'Make a worker known.

Args: name: for people; queues: what it takes; hostname, pid, processes, threads, version: for
people; lease: how long its jobs stay its own without a heartbeat; at: the time it is.
Returns: the id that every other worker function takes.';
