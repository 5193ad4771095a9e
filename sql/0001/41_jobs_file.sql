-- Purpose: refuse jobs that could never run; give every other new job its position: due ones into
-- ready_jobs, future ones into scheduled_jobs, those that run after others into blocked_jobs; and
-- ring the doorbell for the queues that got a ready one.
-- Fired by: every INSERT and COPY into jobs, once a statement. Reads the new rows; writes
-- ready_jobs and scheduled_jobs; blocked_jobs and offers, where jobs have a key to wait for;
-- unique_keys, where they have unique keys, and deletes duplicates from jobs. Locks: those of
-- take_unique_keys, ring and ring_leader. Errors: PQ001, PQ006, PQ007.
-- Why once a statement: 202,000 rows a second in bulk against 121,000 with a row-level trigger.
-- Why force_generic_plan: once a big INSERT has made the generic plan look dear, every single one
-- would be planned anew (250 microseconds instead of 115).
-- Why the clock and not now(): now() lags by the whole business transaction, which would file a job
-- that is due already as a future one.
CREATE FUNCTION pgqueue.jobs_file() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_refusal text;
    v_flags integer;
    v_bounded boolean;
    v_lines text[];
    v_keys record;
    v_moved bigint[] := '{}';
    v_dropped jsonb;
    v_aside jsonb;
    v_groups record;
    v_late boolean;
    v_queues text[];
    v_next timestamptz;
