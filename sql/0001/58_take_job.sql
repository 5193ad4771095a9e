-- Purpose: take one certain job for a worker, where that one is wanted and not whatever is next.
-- Called by: programs that run the jobs of a queue in an order of their own, and people.
-- Moves the job from ready_jobs, or from scheduled_jobs when it is due or early, to running_jobs;
-- an expired one to finished_jobs. For queues with limits writes slots, rate_takes and offers; for
-- keys with a rate, key_takes (take_rates).
-- Locks: advisory (70677105, worker) exclusive until the end of the transaction; the row of the
-- job, passing by when somebody else holds it; for a queue with limits advisory (70677107, hash of
-- the queue), tried.
-- Errors: PQ005.
-- Why its own function: claim takes the first rows of an index, and a condition in it would be paid
-- by every job there is.
CREATE FUNCTION pgqueue.take_job(
    worker_id bigint,
    batch_no bigint,
    job_id bigint,
    early boolean DEFAULT false,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_place record;
    v_job record;
    v_queue record;
    v_limited boolean := false;
BEGIN
    PERFORM pg_advisory_xact_lock(70677105, (take_job.worker_id % 2147483647)::integer);
    PERFORM FROM pgqueue.workers AS w
    WHERE w.id = take_job.worker_id AND coalesce(w.fence, -1) < take_job.batch_no;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ005',
            MESSAGE = format('worker %s is not registered, or has used batch %s already; it may '
                'have been given up as lost', take_job.worker_id, take_job.batch_no),
            HINT = 'stop what it runs, and register again with pgqueue.register_worker';
    END IF;
    SELECT r.queue, r.priority, r.attempt, r.lost, r.crashes, r.flags INTO v_place
    FROM pgqueue.ready_jobs AS r
    WHERE r.job_id = take_job.job_id
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- One that waits for a key when it is due must not pass the others: 16 and 32.
        SELECT s.queue, s.priority, s.attempt, s.lost, s.crashes, s.flags INTO v_place
        FROM pgqueue.scheduled_jobs AS s
        WHERE s.job_id = take_job.job_id
            AND (s.run_at <= take_job.at OR take_job.early)
            AND (s.flags & 48) = 0
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT j.* INTO v_job FROM pgqueue.jobs AS j WHERE j.id = take_job.job_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT
        q.paused AND (q.resume_at IS NULL OR q.resume_at > take_job.at) AS rests,
        q.max_running IS NOT NULL OR q.rate_jobs IS NOT NULL AS limited
    INTO v_queue
    FROM pgqueue.queues AS q
    WHERE q.name = v_place.queue;
    IF v_queue.rests AND NOT take_job.early THEN
        RETURN NULL;
    END IF;
    v_limited := coalesce(v_queue.limited, false);
    IF v_limited THEN
        IF NOT pg_try_advisory_xact_lock(
            70677107, (hashtextextended(v_place.queue, 0) & 2147483647)::integer)
        THEN
            RETURN NULL;
        END IF;
        IF pgqueue.queue_room(v_place.queue, take_job.at) < 1 THEN
            PERFORM pgqueue.rest(v_place.queue, take_job.at);
            RETURN NULL;
        END IF;
    END IF;

    DELETE FROM pgqueue.ready_jobs AS r WHERE r.job_id = take_job.job_id;
    DELETE FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = take_job.job_id;
    IF (v_place.flags & 1) = 1 AND v_job.expires_at <= take_job.at THEN
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
        VALUES (
            take_job.job_id, 'expired', v_place.attempt, v_place.lost, v_place.crashes,
            take_job.at, take_job.at + pgqueue.retention(v_place.queue, 'expired'),
            'expired before it could start'
        );
        PERFORM pgqueue.settle(
            ARRAY[take_job.job_id], ARRAY[take_job.job_id], -1, take_job.at);
        RETURN NULL;
    END IF;
    INSERT INTO pgqueue.running_jobs
        (job_id, worker_id, batch_no, queue, priority, attempt, lost, crashes, flags, started_at)
    VALUES (
        take_job.job_id, take_job.worker_id, take_job.batch_no, v_place.queue, v_place.priority,
        v_place.attempt + 1, v_place.lost, v_place.crashes,
        -- 8 goes, and takes 4 along: the key is given back below.
        v_place.flags & ~((v_place.flags & 8) + (v_place.flags & 8) / 2), take_job.at
    );
    IF v_limited THEN
        PERFORM pgqueue.take_slots(v_place.queue, ARRAY[take_job.job_id], take_job.at);
    END IF;
    IF (v_place.flags & 8) <> 0 THEN
        PERFORM pgqueue.release_unique_keys(ARRAY[take_job.job_id], take_job.at);
    END IF;
    IF (v_place.flags & 64) <> 0 THEN
        PERFORM pgqueue.take_rates(ARRAY[take_job.job_id], take_job.at);
    END IF;
    RETURN concat(
        '[', take_job.job_id, ',', v_place.attempt + 1, ',', v_place.lost, ',',
        to_json(v_job.task), ',', v_job.args, ',', v_job.kwargs, ',', to_json(v_place.queue), ',',
        v_place.priority, ',',
        CASE WHEN (v_place.flags & 2306) = 0 THEN 'null'
        ELSE json_build_object(
            'timeout', extract(epoch FROM v_job.timeout)::float8,
            'max_attempts', v_job.max_attempts,
            'meta', v_job.meta,
            'group_id', v_job.group_id,
            'results_as', v_job.results_as,
            'results', CASE WHEN (v_place.flags & 2048) <> 0 THEN
                pgqueue.parent_results(v_job.after)::json END
        )::text END,
        ']'
    );
END
$$;

COMMENT ON FUNCTION pgqueue.take_job(bigint, bigint, bigint, boolean, timestamptz) IS
'Take one certain job for a registered worker, out of its turn.

Args: worker_id: from pgqueue.register_worker; batch_no: a number of the caller''s, never used
before, that pgqueue.finish must name; job_id; early: also where it is not due yet, or its queue is
paused; at: the time it is.
Returns: one line, [id, attempt, lost, task, args, kwargs, queue, priority, options or null]; null
when the job does not wait, somebody else is at it, or a limit of its queue does not let it start.
Errors: PQ005 when the worker is not registered (any more).
Locks: the row of the job, passing by when somebody else holds it.';
