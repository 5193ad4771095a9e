-- Purpose: let a job that does not run be run in another queue.
-- Called by: people and programs. Deletes and inserts the position row in one statement: such rows
-- are never updated. Updates jobs, as django_future_store does and nothing else. Locks: the job
-- against being deleted meanwhile, which would leave the position behind; the position row; those
-- of ring.
-- Errors: PQ002, PQ004.
-- Why jobs is written too: a job that is over has no other place for its queue, from which a retry
-- takes it; and who looks for the jobs of a queue finds those that came later. It is rare, and a
-- large payload is out of line and not written again.
-- Why a loop: the job may move from one waiting table to another between two of the statements.
CREATE FUNCTION pgqueue.set_queue(job_id bigint, queue text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_state text;
BEGIN
    PERFORM pgqueue.check_queue_name(set_queue.queue);
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = set_queue.job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no job %s', set_queue.job_id),
            HINT = 'it may have been pruned; see the retention of its queue';
    END IF;
    FOR v_pass IN 1..10 LOOP
        WITH moved AS (
            DELETE FROM pgqueue.ready_jobs AS r
            WHERE r.job_id = set_queue.job_id
            RETURNING r.*
        )
        INSERT INTO pgqueue.ready_jobs AS r
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            set_queue.queue, m.priority, m.seq, m.job_id, m.attempt, m.lost, m.crashes, m.flags
        FROM moved AS m;
        IF FOUND THEN
            v_state := 'ready';
            PERFORM pgqueue.ring(ARRAY[set_queue.queue]);
            IF EXISTS (
                SELECT FROM pgqueue.queues AS q WHERE q.name = set_queue.queue AND q.paused
            ) THEN
                PERFORM pgqueue.park(set_queue.queue, clock_timestamp());
            END IF;
            EXIT;
        END IF;
        WITH moved AS (
            DELETE FROM pgqueue.scheduled_jobs AS s
            WHERE s.job_id = set_queue.job_id
            RETURNING s.*
        )
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags, reason)
        SELECT
            m.job_id, m.run_at, set_queue.queue, m.priority, m.attempt, m.lost, m.crashes,
            m.flags, m.reason
        FROM moved AS m;
        IF FOUND THEN
            v_state := 'scheduled';
            EXIT;
        END IF;
        WITH moved AS (
            DELETE FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = set_queue.job_id
            RETURNING b.*
        )
        INSERT INTO pgqueue.blocked_jobs
            (job_id, reason, key, queue, priority, seq, attempt, lost, crashes, flags)
        SELECT
            m.job_id, m.reason, m.key, set_queue.queue, m.priority, m.seq, m.attempt, m.lost,
            m.crashes, m.flags
        FROM moved AS m;
        IF FOUND THEN
            v_state := 'blocked';
            -- It may come out of a paused queue.
            INSERT INTO pgqueue.offers (key)
            SELECT b.key
            FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = set_queue.job_id AND b.reason = 'concurrency';
            -- One with a fair key may have its turn at once.
            PERFORM pgqueue.ring(ARRAY[set_queue.queue]);
            EXIT;
        END IF;
        SELECT o.state INTO v_state FROM pgqueue.job_overview AS o WHERE o.id = set_queue.job_id;
        EXIT WHEN v_state IS NULL OR v_state NOT IN ('ready', 'scheduled', 'blocked');
    END LOOP;
    IF v_state IS DISTINCT FROM 'running' THEN
        UPDATE pgqueue.jobs AS j SET queue = set_queue.queue WHERE j.id = set_queue.job_id;
    END IF;
    RETURN v_state;
END
$$;

COMMENT ON FUNCTION pgqueue.set_queue(bigint, text) IS
'Let a waiting job run in another queue, or one that is over, should it be retried. One that runs is
left as it is. The most that may wait in a queue is not asked: the job is in already.

Args: job_id; queue.
Returns: its state.
Errors: PQ002 when there is no such job; PQ004 for a bad name.
Locks: the job, FOR NO KEY UPDATE; the position row.';
