-- Purpose: when jobs are deleted, delete what hangs on them.
-- Fired by: every DELETE on jobs, once a statement. Writes the five position tables, job_errors,
-- job_progress, job_logs, cancel_requests, unique_keys, slots, job_dependencies, job_waits,
-- wait_deltas and group_deltas; tells who waits for one of them (settle).
-- Locks: the rows it deletes.
-- Why a trigger and no foreign keys: each costs 5 to 10 microseconds a row on the hot path, this
-- one costs nothing until somebody deletes.
-- Why a loop: a job may be on the move meanwhile. Each DELETE waits for a move that holds the row,
-- and then does not find it any more: it stands in another table, maybe in one that was looked at
-- before. A deleted job of which no row was found is looked for again; three times, since a job
-- that came in without the insert trigger has none. For prune the first DELETE finds all.
CREATE FUNCTION pgqueue.jobs_forget() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_ids bigint[] := ARRAY(SELECT o.id FROM old_jobs AS o ORDER BY o.id);
    v_left bigint := cardinality(v_ids);
    v_found bigint;
    v_kept text[];
    v_open bigint[];
    v_some bigint[];
BEGIN
    IF v_left = 0 THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM pgqueue.unique_keys) THEN
        -- The period of a key goes on when its job is pruned.
        v_kept := ARRAY(
            SELECT u.key
            FROM pgqueue.unique_keys AS u
            JOIN pgqueue.finished_jobs AS f ON f.job_id = u.job_id
            WHERE u.job_id = ANY (v_ids) AND u.held_until > clock_timestamp()
        );
    END IF;
    FOR v_pass IN 1..3 LOOP
        DELETE FROM pgqueue.finished_jobs AS f WHERE f.job_id = ANY (v_ids);
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_left := v_left - v_found;
        EXIT WHEN v_left <= 0;
        WITH gone AS (
            DELETE FROM pgqueue.ready_jobs AS r WHERE r.job_id = ANY (v_ids) RETURNING r.job_id
        )
        SELECT coalesce(array_agg(g.job_id), '{}') INTO v_some FROM gone AS g;
        v_open := v_open || v_some;
        v_left := v_left - cardinality(v_some);
        WITH gone AS (
            DELETE FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = ANY (v_ids) RETURNING s.job_id
        )
        SELECT coalesce(array_agg(g.job_id), '{}') INTO v_some FROM gone AS g;
        v_open := v_open || v_some;
        v_left := v_left - cardinality(v_some);
        WITH gone AS (
            DELETE FROM pgqueue.blocked_jobs AS b WHERE b.job_id = ANY (v_ids) RETURNING b.job_id
        )
        SELECT coalesce(array_agg(g.job_id), '{}') INTO v_some FROM gone AS g;
        v_open := v_open || v_some;
        v_left := v_left - cardinality(v_some);
        WITH gone AS (
            DELETE FROM pgqueue.running_jobs AS r WHERE r.job_id = ANY (v_ids) RETURNING r.job_id
        )
        SELECT coalesce(array_agg(g.job_id), '{}') INTO v_some FROM gone AS g;
        v_open := v_open || v_some;
        v_left := v_left - cardinality(v_some);
        EXIT WHEN v_left <= 0;
    END LOOP;
    -- Last, since the moves write these too.
    IF EXISTS (SELECT FROM pgqueue.slots) THEN
        PERFORM pgqueue.release_slots(v_ids, 'q', clock_timestamp()),
            pgqueue.release_slots(v_ids, 'k', clock_timestamp(), true);
    END IF;
    IF v_kept IS NOT NULL THEN
        -- What a producer holds counts as free, and is swept later: a finish that keeps nothing
        -- deletes, too, and waits for nobody.
        DELETE FROM pgqueue.unique_keys AS u
        WHERE u.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM pgqueue.unique_keys AS k
            WHERE k.job_id = ANY (v_ids) AND k.key <> ALL (v_kept)
            FOR UPDATE SKIP LOCKED
        ));
    END IF;
    DELETE FROM pgqueue.job_errors AS e WHERE e.job_id = ANY (v_ids);
    DELETE FROM pgqueue.job_progress AS p WHERE p.job_id = ANY (v_ids);
    DELETE FROM pgqueue.job_logs AS l WHERE l.job_id = ANY (v_ids);
    DELETE FROM pgqueue.cancel_requests AS c WHERE c.job_id = ANY (v_ids);
    IF EXISTS (SELECT FROM pgqueue.job_dependencies) THEN
        -- Whoever waits for one that was not over waits in vain.
        INSERT INTO pgqueue.wait_deltas (child_id, ended, failed, doomed)
        SELECT d.child_id, count(*)::integer, count(*)::integer, true
        FROM unnest(v_open) AS o (id)
        CROSS JOIN LATERAL (
            SELECT d.child_id FROM pgqueue.job_dependencies AS d WHERE d.parent_id = o.id OFFSET 0
        ) AS d
        GROUP BY d.child_id;
        DELETE FROM pgqueue.job_dependencies AS d WHERE d.parent_id = ANY (v_ids);
        DELETE FROM pgqueue.job_waits AS w WHERE w.job_id = ANY (v_open);
    ELSIF EXISTS (SELECT FROM pgqueue.job_waits) THEN
        DELETE FROM pgqueue.job_waits AS w WHERE w.job_id = ANY (v_open);
    END IF;
    IF EXISTS (SELECT FROM pgqueue.groups) THEN
        INSERT INTO pgqueue.group_deltas (group_id, total)
        SELECT o.group_id, -count(*)::integer
        FROM old_jobs AS o
        WHERE o.group_id IS NOT NULL
            AND (CASE WHEN o.id IN (SELECT p.id FROM unnest(v_open) AS p (id)) THEN true END)
        GROUP BY o.group_id;
    END IF;
    PERFORM pgqueue.settle(v_ids, NULL, 0, clock_timestamp());
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_forget() IS
'Delete the position, errors, progress, log and cancel request of deleted jobs.';

CREATE TRIGGER jobs_forget
AFTER DELETE ON pgqueue.jobs
REFERENCING OLD TABLE AS old_jobs
FOR EACH STATEMENT
EXECUTE FUNCTION pgqueue.jobs_forget();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_forget;

COMMENT ON TRIGGER jobs_forget ON pgqueue.jobs IS
'Deletes what hangs on a deleted job.';
