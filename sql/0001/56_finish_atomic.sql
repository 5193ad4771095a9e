-- Purpose: finish one job in the transaction that holds its own writes, so that both commit or
-- neither does.
-- Called by: the child that runs an atomic task, as its last statement before COMMIT; anybody who
-- took a job with pgqueue.dequeue.
-- Moves the job from running_jobs to finished_jobs (store_outcomes). Reads running_jobs.
-- Locks: those of store_outcomes, until the end of the caller's transaction; it waits for nobody.
--
-- Why without the advisory lock of the worker, which work, held and rescue take: it would be held
-- until the caller commits, and until then the supervisor of that worker could store nothing, take
-- nothing and ask for nothing. That lock keeps held() and rescue() from running beside a late
-- work(), which may still claim rows they have not seen. This function claims nothing: it deletes
-- one running row that its caller holds. So beside an uncommitted call
--   * held() still shows the row, and the supervisor still believes that its child has the job:
--     they agree. Once it has committed, the row is gone, and the supervisor, should it not have
--     heard so yet, only drops a job that is over.
--   * work() that tells another outcome of the job (its child was killed meanwhile) skips the
--     locked row and says "again"; told again, it is refused if this committed, and stored if not.
--   * rescue() and forget_worker() skip the row, and keep the worker on the list since they still
--     see it; the next round finds it gone, or free.
--   * the other way round, what they have locked is skipped here and answered with "again"; once
--     they have committed the row is gone, the answer is "lost", and the caller rolls back.
-- So each claim ends once, by whoever deletes its row, and the caller's writes commit exactly if
-- that was this function.
--
-- Why the time limit: a caller that freezes between this call and its COMMIT would keep the row
-- locked, which nobody could rescue. The server ends a transaction that idles so for 10 s.
CREATE FUNCTION pgqueue.finish_atomic(
    worker_id bigint,
    batch_no bigint,
    job_id bigint,
    attempt integer,
    result jsonb DEFAULT NULL,
    us bigint DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_started_at timestamptz;
    v_stored record;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
    SELECT r.started_at INTO v_started_at
    FROM pgqueue.running_jobs AS r
    WHERE r.job_id = finish_atomic.job_id
        AND r.worker_id = finish_atomic.worker_id
        AND r.batch_no = finish_atomic.batch_no
        AND r.attempt = finish_atomic.attempt;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    SELECT s.refused, s.again INTO v_stored
    FROM pgqueue.store_outcomes(
        finish_atomic.worker_id,
        json_build_array(json_build_object(
            'batch', finish_atomic.batch_no,
            'rest', json_build_array(json_build_object(
                'id', finish_atomic.job_id,
                'state', 'succeeded',
                'us', coalesce(finish_atomic.us, greatest(0, extract(
                    epoch FROM finish_atomic.at - v_started_at) * 1000000)::bigint),
                'result', finish_atomic.result
            ))
        )),
        finish_atomic.at
    ) AS s;
    RETURN CASE
        WHEN v_stored.refused IS NOT NULL THEN 'lost'
        WHEN v_stored.again IS NOT NULL THEN 'again'
        ELSE 'stored'
    END;
END
$$;

COMMENT ON FUNCTION pgqueue.finish_atomic(
    bigint, bigint, bigint, integer, jsonb, bigint, timestamptz
) IS
'Finish a job as succeeded in the transaction that holds its own writes: both commit, or neither.
Call it as the last statement before COMMIT: a transaction that idles for 10 s after it is ended.

Args: worker_id, batch_no, job_id, attempt: as given to and by pgqueue.dequeue; result: JSON or
null; us: microseconds the task took, null for the time since it was taken; at: the time it is.
Returns: stored: now commit; lost: the job is not this worker''s any more, roll back; again:
somebody holds its row just now, call once more a moment later, or roll back.
Locks: its running row, until the end of the transaction, skipped if others hold it.';
