-- Purpose: let a waiting job go before or behind others.
-- Called by: people and programs. Deletes and inserts the position row in one statement: such rows
-- are never updated. A running job is not touched. Locks: the job against being deleted meanwhile,
-- which would leave the position behind; the position row; those of ring. Errors: PQ002, PQ004.
-- Why not KEY SHARE: such locks overtake a waiting DELETE for ever; these stand in line with it.
-- Why a loop: the job may move from one waiting table to another between two of the statements.
CREATE FUNCTION pgqueue.set_priority(job_id bigint, priority integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_queue text;
    v_state text;
    v_line record;
BEGIN
    IF set_priority.priority IS NULL OR set_priority.priority NOT BETWEEN -32768 AND 32767 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('priority must be between -32768 and 32767; got %s',
                coalesce(set_priority.priority::text, 'null'));
    END IF;
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = set_priority.job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no job %s', set_priority.job_id),
            HINT = 'it may have been pruned; see the retention of its queue';
    END IF;
    FOR v_pass IN 1..10 LOOP
        WITH moved AS (
            DELETE FROM pgqueue.ready_jobs AS r
            WHERE r.job_id = set_priority.job_id
            RETURNING r.*
        )
        INSERT INTO pgqueue.ready_jobs AS r
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            m.queue, set_priority.priority, m.seq, m.job_id, m.attempt, m.lost, m.crashes, m.flags
        FROM moved AS m
        RETURNING r.queue INTO v_queue;
        IF FOUND THEN
            PERFORM pgqueue.ring(ARRAY[v_queue]);
            RETURN 'ready';
        END IF;
        WITH moved AS (
            DELETE FROM pgqueue.scheduled_jobs AS s
            WHERE s.job_id = set_priority.job_id
            RETURNING s.*
        )
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags, reason)
        SELECT
            m.job_id, m.run_at, m.queue, set_priority.priority, m.attempt, m.lost, m.crashes,
            m.flags, m.reason
        FROM moved AS m;
        IF FOUND THEN
            RETURN 'scheduled';
        END IF;
        WITH moved AS (
            DELETE FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = set_priority.job_id
            RETURNING b.*
        )
        INSERT INTO pgqueue.blocked_jobs AS b
            (job_id, reason, key, queue, priority, seq, attempt, lost, crashes, flags)
        SELECT
            m.job_id, m.reason, m.key, m.queue, set_priority.priority, m.seq, m.attempt, m.lost,
            m.crashes, m.flags
        FROM moved AS m
        RETURNING b.reason, b.key, b.queue INTO v_line;
        IF FOUND THEN
            IF v_line.reason = 'concurrency' THEN
                -- The first of the line, whose max_running counts, may be another now.
                INSERT INTO pgqueue.offers (key) VALUES (v_line.key);
                PERFORM pgqueue.ring(ARRAY[v_line.queue]);
            END IF;
            RETURN 'blocked';
        END IF;
        SELECT o.state INTO v_state FROM pgqueue.job_overview AS o WHERE o.id = set_priority.job_id;
        EXIT WHEN v_state IS NULL OR v_state NOT IN ('ready', 'scheduled', 'blocked');
    END LOOP;
    RETURN v_state;
END
$$;

COMMENT ON FUNCTION pgqueue.set_priority(bigint, integer) IS
'Change the priority of a waiting job. One that runs or is over is left as it is.

Args: job_id; priority: -32768 to 32767, higher first.
Returns: its state.
Errors: PQ002 when there is no such job; PQ004 for a priority out of range.
Locks: the job, FOR NO KEY UPDATE; the position row.';
