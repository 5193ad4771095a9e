-- Purpose: refuse jobs of a queue in which too many wait already.
-- Called by: the insert trigger, where a queue has max_pending, once the new jobs are filed.
-- Reads queues, ready_jobs, blocked_jobs. Errors: PQ007.
-- Why it counts: a counter would be a row that every producer and every worker updates. It reads
-- the index of ready_jobs to the limit and no further: 0.1 ms for 1,000 jobs, 10 ms for 100,000.
-- Two producers that have not committed do not count each other.
-- Why the setting: what follows the end of a job must not keep it from ending.
CREATE FUNCTION pgqueue.check_room(queues text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_full record;
BEGIN
    IF current_setting('pgqueue.overfill', true) = 'on' THEN
        RETURN;
    END IF;
    SELECT q.name, q.max_pending INTO v_full
    FROM pgqueue.queues AS q
    WHERE q.name = ANY (check_room.queues)
        AND q.max_pending < (
            SELECT count(*)
            FROM (
                SELECT FROM pgqueue.ready_jobs AS r
                WHERE r.queue = q.name
                LIMIT q.max_pending + 1::bigint
            ) AS r
        ) + (
            SELECT count(*)
            FROM (
                SELECT FROM pgqueue.blocked_jobs AS b
                WHERE b.queue = q.name
                LIMIT q.max_pending + 1::bigint
            ) AS b
        )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ007',
            MESSAGE = format(
                'queue %s must have at most %s jobs waiting; with these it would have more',
                quote_literal(v_full.name), v_full.max_pending),
            HINT = 'enqueue later, or fewer at once, or raise its max_pending';
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.check_room(text[]) IS
'Refuse jobs of a queue in which too many wait already. Internal.

Args: queues: names.
Errors: PQ007.';
