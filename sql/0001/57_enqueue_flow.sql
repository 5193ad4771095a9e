-- Purpose: enqueue jobs that run after each other, in one statement.
-- Called by: people and programs. Writes groups, jobs (and, by its triggers, positions), and with
-- `before` or `inside` job_dependencies and job_waits. Locks: the group, where one is given; the
-- rows of job_waits of those that are to wait. Errors: PQ001, PQ003.
-- Why the ids are drawn first, and given in an order in which every job comes after those it runs
-- after: then the rows can name each other, and nothing can run in a circle.
CREATE FUNCTION pgqueue.enqueue_flow(
    jobs jsonb,
    name text DEFAULT NULL,
    callbacks jsonb DEFAULT NULL,
    meta jsonb DEFAULT NULL,
    group_id bigint DEFAULT NULL,
    before bigint[] DEFAULT NULL,
    inside bigint DEFAULT NULL,
    OUT flow_id bigint,
    OUT job_ids bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_keys CONSTANT text[] := '{task,args,kwargs,queue,priority,run_at,run_in,expires_at,'
        'expires_in,timeout,max_attempts,meta,callbacks,name,after,run_if,results_as,'
        'concurrency_key,max_running,fair_key,rate}';
    v_count integer;
    v_refusal text;
    v_names jsonb;
    v_parents integer[];
    v_children integer[];
    v_places integer[];
    v_ids bigint[];
    v_last bigint[];
    v_before bigint[] := enqueue_flow.before;
    v_own boolean;
    v_waits integer;
BEGIN
    IF jsonb_typeof(enqueue_flow.jobs) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = format('jobs must be a JSON array of objects; got %s',
                coalesce(jsonb_typeof(enqueue_flow.jobs), 'null'));
    END IF;
    v_count := jsonb_array_length(enqueue_flow.jobs);
    SELECT concat('jobs[', c.n - 1, ']', c.refusal) INTO v_refusal
    FROM (
        SELECT
            e.n,
            CASE
                WHEN jsonb_typeof(e.job) <> 'object' THEN concat(
                    ' must be a JSON object; got ', jsonb_typeof(e.job))
                WHEN e.job - v_keys <> '{}' THEN concat(
                    ' must have no keys but ', array_to_string(v_keys, ', '), '; got ',
                    quote_literal((
                        SELECT left(k.key, 60) FROM jsonb_object_keys(e.job - v_keys) AS k (key)
                        LIMIT 1
                    )))
                WHEN jsonb_typeof(coalesce(e.job -> 'name', '""')) <> 'string' THEN
                    ': name must be a string'
                WHEN jsonb_typeof(coalesce(e.job -> 'after', '[]')) NOT IN ('array', 'null') THEN
                    ': after must be an array of names or places of jobs of the flow'
                WHEN jsonb_typeof(e.job -> 'priority') = 'number'
                    AND (e.job ->> 'priority')::numeric NOT BETWEEN -32768 AND 32767
                THEN ': priority must be between -32768 and 32767'
                WHEN jsonb_typeof(e.job -> 'max_attempts') = 'number'
                    AND (e.job ->> 'max_attempts')::numeric NOT BETWEEN 1 AND 32767
                THEN ': max_attempts must be between 1 and 32767'
            END AS refusal
        FROM jsonb_array_elements(enqueue_flow.jobs) WITH ORDINALITY AS e (job, n)
    ) AS c
    WHERE c.refusal IS NOT NULL
    LIMIT 1;
    IF v_refusal IS NULL AND v_count = 0 THEN
        v_refusal := 'a flow must have at least one job; got none';
    END IF;
    IF v_refusal IS NULL AND enqueue_flow.jobs @? '$[*].name' THEN
        SELECT jsonb_object_agg(e.job ->> 'name', e.n) INTO v_names
        FROM jsonb_array_elements(enqueue_flow.jobs) WITH ORDINALITY AS e (job, n)
        WHERE e.job ? 'name';
    END IF;
    IF v_refusal IS NULL THEN
        -- Places count from 1 in here.
        SELECT
            array_agg(r.parent ORDER BY r.parent), array_agg(r.child ORDER BY r.parent),
            min(concat('jobs[', r.child - 1, ']: after must name jobs of the flow; there is no ',
                left(r.ref, 60))) FILTER (WHERE r.parent IS NULL)
        INTO v_parents, v_children, v_refusal
        FROM (
            SELECT DISTINCT
                p.child, p.parent, CASE WHEN p.parent IS NULL THEN p.ref #>> '{}' END AS ref
            FROM (
                SELECT
                    e.n::integer AS child,
                    a.ref,
                    CASE
                        WHEN jsonb_typeof(a.ref) = 'string' THEN
                            (v_names ->> (a.ref #>> '{}'))::integer
                        WHEN jsonb_typeof(a.ref) = 'number'
                            AND a.ref::numeric BETWEEN 0 AND v_count - 1
                            AND a.ref::numeric % 1 = 0
                        THEN a.ref::integer + 1
                    END AS parent
                FROM jsonb_array_elements(enqueue_flow.jobs) WITH ORDINALITY AS e (job, n)
                CROSS JOIN LATERAL jsonb_array_elements(
                    CASE jsonb_typeof(e.job -> 'after') WHEN 'array' THEN e.job -> 'after' END
                ) AS a (ref)
                OFFSET 0
            ) AS p
        ) AS r;
    END IF;
    IF v_refusal IS NULL AND v_names IS NOT NULL AND (
        SELECT count(*) FILTER (WHERE e.job ? 'name') <> count(DISTINCT e.job ->> 'name')
        FROM jsonb_array_elements(enqueue_flow.jobs) AS e (job)
    ) THEN
        v_refusal := 'the names of the jobs of a flow must differ';
    END IF;
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ001', MESSAGE = v_refusal;
    END IF;
    v_places := pgqueue.flow_order(v_count, v_parents, v_children);
    IF v_places[1] < 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ001',
            MESSAGE = 'a flow must not run in a circle; got ' || (
                SELECT string_agg(
                    coalesce(
                        quote_literal(left(enqueue_flow.jobs -> (-p.place - 1) ->> 'name', 60)),
                        format('jobs[%s]', -p.place - 1)
                    ),
                    ' after ' ORDER BY p.n)
                FROM unnest(v_places) WITH ORDINALITY AS p (place, n)
            ),
            HINT = 'let one of these jobs run before the others';
    END IF;

    -- By their places in the order, then by their places in the array.
    v_ids := ARRAY(
        SELECT i.id FROM (
            SELECT nextval('pgqueue.jobs_id_seq') AS id FROM generate_series(1, v_count)
        ) AS i ORDER BY i.id
    );
    v_ids := ARRAY(SELECT v_ids[p.place] FROM unnest(v_places) WITH ORDINALITY AS p (place, n)
        ORDER BY p.n);
    enqueue_flow.job_ids := v_ids;
    enqueue_flow.flow_id := enqueue_flow.group_id;
    IF enqueue_flow.inside IS NOT NULL THEN
        IF NOT EXISTS (
            SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = enqueue_flow.inside)
        THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ003',
                MESSAGE = format(
                    'inside must name a job that runs; job %s does not', enqueue_flow.inside),
                HINT = 'give the context of the running job; let jobs that wait run after others '
                    'with after or before';
        END IF;
        enqueue_flow.flow_id := coalesce(enqueue_flow.flow_id, (
            SELECT j.group_id FROM pgqueue.jobs AS j WHERE j.id = enqueue_flow.inside));
        SELECT array_agg(w.job_id) INTO v_before
        FROM (
            SELECT w.job_id
            FROM pgqueue.job_waits AS w
            WHERE NOT w.late
                AND w.job_id = ANY (v_before || ARRAY(
                    SELECT d.child_id FROM pgqueue.job_dependencies AS d
                    WHERE d.parent_id = enqueue_flow.inside))
            ORDER BY w.job_id
            FOR UPDATE
        ) AS w
        WHERE w.job_id <> ALL (coalesce(enqueue_flow.before, '{}'));
        v_before := enqueue_flow.before || v_before;
    END IF;
    v_own := enqueue_flow.flow_id IS NULL;
    IF v_own THEN
        enqueue_flow.flow_id := pgqueue.create_group(enqueue_flow.name, enqueue_flow.callbacks,
            enqueue_flow.meta);
    END IF;
    IF v_before IS NOT NULL THEN
        -- They wait for the last jobs, which no other runs after.
        v_last := ARRAY(
            SELECT i.id
            FROM unnest(v_ids) WITH ORDINALITY AS i (id, n)
            WHERE (CASE WHEN i.n IN (SELECT p.n FROM unnest(v_parents) AS p (n)) THEN 1 END) IS NULL
        );
        SELECT count(*) INTO v_waits
        FROM (
            SELECT FROM pgqueue.job_waits AS w
            WHERE w.job_id = ANY (v_before) AND NOT w.late
            ORDER BY w.job_id
            FOR UPDATE
        ) AS w;
        IF v_waits <> (SELECT count(DISTINCT b.id) FROM unnest(v_before) AS b (id)) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ003',
                MESSAGE = 'before must name jobs of a flow that still wait for others',
                HINT = 'one of them runs or is over already, or runs after jobs of no flow';
        END IF;
    END IF;
    INSERT INTO pgqueue.jobs (
        id, task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta,
        callbacks, group_id, after, run_if, results_as, has_dependents, concurrency_key,
        max_running, fair_key, rate
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        v_ids[r.n], r.task, coalesce(r.args, '[]'), coalesce(r.kwargs, '{}'),
        coalesce(r.queue, 'default'), coalesce(r.priority, 0),
        coalesce(r.run_at, clock_timestamp() + make_interval(secs => r.run_in)),
        coalesce(r.expires_at, clock_timestamp() + make_interval(secs => r.expires_in)),
        r.timeout, r.max_attempts, r.meta, r.callbacks, enqueue_flow.flow_id,
        CASE WHEN jsonb_typeof(r.after) = 'array' AND r.after <> '[]' THEN ARRAY(
            SELECT v_ids[
                CASE WHEN jsonb_typeof(a.ref) = 'string'
                    THEN (v_names ->> (a.ref #>> '{}'))::integer
                    ELSE a.ref::integer + 1 END
            ]
            FROM jsonb_array_elements(r.after) WITH ORDINALITY AS a (ref, n)
            ORDER BY a.n
        ) END,
        r.run_if, r.results_as,
        -- In the target list, where it stays a hashed look-up.
        CASE
            WHEN r.n IN (SELECT p.n FROM unnest(v_parents) AS p (n)) THEN true
            WHEN v_before IS NOT NULL THEN true
        END,
        r.concurrency_key, r.max_running, r.fair_key, r.rate
    FROM ROWS FROM (
        jsonb_to_recordset(enqueue_flow.jobs) AS (
            task text, args jsonb, kwargs jsonb, queue text, priority smallint,
            run_at timestamptz, run_in double precision, expires_at timestamptz,
            expires_in double precision, timeout interval, max_attempts smallint, meta jsonb,
            callbacks jsonb, after jsonb, run_if text, results_as text, concurrency_key text,
            max_running integer, fair_key text, rate text
        )
    ) WITH ORDINALITY AS r (
        task, args, kwargs, queue, priority, run_at, run_in, expires_at, expires_in, timeout,
        max_attempts, meta, callbacks, after, run_if, results_as, concurrency_key, max_running,
        fair_key, rate, n
    );
    IF v_last IS NOT NULL THEN
        INSERT INTO pgqueue.job_dependencies (parent_id, child_id)
        SELECT l.id, b.id
        FROM unnest(v_last) AS l (id)
        CROSS JOIN (SELECT DISTINCT b.id FROM unnest(v_before) AS b (id)) AS b;
        UPDATE pgqueue.job_waits AS w
        SET remaining = w.remaining + cardinality(v_last)
        WHERE w.job_id = ANY (v_before);
    END IF;
    IF v_own THEN
        UPDATE pgqueue.groups AS g SET closed_at = g.created_at WHERE g.id = enqueue_flow.flow_id;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.enqueue_flow(
    jsonb, text, jsonb, jsonb, bigint, bigint[], bigint
) IS
'Enqueue jobs that run after each other in this transaction, in one statement.

Args: jobs: a JSON array of objects whose keys are columns of pgqueue.jobs, and name: what others of
the array call it; after: an array of names, or of places counted from 0, of those it runs after;
run_in and expires_in, in seconds, count from now; name, callbacks, meta: of the group that is made
for them, as pgqueue.create_group; group_id: a group for them instead; before: jobs of a flow that
still wait, and from now on for the last of these too; inside: a job that runs: they join its
group, if it has one, and the jobs behind it in its flow wait for them too.
Returns: flow_id: the group; job_ids: in the order of the array.
Errors: PQ001 for a job that could never run, for jobs that wait for each other in a circle, which
is named, or a group that has ended; PQ003 for a job of before that does not wait any more, or one
of inside that does not run.
Locks: the group that was given, as an INSERT into it; the rows of job_waits of before.';
