-- Purpose: let jobs that have a fair key go on to be ready, one of each key in turn.
-- Called by: work, right before it takes jobs of the queue, for as many as it has room for.
-- Moves blocked_jobs to ready_jobs; writes turns.
-- Locks: the rows it moves, skipping those that others hold; the row of turns, skipped where
-- another holds it; advisory (70677107, hash of the queue), tried, once in the life of a queue.
-- Why so late: a job that is ready has its place in the queue for good. So as few as possible are,
-- and a key that comes now is served in the next round, behind a million jobs of another.
-- The cost is one descent of an index a key, however long its line is.
CREATE FUNCTION pgqueue.take_turns(queue text, max_jobs integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_last text := coalesce(
        (SELECT t.key FROM pgqueue.turns AS t WHERE t.queue = take_turns.queue), '');
    v_begun text := v_last;
    v_left integer := take_turns.max_jobs;
    v_keys text[];
    v_tids tid[];
    v_more record;
    v_share integer;
    v_firsts boolean := true;
    v_count integer;
BEGIN
    -- Another round where a line was shorter than its share.
    WHILE v_left > 0 LOOP
        -- Behind the last one, then from the beginning.
        SELECT f.keys, f.tids INTO v_keys, v_tids
        FROM pgqueue.fair_keys(take_turns.queue, v_last, NULL, v_left) AS f;
        IF cardinality(v_keys) < v_left AND v_last <> '' THEN
            SELECT f.keys, f.tids INTO v_more
            FROM pgqueue.fair_keys(
                take_turns.queue, '', v_last, v_left - cardinality(v_keys)) AS f;
            v_keys := v_keys || v_more.keys;
            v_tids := v_tids || v_more.tids;
        END IF;
        EXIT WHEN v_keys = '{}';
        v_share := (v_left + cardinality(v_keys) - 1) / cardinality(v_keys);
        -- With many keys only the first job of each goes on, which was just read; unless another
        -- worker holds some of these.
        v_firsts := v_firsts AND v_share = 1;
        WITH picked AS MATERIALIZED (
            SELECT b.*, 1::bigint AS round, k.place
            FROM unnest(v_tids) WITH ORDINALITY AS k (tid, place)
            CROSS JOIN LATERAL (
                SELECT b.ctid AS tid, b.job_id, b.priority, b.attempt, b.lost, b.crashes, b.flags
                FROM pgqueue.blocked_jobs AS b
                WHERE v_firsts AND b.ctid = k.tid
                FOR UPDATE SKIP LOCKED
            ) AS b
            UNION ALL
            SELECT p.*, k.place
            FROM unnest(v_keys) WITH ORDINALITY AS k (key, place)
            CROSS JOIN LATERAL (
                SELECT b.tid, b.job_id, b.priority, b.attempt, b.lost, b.crashes, b.flags,
                    row_number() OVER () AS round
                FROM (
                    SELECT b.ctid AS tid, b.*
                    FROM pgqueue.blocked_jobs AS b
                    WHERE NOT v_firsts
                        AND b.reason = 'fair' AND b.queue = take_turns.queue AND b.key = k.key
                    ORDER BY b.priority DESC, b.seq
                    LIMIT v_share
                    FOR UPDATE SKIP LOCKED
                ) AS b
            ) AS p
            ORDER BY round, place
            LIMIT v_left
        ),
        gone AS (
            DELETE FROM pgqueue.blocked_jobs AS b
            WHERE b.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))
        ),
        ready AS (
            INSERT INTO pgqueue.ready_jobs
                (queue, priority, seq, job_id, attempt, lost, crashes, flags)
            SELECT
                take_turns.queue, p.priority, nextval('pgqueue.jobs_id_seq'), p.job_id, p.attempt,
                p.lost, p.crashes, p.flags
            FROM picked AS p
        )
        SELECT
            count(*),
            coalesce((array_agg(v_keys[p.place] ORDER BY p.round DESC, p.place DESC))[1], v_last)
        INTO v_count, v_last
        FROM picked AS p;
        EXIT WHEN v_count = 0 AND NOT v_firsts;
        v_firsts := v_firsts AND v_count = cardinality(v_keys);
        v_left := v_left - v_count;
    END LOOP;
    IF v_last <> v_begun THEN
        PERFORM FROM pgqueue.turns AS t WHERE t.queue = take_turns.queue FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE pgqueue.turns AS t SET key = v_last WHERE t.queue = take_turns.queue;
        ELSIF v_begun = '' AND pg_try_advisory_xact_lock(
            70677107, (hashtextextended(take_turns.queue, 0) & 2147483647)::integer)
        THEN
            -- Without that lock an INSERT would wait for another that has not committed.
            INSERT INTO pgqueue.turns (queue, key) VALUES (take_turns.queue, v_last)
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    RETURN take_turns.max_jobs - v_left;
END
$$;

COMMENT ON FUNCTION pgqueue.take_turns(text, integer) IS
'Let jobs that have a fair key go on to be ready, one of each key in turn. Internal.

Args: queue: its name; max_jobs: the most to move.
Returns: how many were moved.
Locks: the rows it moves, skipping those that others hold.';
