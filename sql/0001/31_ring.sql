-- Purpose: the writer's side of the doorbell: wake whoever sleeps on these queues, and send nothing
-- when nobody does.
-- Called by: every function that makes a job ready (the insert trigger, promote, retry, rescue,
-- store_outcomes, resume), in the transaction that does so.
-- Touches no table. Locks: advisory, two integers (class, bucket); 70677101 = sleep, 70677102 =
-- writing. `writing` is taken shared and until the end of the transaction, never waiting; `sleep`
-- is tried exclusively and given back in the same expression, so that a cancel cannot leak it.
--
-- Why: a commit that carries NOTIFY takes a lock of the whole cluster through its WAL flush. 32
-- clients inserting single rows made 12,700 a second without a trigger and 3,200 with one that
-- always notifies. Here a busy system hardly ever notifies, and an idle one always does.
--
-- The proof that no wake-up is lost. The writer, in one transaction:
--     W1  take writing(b) shared, kept until the transaction is over
--     W2  look whether anybody holds sleep(b); if so, NOTIFY at commit
--     W3  commit: the rows become visible, then writing(b) is released, then the notification goes
-- The sleeper, on a session that already LISTENs:
--     S1  take sleep(b) shared, kept while it sleeps
--     S2  read who holds writing(b) at this moment
--     S3  wait until each of those transactions is over
--     S4  look for jobs, from zero, in a statement that starts after S3; one that somebody holds
--         just now counts as well (pgqueue.waiting): then look again a little later
--     S5  only if there are none: wait for a notification
-- Let a writer's rows be invisible to S4. Then W3 came after S4 began, so the transaction was open
-- at S3's end, so it was not among the holders read at S2, so W1 came after S2 and hence after S1.
-- W2 comes after W1, finds sleep(b) held, and notifies; the notification comes after the sleeper
-- began to listen. So for every job either S4 sees it or a notification follows: each side first
-- publishes and then looks, and one of them sees the other.
--   * Whoever takes a ready job away (a claim, cancel, set_priority, a DELETE) and then rolls back
--     rings for nobody. Until then the row is there for every plain read, so no S4 passes it by.
--   * A savepoint that rolls back takes W1's lock back together with its rows.
--   * PREPARE TRANSACTION keeps the lock under the same transaction name; one that has notified
--     cannot be prepared.
--   * A worker that dies gives back sleep(b) with its session; one that stops sleeping gives it
--     back itself. The writer then stays silent or rings for nothing; both are harmless.
--   * Two writers that meet in W2 refuse each other and ring for nothing (2 % of commits at 32).
--   * W1 refused (a stranger holds the lock exclusively): ring without looking.
--   * The sleeper never takes writing(b), so a frozen worker blocks no business transaction.
--   * Workers that take every queue use bucket 64, which every writer serves as well.
-- tests/sql/test_doorbell_model.py walks every interleaving of these steps, and shows for each step
-- that leaving it out or swapping it with its neighbour loses a wake-up.
CREATE FUNCTION pgqueue.ring(queues text[]) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_mode text := current_setting('pgqueue.notify', true);
    v_all boolean;
    v_queue text;
    v_bucket integer;
    v_names text[] := '{}';
BEGIN
    IF ring.queues IS NULL OR v_mode = 'off' THEN
        RETURN 0;
    END IF;
    v_all := NOT pg_try_advisory_xact_lock_shared(70677102, 64)
        OR v_mode IS NOT DISTINCT FROM 'always'
        OR NOT (CASE WHEN pg_try_advisory_lock(70677101, 64)
                    THEN pg_advisory_unlock(70677101, 64) ELSE false END);
    FOREACH v_queue IN ARRAY ring.queues LOOP
        v_bucket := pgqueue.bucket(v_queue);
        -- Publish first (W1), also where bucket 64 already says that it will ring: the guard below
        -- may still drop the notification, and then a sleeper that looks must see this writer.
        IF NOT pg_try_advisory_xact_lock_shared(70677102, v_bucket)
            OR v_all
            OR NOT (CASE WHEN pg_try_advisory_lock(70677101, v_bucket)
                        THEN pg_advisory_unlock(70677101, v_bucket) ELSE false END)
        THEN
            v_names := v_names || v_queue;
        END IF;
    END LOOP;
    -- A full notification queue fails the commit that notifies. At half of it we are silent and the
    -- workers' own look (every heartbeat) finds the jobs. On PostgreSQL 18 the call itself also
    -- lets the queue advance past listeners that have read everything.
    IF cardinality(v_names) = 0 OR pg_notification_queue_usage() > 0.5 THEN
        RETURN 0;
    END IF;
    IF cardinality(v_names) > 16 THEN
        PERFORM pg_notify('pgqueue', '');
        RETURN 1;
    END IF;
    FOREACH v_queue IN ARRAY v_names LOOP
        PERFORM pg_notify('pgqueue', v_queue);
    END LOOP;
    RETURN cardinality(v_names);
END
$$;

COMMENT ON FUNCTION pgqueue.ring(text[]) IS
'Wake the workers that sleep on these queues, at commit; send nothing when none does.

Args: queues: distinct names of the queues that got a ready job in this transaction.
Returns: how many notifications will be sent.
Setting: pgqueue.notify = auto (default), always (every call notifies), off (never).
Locks: advisory (70677102, bucket) shared until the end of the transaction; never waits.';
