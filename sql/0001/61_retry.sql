-- Purpose: run a job again, or a waiting one now.
-- Called by: people and programs; retry_group. Moves finished_jobs or scheduled_jobs to ready_jobs
-- or scheduled_jobs; counts it as not over for its group and for the jobs that run after it.
-- Locks: the job against being deleted meanwhile, which would leave the position behind; the
-- position row; rows of job_waits and groups; the key of a unique job; those of ring.
-- Errors: PQ002, PQ003, PQ006.
-- Why not KEY SHARE: such locks overtake a waiting DELETE for ever; these stand in line with it.
-- Why lost grows: attempt numbers never fall, so a job that has used up its budget gets it back by
-- counting the past attempts as lost.
-- Why the flags are made anew: a job whose expires_at has passed runs all the same, since somebody
-- asked for it; without the flag neither claim nor expire looks at that time.
CREATE FUNCTION pgqueue.retry(
    job_id bigint,
    run_at timestamptz DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_job record;
    v_attempt integer;
    v_lost integer;
    v_crashes integer;
    v_queue text;
    v_priority integer;
    v_state text;
    v_keys record;
    v_was record;
BEGIN
    SELECT
        j.queue, j.priority, j.group_id,
        pgqueue.job_flags(j)
            - coalesce(j.expires_at <= greatest(retry.at, retry.run_at), false)::integer AS flags,
        pgqueue.refusal(j) AS refusal
    INTO v_job
    FROM pgqueue.jobs AS j
    WHERE j.id = retry.job_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no job %s', retry.job_id),
            HINT = 'it may have been pruned; see the retention of its queue';
    END IF;
    IF v_job.refusal IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ003',
            MESSAGE = format('job %s could never run: %s', retry.job_id, v_job.refusal),
            HINT = 'enqueue it anew';
    END IF;
    DELETE FROM pgqueue.finished_jobs AS f
    WHERE f.job_id = retry.job_id
    RETURNING
        f.attempt,
        CASE WHEN f.state = 'expired' THEN 'failed'
            WHEN f.state = 'cancelled' AND f.error LIKE 'skipped:%' THEN 'skipped'
            ELSE f.state END AS state
    INTO v_was;
    IF FOUND THEN
        v_attempt := v_was.attempt;
        v_lost := v_was.attempt;
        v_crashes := 0;
        -- What waits for it, or counts it, must do so again.
        IF (v_job.flags & 1024) <> 0 THEN
            UPDATE pgqueue.job_waits AS w
            SET remaining = w.remaining + 1,
                failed = w.failed - (v_was.state IN ('failed', 'cancelled'))::integer
            WHERE w.job_id IN (
                SELECT d.child_id FROM pgqueue.job_dependencies AS d
                WHERE d.parent_id = retry.job_id
            );
        END IF;
        IF v_job.group_id IS NOT NULL THEN
            PERFORM pgqueue.reopen_groups(v_job.group_id, (v_was.state = 'succeeded')::integer,
                (v_was.state = 'failed')::integer, (v_was.state = 'cancelled')::integer,
                (v_was.state = 'skipped')::integer);
        END IF;
        IF (v_job.flags & 4096) <> 0 THEN
            DELETE FROM pgqueue.job_waits AS w WHERE w.job_id = retry.job_id;
        END IF;
        v_queue := v_job.queue;
        v_priority := v_job.priority;
        IF (v_job.flags & 4) <> 0 THEN
            v_keys := pgqueue.take_unique_keys(ARRAY[retry.job_id], true, retry.at);
            IF v_keys.undecided IS NOT NULL OR v_keys.dropped <> '{}' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'PQ006',
                    MESSAGE = format('the unique_key of job %s must be free for it to be retried; '
                        'another job has it', retry.job_id),
                    HINT = 'wait for the other job, or cancel it first';
            END IF;
        END IF;
    ELSE
        DELETE FROM pgqueue.scheduled_jobs AS s
        WHERE s.job_id = retry.job_id
        RETURNING s.attempt, s.lost, s.crashes, s.queue, s.priority
        INTO v_attempt, v_lost, v_crashes, v_queue, v_priority;
        IF NOT FOUND THEN
            -- Where it stands now: somebody may have moved it, or deleted it, in between.
            SELECT o.state INTO v_state FROM pgqueue.job_overview AS o WHERE o.id = retry.job_id;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'PQ002',
                    MESSAGE = format('there is no job %s', retry.job_id),
                    HINT = 'it was deleted just now';
            END IF;
            IF v_state = 'ready' THEN
                RETURN 'ready';
            END IF;
            RAISE EXCEPTION USING
                ERRCODE = 'PQ003',
                MESSAGE = format('job %s must be over or scheduled to be retried; it is %s',
                    retry.job_id, coalesce(v_state, 'in no position')),
                HINT = 'wait for it, or cancel it first';
        END IF;
    END IF;
    DELETE FROM pgqueue.cancel_requests AS c WHERE c.job_id = retry.job_id;
    IF retry.run_at > retry.at THEN
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags, reason)
        VALUES (
            retry.job_id, retry.run_at, v_queue, v_priority, v_attempt, v_lost, v_crashes,
            v_job.flags, 'retry'
        );
        IF retry.run_at < retry.at + interval '2 s' THEN
            PERFORM pgqueue.ring_leader();
        END IF;
        RETURN 'scheduled';
    END IF;
    INSERT INTO pgqueue.ready_jobs
        (queue, priority, seq, job_id, attempt, lost, crashes, flags)
    VALUES (
        v_queue, v_priority, nextval('pgqueue.jobs_id_seq'), retry.job_id, v_attempt, v_lost,
        v_crashes, v_job.flags
    );
    PERFORM pgqueue.ring(ARRAY[v_queue]);
    IF (v_job.flags & 48) <> 0 THEN
        PERFORM pgqueue.hold_back(ARRAY[retry.job_id]);
        RETURN 'blocked';
    END IF;
    RETURN 'ready';
END
$$;

COMMENT ON FUNCTION pgqueue.retry(bigint, timestamptz, timestamptz) IS
'Run a job again that is over, with its whole budget of attempts, or a scheduled one now.

Args: job_id; run_at: when, or null for now; at: the time it is. A job whose expires_at has passed
by then runs all the same: somebody asked for it.
Returns: ready, scheduled, or blocked where it waits in the line of its concurrency_key.
Errors: PQ002 when there is no such job; PQ003 when it is running or blocked, or was filed by
pgqueue.file_strays as one that could never run; PQ006 when another job has its unique_key now.
Locks: the job, FOR NO KEY UPDATE; the position row.';
