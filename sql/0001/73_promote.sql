-- Purpose: make the scheduled jobs ready whose time has come.
-- Called by: the leader, at each due time and at most a second apart; idempotent, anybody may.
-- Moves scheduled_jobs to ready_jobs (hold_back: blocked_jobs); counts what others could not
-- (advance); rings the queues whose rate permits jobs again, lets the keys go on whose rate does
-- (admit), and deletes that from offers.
-- Locks: the rows it moves, by run_at, skipping those that others hold; those of ring, admit and
-- advance.
-- Why floor: dead entries of jobs promoted before lie at the low end of the index; a scan that
-- starts where the last one ended does not walk them. null scans from the beginning, which the
-- leader does once a second, for rows that committed late.
CREATE FUNCTION pgqueue.promote(
    max_jobs integer DEFAULT 1000,
    floor timestamptz DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp(),
    OUT moved integer,
    OUT due_in float8,
    OUT reached timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_queues text[];
    v_next timestamptz;
    v_flags integer;
    v_keyed bigint[];
    v_rested text[];
    v_keys text[];
BEGIN
    WITH picked AS MATERIALIZED (
        SELECT s.ctid AS tid, s.*
        FROM pgqueue.scheduled_jobs AS s
        WHERE s.run_at <= promote.at AND s.run_at >= coalesce(promote.floor, '-infinity')
        ORDER BY s.run_at
        FOR UPDATE SKIP LOCKED
        LIMIT promote.max_jobs
    ),
    gone AS (
        DELETE FROM pgqueue.scheduled_jobs AS s
        WHERE s.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))
    ),
    numbered AS (
        INSERT INTO pgqueue.ready_jobs
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            p.queue, p.priority, nextval('pgqueue.jobs_id_seq'), p.job_id, p.attempt, p.lost,
            p.crashes, p.flags
        FROM (SELECT * FROM picked ORDER BY run_at, job_id) AS p
    )
    SELECT count(*), array_agg(DISTINCT p.queue), max(p.run_at), bit_or(p.flags),
        array_agg(p.job_id) FILTER (WHERE (p.flags & 48) <> 0)
    INTO promote.moved, v_queues, promote.reached, v_flags, v_keyed
    FROM picked AS p;
    IF (v_flags & 48) <> 0 THEN
        PERFORM pgqueue.hold_back(v_keyed);
    END IF;
    IF EXISTS (SELECT FROM pgqueue.offers AS o WHERE o.at <= promote.at) THEN
        WITH due AS (
            DELETE FROM pgqueue.offers AS o
            WHERE o.ctid = ANY (ARRAY(
                SELECT k.ctid FROM pgqueue.offers AS k WHERE k.at <= promote.at
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING o.queue, o.later_key
        )
        SELECT
            array_agg(DISTINCT d.queue) FILTER (WHERE d.queue IS NOT NULL),
            array_agg(DISTINCT d.later_key) FILTER (WHERE d.later_key IS NOT NULL)
        INTO v_rested, v_keys
        FROM due AS d;
        v_queues := v_queues || v_rested;
        IF v_keys IS NOT NULL THEN
            v_queues := v_queues || pgqueue.admit(v_keys, promote.at);
        END IF;
        v_queues := ARRAY(SELECT DISTINCT q.name FROM unnest(v_queues) AS q (name));
    END IF;
    PERFORM pgqueue.ring(v_queues);
    IF EXISTS (SELECT FROM pgqueue.group_deltas)
        OR EXISTS (SELECT FROM pgqueue.wait_deltas)
        OR EXISTS (SELECT FROM pgqueue.job_waits AS w WHERE w.late)
    THEN
        PERFORM pgqueue.advance(promote.max_jobs, promote.at);
    END IF;
    promote.reached := coalesce(promote.reached, promote.floor);
    SELECT s.run_at INTO v_next
    FROM pgqueue.scheduled_jobs AS s
    WHERE s.run_at > promote.at
    ORDER BY s.run_at
    LIMIT 1;
    v_next := least(v_next, (SELECT min(o.at) FROM pgqueue.offers AS o WHERE o.at IS NOT NULL));
    promote.due_in := CASE
        WHEN promote.moved = promote.max_jobs THEN 0
        WHEN v_next < 'infinity' THEN extract(epoch FROM v_next - clock_timestamp())
    END;
END
$$;

COMMENT ON FUNCTION pgqueue.promote(integer, timestamptz, timestamptz) IS
'Make scheduled jobs ready whose time has come.

Args: max_jobs: the most to move; floor: where the last call ended, or null for a scan from the
beginning; at: the time it is.
Returns: moved: how many; due_in: seconds until the next one, 0 when there may be more now, null
when there is none; reached: the floor for the next call.
Locks: the rows it moves, skipping those that others hold.';
