-- Purpose: what nobody else tidies up: waiters that left without a word; results that were kept for
-- a flow that has ended; starts that count for no rate any more; groups whose jobs are gone; slots
-- of a queue that limit_queue wrote for jobs that were just ending, and slots of keys whose job is
-- ready in a paused queue.
-- Called by: the leader every few seconds; idempotent, anybody may. Deletes from waiters,
-- key_takes, slots and groups; writes groups and finished_jobs; rings.
-- Locks: the rows it deletes, skipping those that others hold; those of ring.
-- Why it parks jobs of paused queues: one that became ready while pause ran, by a transaction that
-- pause could not see, would keep the slot of its key for as long as the pause lasts.
-- Why a slot without a running job is nobody's: both are written and deleted in one transaction.
CREATE FUNCTION pgqueue.tidy(at timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_count integer;
    v_group bigint;
    v_more integer;
    v_queues text[];
    v_paused text[];
    v_ids bigint[];
BEGIN
    DELETE FROM pgqueue.waiters AS w
    WHERE w.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM pgqueue.waiters AS k
        WHERE k.until < tidy.at
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM pgqueue.key_takes AS t
    WHERE t.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM pgqueue.key_takes AS k
        WHERE k.until < tidy.at
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ));
    WITH gone AS (
        DELETE FROM pgqueue.slots AS s
        WHERE s.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM pgqueue.slots AS k
            WHERE k.key >= 'q:' AND k.key < 'q;'
                AND NOT EXISTS (
                    SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = k.job_id
                )
            LIMIT 10000
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING substr(s.key, 3) AS queue
    )
    SELECT count(*), array_agg(DISTINCT g.queue) INTO v_more, v_queues FROM gone AS g;
    v_count := v_count + v_more;
    PERFORM pgqueue.ring(v_queues);
    v_paused := ARRAY(
        SELECT q.name
        FROM pgqueue.queues AS q
        WHERE q.paused AND (q.resume_at IS NULL OR q.resume_at > tidy.at)
    );
    IF v_paused <> '{}' THEN
        v_ids := ARRAY(
            SELECT r.job_id
            FROM pgqueue.slots AS s
            CROSS JOIN LATERAL (
                SELECT k.job_id, k.queue FROM pgqueue.ready_jobs AS k
                WHERE k.job_id = s.job_id AND k.queue = ANY (v_paused)
                OFFSET 0
                FOR UPDATE SKIP LOCKED
            ) AS r
            WHERE s.key >= 'k:' AND s.key < 'k;'
            LIMIT 10000
        );
        IF v_ids <> '{}' THEN
            PERFORM pgqueue.hold_back(v_ids), pgqueue.release_slots(v_ids, 'k', tidy.at);
            v_count := v_count + cardinality(v_ids);
        END IF;
    END IF;
    FOR v_group IN
        SELECT g.id
        FROM pgqueue.groups AS g
        WHERE g.ended_at IS NOT NULL AND NOT g.released
        ORDER BY g.id
        LIMIT 100
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        UPDATE pgqueue.finished_jobs AS f
        SET keep_until = tidy.at + pgqueue.retention(k.queue, 'succeeded', 256)
        FROM (
            SELECT f.ctid AS tid, j.queue
            FROM pgqueue.jobs AS j
            JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
            WHERE j.group_id = v_group AND f.keep_until = 'infinity'
            FOR UPDATE OF f SKIP LOCKED
        ) AS k
        WHERE f.ctid = k.tid;
        UPDATE pgqueue.groups AS g SET released = true WHERE g.id = v_group;
    END LOOP;
    DELETE FROM pgqueue.groups AS g
    WHERE g.id = ANY (ARRAY(
        SELECT k.id
        FROM pgqueue.groups AS k
        WHERE k.ended_at < tidy.at - interval '30 days'
            AND k.released
            AND NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.group_id = k.id)
            AND NOT EXISTS (SELECT FROM pgqueue.groups AS p WHERE p.parent_id = k.id)
        ORDER BY k.ended_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_more = ROW_COUNT;
    v_count := v_count + v_more;
    -- What cancel, or a holder of its row, has left behind.
    DELETE FROM pgqueue.job_waits AS w
    WHERE w.job_id = ANY (ARRAY(
        SELECT k.job_id
        FROM pgqueue.job_waits AS k
        WHERE EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = k.job_id)
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ));
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.tidy(timestamptz) IS
'Delete the traces of those who waited for a job and went away, and groups whose jobs are gone; let
the results of flows that ended be pruned.

Args: at: the time it is.
Returns: how many rows.
Locks: the rows it deletes, skipping those that others hold.';