BEGIN
    SELECT
        max(pgqueue.refusal(n)), bit_or(pgqueue.job_flags(n)),
        EXISTS (SELECT FROM pgqueue.queues AS q WHERE q.max_pending IS NOT NULL)
    INTO v_refusal, v_flags, v_bounded
    FROM new_jobs AS n;
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = v_refusal,
            HINT = CASE split_part(v_refusal, ' ', 1)
                WHEN 'args' THEN 'write one argument as [argument]; leave the column out for none'
                WHEN 'kwargs' THEN 'write {"name": argument}; leave the column out for none'
                WHEN 'args,' THEN 'store the data elsewhere and give the job a reference to it'
                ELSE 'see COMMENT ON COLUMN pgqueue.jobs for what each column takes'
            END;
    END IF;
    IF (v_flags & 4) <> 0 THEN
        v_keys := pgqueue.take_unique_keys(
            ARRAY(SELECT n.id FROM new_jobs AS n WHERE n.unique_key IS NOT NULL), false, v_at);
        -- As keys of an object, which are looked up by halving; in an array each is compared. A
        -- list in a query would do as well, and cost every plain statement its place in the plan.
        SELECT
            jsonb_object_agg(a.id, true) FILTER (WHERE a.is_dropped),
            jsonb_object_agg(a.id, true)
        INTO v_dropped, v_aside
        FROM (
            SELECT d.id, true AS is_dropped FROM unnest(v_keys.dropped) AS d (id)
            UNION ALL
            SELECT u.id, false FROM unnest(v_keys.undecided) AS u (id)
        ) AS a;
        v_moved := v_keys.moved;
        IF v_keys.dropped <> '{}' THEN
            DELETE FROM pgqueue.jobs AS j WHERE j.id = ANY (v_keys.dropped);
        END IF;
        INSERT INTO pgqueue.blocked_jobs (job_id, reason, queue, priority, flags)
        SELECT n.id, 'unique_key', n.queue, n.priority, pgqueue.job_flags(n)
        FROM new_jobs AS n
        WHERE n.id = ANY (v_keys.undecided);
    END IF;
    IF (v_flags & 256) <> 0 THEN
        SELECT array_agg(g.group_id) AS ids, array_agg(g.n) AS counts INTO v_groups
        FROM (
            SELECT n.group_id, count(*)::integer AS n
            FROM new_jobs AS n
            WHERE n.group_id IS NOT NULL
                AND (v_dropped IS NULL OR NOT v_dropped ? n.id::text)
            GROUP BY n.group_id
        ) AS g;
        IF v_groups.ids IS NOT NULL THEN
            PERFORM pgqueue.join_groups(v_groups.ids, v_groups.counts);
        END IF;
    END IF;
    IF (v_flags & 4096) <> 0 THEN
        -- Jobs of this statement tell those that run after them, if they know of them; of all the
        -- others the leader must look whether they are over. No joins: the plan is kept, and a
        -- loop in a loop that suits one job is quadratic for 10,000.
        WITH blocked AS (
            INSERT INTO pgqueue.blocked_jobs (job_id, reason, queue, priority, flags)
            SELECT n.id, 'after', n.queue, n.priority, pgqueue.job_flags(n)
            FROM new_jobs AS n
            WHERE cardinality(n.after) > 0 AND (v_aside IS NULL OR NOT v_aside ? n.id::text)
        ),
        nodes AS MATERIALIZED (
            SELECT n.id, n.after, n.run_if, p.remaining, p.late
            FROM new_jobs AS n
            CROSS JOIN LATERAL (
                SELECT
                    CASE WHEN cardinality(n.after) = 1 THEN 1
                        ELSE (SELECT count(DISTINCT b.id) FROM unnest(n.after) AS b (id))
                    END AS remaining,
                    NOT bool_and(
                        a.id IN (SELECT m.id FROM new_jobs AS m WHERE m.has_dependents)
                    ) AS late
                FROM unnest(n.after) AS a (id)
            ) AS p
            WHERE cardinality(n.after) > 0 AND (v_aside IS NULL OR NOT v_aside ? n.id::text)
        ),
        waits AS (
            INSERT INTO pgqueue.job_waits (job_id, remaining, run_if, late)
            SELECT d.id, d.remaining, coalesce(d.run_if, 'succeeded'), d.late
            FROM nodes AS d
            RETURNING late
        ),
        edges AS (
            INSERT INTO pgqueue.job_dependencies (parent_id, child_id)
            SELECT DISTINCT a.id, d.id
            FROM nodes AS d
            CROSS JOIN LATERAL unnest(d.after) AS a (id)
            WHERE NOT d.late
        )
        SELECT bool_or(w.late) INTO v_late FROM waits AS w;
        IF v_late THEN
            -- Whoever ends one of those jobs wakes the leader (settle); where that was just ending
            -- it does not see this, and the leader's own look finds it a second later.
            INSERT INTO pgqueue.waiters (job_id, until)
            SELECT DISTINCT a.id, v_at + interval '7 days'
            FROM new_jobs AS n
            CROSS JOIN LATERAL unnest(n.after) AS a (id)
            JOIN pgqueue.job_waits AS w ON w.job_id = n.id AND w.late;
            PERFORM pgqueue.ring_leader();
        END IF;
    END IF;
    IF (v_flags & 48) <> 0 THEN
        WITH line AS (
            INSERT INTO pgqueue.blocked_jobs
                (job_id, reason, key, queue, priority, seq, flags)
            SELECT
                n.id, CASE WHEN n.fair_key IS NULL THEN 'concurrency' ELSE 'fair' END,
                coalesce(n.concurrency_key, n.fair_key), n.queue, n.priority, n.id,
                pgqueue.job_flags(n)
            FROM new_jobs AS n
            WHERE (n.concurrency_key IS NOT NULL OR n.fair_key IS NOT NULL)
                AND (n.run_at IS NULL OR n.run_at <= v_at)
                AND coalesce(cardinality(n.after), 0) = 0
                AND (v_aside IS NULL OR NOT v_aside ? n.id::text)
            RETURNING reason, key, queue, job_id
        ),
        offered AS (
            INSERT INTO pgqueue.offers (key, keys)
            SELECT
                CASE WHEN count(*) = 1 THEN min(k.key) END,
                CASE WHEN count(*) > 1 THEN array_agg(k.key ORDER BY k.n) END
            FROM (
                SELECT d.key, row_number() OVER (ORDER BY d.job_id) AS n
                FROM (
                    SELECT l.key, min(l.job_id) AS job_id
                    FROM line AS l
                    WHERE l.reason = 'concurrency'
                    GROUP BY l.key
                ) AS d
            ) AS k
            GROUP BY (k.n - 1) / 128
        )
        SELECT array_agg(DISTINCT l.queue) INTO v_lines FROM line AS l;
    END IF;
    WITH ready AS (
        INSERT INTO pgqueue.ready_jobs (queue, priority, seq, job_id, flags)
        SELECT
            n.queue,
            n.priority,
            n.id,
            n.id,
            pgqueue.job_flags(n)
        FROM new_jobs AS n
        WHERE (n.run_at IS NULL OR n.run_at <= v_at)
            AND n.concurrency_key IS NULL
            AND n.fair_key IS NULL
            AND coalesce(cardinality(n.after), 0) = 0
            AND (v_aside IS NULL OR NOT v_aside ? n.id::text)
        RETURNING queue
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs (job_id, run_at, queue, priority, flags)
        SELECT
            n.id,
            n.run_at,
            n.queue,
            n.priority,
            pgqueue.job_flags(n)
        FROM new_jobs AS n
        WHERE n.run_at > v_at
            AND coalesce(cardinality(n.after), 0) = 0
            AND (v_aside IS NULL OR NOT v_aside ? n.id::text)
        RETURNING run_at
    )
    SELECT
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r),
        (SELECT min(l.run_at) FROM later AS l)
    INTO v_queues, v_next;
    FOR v_n IN 1..cardinality(v_moved) LOOP
        PERFORM pgqueue.reschedule_waiting(v_moved[v_n], v_keys.moved_to[v_n], v_at);
    END LOOP;
    IF v_lines IS NOT NULL THEN
        v_queues := ARRAY(SELECT DISTINCT q.name FROM unnest(v_queues || v_lines) AS q (name));
    END IF;
    IF v_bounded THEN
        PERFORM pgqueue.check_room(v_queues);
    END IF;
    IF v_queues IS NOT NULL THEN
        PERFORM pgqueue.ring(v_queues);
    END IF;
    IF v_next < v_at + interval '2 s' THEN
        PERFORM pgqueue.ring_leader();
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_file() IS
'File the jobs of one INSERT as ready or scheduled, and ring the doorbell for the ready ones.

Errors: PQ001 for a job that could never run, PQ006 for a duplicate whose on_duplicate is error,
PQ007 for a queue that is full; then none of the statement is stored.';

CREATE TRIGGER jobs_file
AFTER INSERT ON pgqueue.jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT
EXECUTE FUNCTION pgqueue.jobs_file();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file;

COMMENT ON TRIGGER jobs_file ON pgqueue.jobs IS
'Refuses jobs that could never run, gives every other its position and rings the doorbell.';
