-- Purpose: what follows from the end of jobs, in the transaction that ends them.
-- Called by: whatever ends jobs (store_outcomes, cancel, expire, claim, rescue, file_strays), once
-- for all of them and after their rows of finished_jobs were written; by jobs_forget.
-- Deletes from waiters, unique_keys and slots; notifies pgqueue_finished; calls settle_features,
-- where a job uses any. Locks: those rows, skipping what others hold, so that it never waits; those
-- of release_slots.
-- Why a statement of its own looks for waiters: a waiter that committed while the one before ran is
-- not in that one's snapshot. One that commits after this look has a job that is not yet over when
-- it looks itself; it looks again 5, 25 and 125 ms later, by when this transaction has ended, or
-- else with its slow look (wait_for).
-- Why none is deleted where the transaction has one snapshot for all its statements: one that was
-- tidied up since then would fail it, and with it what the caller has done.
-- Why ids joined by commas: a notification may carry 8,000 bytes, and costs per piece.
CREATE FUNCTION pgqueue.settle(
    ended bigint[],
    featured bigint[],
    features integer,
    at timestamptz,
    succeeded boolean DEFAULT false,
    OUT awaited bigint[]
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_ended bigint[] := settle.ended;
    v_more record;
BEGIN
    -- 256 group, 512 callbacks, 1024 others run after it, 4096 runs after others.
    IF settle.featured IS NOT NULL AND (settle.features & 5888) <> 0 THEN
        SELECT s.over, s.group_ids, s.over_features INTO v_more
        FROM pgqueue.settle_features(settle.featured, settle.features, settle.at,
            settle.succeeded) AS s;
        v_ended := v_ended || v_more.over
            || ARRAY(SELECT -g.id FROM unnest(v_more.group_ids) AS g (id));
        IF (v_more.over_features & 4) <> 0 THEN
            PERFORM pgqueue.release_unique_keys(v_more.over, settle.at);
        END IF;
    END IF;
    IF (settle.features & 4) <> 0 THEN
        PERFORM pgqueue.release_unique_keys(settle.featured, settle.at);
    END IF;
    IF (settle.features & 16) <> 0 THEN
        PERFORM pgqueue.release_slots(settle.featured, 'k', settle.at);
    END IF;
    IF v_ended IS NOT NULL AND EXISTS (SELECT FROM pgqueue.waiters) THEN
        IF current_setting('transaction_isolation') LIKE 'read%' THEN
            WITH gone AS (
                DELETE FROM pgqueue.waiters AS w
                WHERE w.ctid = ANY (ARRAY(
                    SELECT k.ctid
                    FROM unnest(v_ended) AS e (id)
                    CROSS JOIN LATERAL (
                        SELECT w.ctid FROM pgqueue.waiters AS w WHERE w.job_id = e.id
                        OFFSET 0
                        FOR UPDATE SKIP LOCKED
                    ) AS k
                ))
                RETURNING w.job_id
            )
            SELECT array_agg(DISTINCT g.job_id) INTO settle.awaited FROM gone AS g;
        ELSE
            SELECT array_agg(DISTINCT w.job_id) INTO settle.awaited
            FROM pgqueue.waiters AS w
            WHERE w.job_id = ANY (v_ended);
        END IF;
        IF settle.awaited IS NOT NULL AND pg_notification_queue_usage() < 0.5 THEN
            PERFORM pg_notify('pgqueue_finished', string_agg(i.id::text, ','))
            FROM unnest(settle.awaited) WITH ORDINALITY AS i (id, n)
            GROUP BY i.n / 350;
        END IF;
        IF settle.awaited IS NOT NULL
            AND EXISTS (SELECT FROM pgqueue.job_waits AS w WHERE w.late)
        THEN
            PERFORM pgqueue.ring_leader();
        END IF;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.settle(bigint[], bigint[], integer, timestamptz, boolean) IS
'Do what follows from the end of jobs. Internal.

Args: ended: all that ended; featured: those of them with a flag of 4 or more; features: their flags
together; at: the time it is; succeeded: whether all of them ran and did, so that none needs to be
looked up.
Returns: the jobs that somebody waited for.
Locks: rows of waiters and of unique_keys, skipping those that others hold.';
