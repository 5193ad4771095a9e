-- Purpose: give every new job its position: due ones into ready_jobs, future ones into
-- scheduled_jobs; and ring the doorbell for the queues that got a ready one.
-- Fired by: every INSERT and COPY into jobs, once a statement. Reads the new rows; writes ready_jobs
-- and scheduled_jobs. Locks: those of ring and ring_leader.
-- Why once a statement: 202,000 rows a second in bulk against 121,000 with a row-level trigger.
-- Why the clock and not now(): now() lags by the whole business transaction, which would file a job
-- that is due already as a future one.
CREATE FUNCTION pgqueue.jobs_file() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_queues text[];
    v_next timestamptz;
BEGIN
    WITH ready AS (
        INSERT INTO pgqueue.ready_jobs (queue, priority, seq, job_id, flags)
        SELECT
            n.queue,
            n.priority,
            n.id,
            n.id,
            (n.expires_at IS NOT NULL)::integer
                + 2 * (n.timeout IS NOT NULL OR n.max_attempts IS NOT NULL
                    OR n.meta IS NOT NULL)::integer
        FROM new_jobs AS n
        WHERE n.run_at IS NULL OR n.run_at <= v_at
        RETURNING queue
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs (job_id, run_at, queue, priority, flags)
        SELECT
            n.id,
            n.run_at,
            n.queue,
            n.priority,
            (n.expires_at IS NOT NULL)::integer
                + 2 * (n.timeout IS NOT NULL OR n.max_attempts IS NOT NULL
                    OR n.meta IS NOT NULL)::integer
        FROM new_jobs AS n
        WHERE n.run_at > v_at
        RETURNING run_at
    )
    SELECT
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r),
        (SELECT min(l.run_at) FROM later AS l)
    INTO v_queues, v_next;
    IF v_queues IS NOT NULL THEN
        PERFORM pgqueue.ring(v_queues);
    END IF;
    IF v_next < v_at + interval '2 s' THEN
        PERFORM pgqueue.ring_leader();
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_file() IS
'File the jobs of one INSERT as ready or scheduled, and ring the doorbell for the ready ones.';

CREATE TRIGGER jobs_file
AFTER INSERT ON pgqueue.jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT
EXECUTE FUNCTION pgqueue.jobs_file();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file;

COMMENT ON TRIGGER jobs_file ON pgqueue.jobs IS
'Gives every new job its position and rings the doorbell.';
