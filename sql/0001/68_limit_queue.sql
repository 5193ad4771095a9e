-- Purpose: say how many jobs of a queue may run at once, start in a time, or wait.
-- Called by: people and programs. Writes queues, slots, rate_takes; rings. It holds from the next
-- claim on. Locks: the row of the queue; where a limit comes or goes, or counts in other parts,
-- advisory (70677107, hash of the queue), waited for: claims hold it for as long as they take, and
-- pass by the queue while it is held here. Errors: PQ004.
-- Why the slots are written here: jobs that run already count against a limit that is new.
-- Why starts are forgotten only with the length of the period: they are counted in parts of it.
-- Why nothing else is touched: programs set the same limits each time they are deployed, maybe in
-- a transaction that lasts.
CREATE FUNCTION pgqueue.limit_queue(queue text, limits jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_wrong text;
    v_before record;
    v_slots boolean;
    v_parts boolean;
BEGIN
    PERFORM pgqueue.check_queue_name(limit_queue.queue);
    SELECT
        CASE
            WHEN l.key NOT IN ('max_running', 'rate', 'max_pending') THEN concat(
                'limits must be max_running, rate and max_pending; got ',
                quote_literal(left(l.key, 60)))
            WHEN l.key = 'rate' AND l.value <> 'null'
                AND pgqueue.rate_jobs(l.value #>> '{}') IS NULL
            THEN concat(
                'rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got ',
                quote_literal(left(l.value #>> '{}', 60)))
            WHEN l.key <> 'rate' AND l.value <> 'null' AND NOT CASE
                WHEN jsonb_typeof(l.value) = 'number'
                THEN (l.value #>> '{}')::numeric BETWEEN 0 AND 2147483647
                    AND (l.value #>> '{}')::numeric % 1 = 0
                ELSE false
            END THEN concat(
                l.key, ' must be a whole number from 0 on, or null for no limit; got ',
                left(l.value #>> '{}', 60))
        END
    INTO v_wrong
    FROM jsonb_each(limit_queue.limits) AS l
    ORDER BY 1
    LIMIT 1;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ004', MESSAGE = v_wrong;
    END IF;
    INSERT INTO pgqueue.queues AS q (name) VALUES (limit_queue.queue) ON CONFLICT DO NOTHING;
    SELECT q.rate_seconds, q.max_running INTO v_before
    FROM pgqueue.queues AS q
    WHERE q.name = limit_queue.queue
    FOR UPDATE;
    v_slots := limit_queue.limits ? 'max_running'
        AND (v_before.max_running IS NULL) <> (limit_queue.limits -> 'max_running' = 'null');
    v_parts := limit_queue.limits ? 'rate' AND v_before.rate_seconds
        IS DISTINCT FROM pgqueue.rate_seconds(limit_queue.limits ->> 'rate');
    IF v_slots OR v_parts THEN
        PERFORM pg_advisory_xact_lock(
            70677107, (hashtextextended(limit_queue.queue, 0) & 2147483647)::integer);
    END IF;
    UPDATE pgqueue.queues AS q
    SET max_running = CASE WHEN limit_queue.limits ? 'max_running'
            THEN (limit_queue.limits ->> 'max_running')::numeric::integer ELSE q.max_running END,
        max_pending = CASE WHEN limit_queue.limits ? 'max_pending'
            THEN (limit_queue.limits ->> 'max_pending')::numeric::integer ELSE q.max_pending END,
        rate_jobs = CASE WHEN limit_queue.limits ? 'rate'
            THEN pgqueue.rate_jobs(limit_queue.limits ->> 'rate') ELSE q.rate_jobs END,
        rate_seconds = CASE WHEN limit_queue.limits ? 'rate'
            THEN pgqueue.rate_seconds(limit_queue.limits ->> 'rate') ELSE q.rate_seconds END
    WHERE q.name = limit_queue.queue;
    IF v_parts THEN
        DELETE FROM pgqueue.rate_takes AS t WHERE t.queue = limit_queue.queue;
    END IF;
    IF v_slots THEN
        DELETE FROM pgqueue.slots AS s WHERE s.key = 'q:' || limit_queue.queue;
        IF limit_queue.limits -> 'max_running' <> 'null' THEN
            INSERT INTO pgqueue.slots (key, job_id)
            SELECT 'q:' || r.queue, r.job_id
            FROM pgqueue.running_jobs AS r
            WHERE r.queue = limit_queue.queue;
        END IF;
    END IF;
    PERFORM pgqueue.ring(ARRAY[limit_queue.queue]);
END
$$;

COMMENT ON FUNCTION pgqueue.limit_queue(text, jsonb) IS
'Limit a queue, for all workers together, from now on.

Args: queue; limits: a JSON object of those to change: max_running, how many jobs may run at once;
rate, how many may start in a time, as "100/m", never more in any stretch of that length;
max_pending, how many may wait before an enqueue is refused. null takes a limit away.
Errors: PQ004 for a bad name or limit.
Locks: the row of the queue.';
