-- Purpose: file the jobs that came in without the trigger (logical replication, a restored table).
-- Called by: the leader every few seconds, with the id up to which it has looked; people, with 0.
-- Reads jobs and the position tables; writes ready_jobs, scheduled_jobs and, for a job that the
-- trigger would have refused, or dropped as a duplicate, finished_jobs.
-- Locks: advisory (70677104, 1) until the end of the transaction, tried, so that two callers do not
-- file one job: the later one would file it again after a worker had taken it; the jobs it files,
-- skipping those that others hold, so that a DELETE meanwhile leaves no position behind; those of
-- ring.
CREATE FUNCTION pgqueue.file_strays(
    above bigint DEFAULT 0,
    max_jobs integer DEFAULT 10000,
    at timestamptz DEFAULT clock_timestamp(),
    OUT filed integer,
    OUT reached bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_queues text[];
    v_soon boolean;
    v_ended bigint[];
    v_unique bigint[];
    v_keyed bigint[];
    v_keys record;
BEGIN
    file_strays.filed := 0;
    file_strays.reached := file_strays.above;
    IF NOT pg_try_advisory_xact_lock(70677104, 1) THEN
        RETURN;
    END IF;
    WITH seen AS MATERIALIZED (
        SELECT j.id
        FROM pgqueue.jobs AS j
        WHERE j.id > file_strays.above
        ORDER BY j.id
        LIMIT file_strays.max_jobs
    ),
    stray AS MATERIALIZED (
        SELECT (x.job).*, pgqueue.refusal(x.job) AS refusal, pgqueue.job_flags(x.job) AS flags
        FROM (
            SELECT s.id
            FROM seen AS s
            WHERE NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS p WHERE p.job_id = s.id)
                AND NOT EXISTS (SELECT FROM pgqueue.ready_jobs AS p WHERE p.job_id = s.id)
                AND NOT EXISTS (SELECT FROM pgqueue.running_jobs AS p WHERE p.job_id = s.id)
                AND NOT EXISTS (SELECT FROM pgqueue.scheduled_jobs AS p WHERE p.job_id = s.id)
                AND NOT EXISTS (SELECT FROM pgqueue.blocked_jobs AS p WHERE p.job_id = s.id)
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT j AS job
            FROM pgqueue.jobs AS j
            WHERE j.id = s.id
            OFFSET 0
            FOR KEY SHARE SKIP LOCKED
        ) AS x
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs (job_id, run_at, queue, priority, flags)
        SELECT
            n.id, n.run_at, n.queue, n.priority,
            n.flags
        FROM stray AS n
        WHERE n.refusal IS NULL AND n.run_at > file_strays.at AND (n.flags & 4096) = 0
        RETURNING run_at
    ),
    refused AS (
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, finished_at, keep_until, error)
        SELECT
            n.id, 'failed', 0, file_strays.at,
            file_strays.at + pgqueue.retention(n.queue, 'failed'), 'refused: ' || n.refusal
        FROM stray AS n
        WHERE n.refusal IS NOT NULL
        RETURNING job_id
    ),
    ready AS (
        INSERT INTO pgqueue.ready_jobs (queue, priority, seq, job_id, flags)
        SELECT
            n.queue, n.priority, n.id, n.id,
            n.flags
        FROM stray AS n
        WHERE n.refusal IS NULL
            AND (n.run_at IS NULL OR n.run_at <= file_strays.at)
            AND (n.flags & 4096) = 0
        RETURNING queue
    ),
    -- Whether what they run after told them anything nobody knows: the leader looks.
    blocked AS (
        INSERT INTO pgqueue.blocked_jobs (job_id, reason, queue, priority, flags)
        SELECT n.id, 'after', n.queue, n.priority, n.flags
        FROM stray AS n
        WHERE n.refusal IS NULL AND (n.flags & 4096) <> 0
    ),
    waits AS (
        INSERT INTO pgqueue.job_waits (job_id, remaining, run_if, late)
        SELECT
            n.id, (SELECT count(DISTINCT a.id) FROM unnest(n.after) AS a (id)),
            coalesce(n.run_if, 'succeeded'), true
        FROM stray AS n
        WHERE n.refusal IS NULL AND (n.flags & 4096) <> 0
    ),
    members AS (
        INSERT INTO pgqueue.group_deltas (group_id, total)
        SELECT n.group_id, count(*)::integer
        FROM stray AS n
        WHERE n.refusal IS NULL AND n.group_id IS NOT NULL
        GROUP BY n.group_id
    )
    SELECT
        (SELECT count(*) FROM stray),
        coalesce((SELECT max(s.id) FROM seen AS s), file_strays.above),
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r),
        (SELECT min(l.run_at) < file_strays.at + interval '2 s' FROM later AS l),
        (SELECT array_agg(r.job_id) FROM refused AS r),
        (
            SELECT array_agg(n.id)
            FROM stray AS n
            WHERE n.refusal IS NULL AND (n.flags & 4) <> 0
        ),
        (SELECT array_agg(n.id) FROM stray AS n WHERE (n.flags & 48) <> 0)
    INTO file_strays.filed, file_strays.reached, v_queues, v_soon, v_ended, v_unique, v_keyed;
    IF v_unique IS NOT NULL THEN
        v_keys := pgqueue.take_unique_keys(v_unique, true, file_strays.at);
        PERFORM pgqueue.end_waiting(
            v_keys.dropped || coalesce(v_keys.undecided, '{}'), 'cancelled',
            'cancelled: duplicate of a job with the same unique_key', file_strays.at);
    END IF;
    PERFORM pgqueue.settle(v_ended, NULL, 0, file_strays.at);
    IF v_keyed IS NOT NULL THEN
        PERFORM pgqueue.hold_back(v_keyed);
    END IF;
    PERFORM pgqueue.ring(v_queues);
    IF v_soon THEN
        PERFORM pgqueue.ring_leader();
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.file_strays(bigint, integer, timestamptz) IS
'File the jobs that came in without the trigger.

Args: above: look at jobs with a higher id; max_jobs: the most to look at; at: the time it is.
Returns: filed: how many had no position (one that the trigger would have refused ends as failed);
reached: the highest id looked at.
Locks: advisory (70677104, 1) until the end of the transaction; while another holds it, nothing is
filed; the jobs it files, FOR KEY SHARE, skipping those that others hold.';
