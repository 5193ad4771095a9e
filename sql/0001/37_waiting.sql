-- Purpose: is there a ready job in these queues, be it that somebody holds its row just now? The
-- last part of the doorbell's step S4 (31_ring.sql), and the fallback look of beat.
-- Called by: workers before they sleep; beat. Reads ready_jobs, queues, offers, slots, rate_takes.
-- Locks nothing.
-- Why a plain read: a claim skips a row that somebody holds, and if that transaction rolls back,
-- nobody rings. A plain read sees the row until the other has committed.
-- Why one descent a queue: a paused queue with a long backlog would be walked to its end.
CREATE FUNCTION pgqueue.waiting(
    queues text[] DEFAULT '{*}',
    at timestamptz DEFAULT clock_timestamp()
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_paused text[] := ARRAY(
        SELECT q.name
        FROM pgqueue.queues AS q
        WHERE (q.paused AND (q.resume_at IS NULL OR q.resume_at > waiting.at))
            OR ((q.max_running IS NOT NULL OR q.rate_jobs IS NOT NULL)
                AND pgqueue.queue_room(q.name, waiting.at) <= 0)
    );
BEGIN
    -- A key whose line may go on, for whichever queue.
    IF EXISTS (SELECT FROM pgqueue.offers AS o WHERE o.at IS NULL) THEN
        RETURN true;
    END IF;
    IF EXISTS (
        WITH RECURSIVE found AS (
            (
                SELECT b.queue
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'fair'
                ORDER BY b.queue
                LIMIT 1
            )
            UNION ALL
            SELECT (
                SELECT b.queue
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'fair' AND b.queue > f.queue
                ORDER BY b.queue
                LIMIT 1
            )
            FROM found AS f
            WHERE f.queue IS NOT NULL
        )
        SELECT FROM found AS f
        WHERE f.queue <> ALL (v_paused)
            AND (f.queue = ANY (waiting.queues) OR '*' = ANY (waiting.queues))
    ) THEN
        RETURN true;
    END IF;
    IF '*' = ANY (waiting.queues) THEN
        RETURN EXISTS (
            WITH RECURSIVE found AS (
                (SELECT r.queue FROM pgqueue.ready_jobs AS r ORDER BY r.queue LIMIT 1)
                UNION ALL
                SELECT (
                    SELECT r.queue
                    FROM pgqueue.ready_jobs AS r
                    WHERE r.queue > f.queue
                    ORDER BY r.queue
                    LIMIT 1
                )
                FROM found AS f
                WHERE f.queue IS NOT NULL
            )
            SELECT FROM found AS f WHERE f.queue <> ALL (v_paused)
        );
    END IF;
    RETURN EXISTS (
        SELECT
        FROM unnest(waiting.queues) AS q (name)
        CROSS JOIN LATERAL (
            SELECT FROM pgqueue.ready_jobs AS r WHERE r.queue = q.name LIMIT 1
        ) AS r
        WHERE q.name <> ALL (v_paused)
    );
END
$$;

COMMENT ON FUNCTION pgqueue.waiting(text[], timestamptz) IS
'Tell whether a job of these queues may run now, or may again if somebody who holds it lets go.

Ask it before sleeping, after pgqueue.dequeue found nothing: while it says true, look again a little
later instead.

Args: queues: names, or {*} for every queue; paused ones, and those at their limit, do not count;
at: the time it is.
Returns: true when there is one.';
