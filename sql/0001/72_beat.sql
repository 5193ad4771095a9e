-- Purpose: the sign of life, and everything a worker must hear now and then, in one statement.
-- Called by: every worker every 2 seconds, on its listener session. Writes its row of workers;
-- reads ready_jobs, queues, cancel_requests, running_jobs.
-- Locks: its own row of workers; advisory (70677104, 0) of the session for the leader, never
-- waiting.
-- Why it tells whether work is waiting: it is the fallback poll too, should a ring ever be lost.
-- Why other workers lead beside a silent leader: the lock only avoids double work; everything a
-- leader does is idempotent, so that correctness never depends on who does it.
-- Why it does not wait for the disk: a sign of life that a crash of the server loses is not missed,
-- since whoever could rescue must first be connected for 10 s; a slow disk must not end a worker.
-- Why a null has_lead: behind a transaction pooler a session lock belongs to whoever is given the
-- server process next. There the worker leads whose row says so; of two, the one with the lower id,
-- and none beside one that can hold the lock.
CREATE FUNCTION pgqueue.beat(
    worker_id bigint,
    queues text[] DEFAULT '{*}',
    has_lead boolean DEFAULT false,
    at timestamptz DEFAULT clock_timestamp(),
    OUT known boolean,
    OUT waiting boolean,
    OUT leader boolean,
    OUT locked boolean,
    OUT cancels bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_leads boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF beat.has_lead IS NULL THEN
        beat.locked := false;
        v_leads := NOT EXISTS (
            SELECT
            FROM pgqueue.workers AS w
            LEFT JOIN pgqueue.workers AS mine ON mine.id = beat.worker_id AND mine.is_leader
            WHERE w.is_leader
                AND w.id <> beat.worker_id
                AND w.heartbeat_at > beat.at - interval '6 s'
                AND (w.has_lock OR w.id < mine.id OR mine.id IS NULL)
        );
    ELSE
        beat.locked := beat.has_lead OR pg_try_advisory_lock(70677104, 0);
        v_leads := beat.locked;
    END IF;
    UPDATE pgqueue.workers AS w
    SET heartbeat_at = beat.at, is_leader = v_leads
    WHERE w.id = beat.worker_id;
    beat.known := FOUND;
    beat.leader := v_leads OR NOT EXISTS (
        SELECT FROM pgqueue.workers AS w
        WHERE w.is_leader AND w.heartbeat_at > beat.at - interval '6 s'
    );
    beat.waiting := pgqueue.waiting(beat.queues, beat.at);
    IF EXISTS (SELECT FROM pgqueue.cancel_requests) THEN
        beat.cancels := ARRAY(
            SELECT c.job_id
            FROM pgqueue.cancel_requests AS c
            JOIN pgqueue.running_jobs AS r ON r.job_id = c.job_id
            WHERE r.worker_id = beat.worker_id
        );
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.beat(bigint, text[], boolean, timestamptz) IS
'Give a sign of life and hear the news.

Args: worker_id; queues: what it takes; has_lead: whether this session holds the leader lock
already, or null where a session lock cannot be held, behind a transaction pooler; at: the time it
is.
Returns: known: false when the worker was given up as lost; waiting: as pgqueue.waiting; leader:
whether it should promote, rescue and prune: it holds the leader lock, or nobody who does has been
heard of for 6 s; locked: whether this session holds the lock now; cancels: jobs it holds that
should stop.
Locks: its row of workers; advisory (70677104, 0), of the session.';
