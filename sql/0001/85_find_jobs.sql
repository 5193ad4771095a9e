-- Purpose: find jobs among millions, a page at a time, without ever reading them all.
-- Called by: the admin of Django, people. Reads jobs and the positions; locks nothing.
-- Errors: PQ004.
-- Why it looks at so many jobs and no more (max_looks): there is no index on tasks and queues,
-- since every insert would pay for it. A page walks the index of what is asked for in its order and
-- gives, where it has not found enough, the place where the next call goes on. So a page costs at
-- most a fraction of a second, however rare the task and however many jobs are kept.
-- In which order: failed, cancelled and expired jobs by their end, the last one first; scheduled
-- ones by run_at, the next one first; all others by id, the newest first, and so are the members of
-- a group, whatever their state: they have an index of their own, and are seldom many.
-- Why the order of a group names its id: the planner would take the primary key, and read all jobs
-- to find the few of the group.
-- Why a time is turned into an id (bisected): created_at rises with the id but for what ran at the
-- same moment, so that a time is found by two dozen looks at the primary key, without an index.
-- Why dynamic: each state has its own table, order and index, and with constants in the text the
-- partial index is known to fit. Why the settings: after long pruning the heap is in no order, and
-- the planner would read and sort the whole table to give the first hundred rows.
-- Why arguments over 64 KiB are not compared: some thousand of them would be unpacked.
CREATE FUNCTION pgqueue.find_jobs(
    state text DEFAULT NULL,
    queue text DEFAULT NULL,
    task text DEFAULT NULL,
    task_part text DEFAULT NULL,
    args jsonb DEFAULT NULL,
    kwargs jsonb DEFAULT NULL,
    worker_id bigint DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    after text DEFAULT NULL,
    max_jobs integer DEFAULT 100,
    max_looks integer DEFAULT 50000,
    group_id bigint DEFAULT NULL,
    OUT job_ids bigint[],
    OUT next text,
    OUT reached timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
    v_position text := CASE
        WHEN find_jobs.state IN ('blocked', 'scheduled', 'ready', 'running')
            THEN find_jobs.state || '_jobs'
        WHEN find_jobs.state IN ('succeeded', 'failed', 'cancelled', 'expired')
            THEN 'finished_jobs'
    END;
    v_grouped boolean := find_jobs.group_id IS NOT NULL;
    v_table text := CASE WHEN v_grouped THEN 'jobs' ELSE coalesce(v_position, 'jobs') END;
    v_over boolean := NOT v_grouped AND find_jobs.state IN ('failed', 'cancelled', 'expired');
    v_timed boolean := v_over OR NOT v_grouped AND find_jobs.state = 'scheduled';
    v_id text := CASE WHEN v_table = 'jobs' THEN 'id' ELSE 'job_id' END;
    v_time text := CASE WHEN v_over THEN 'finished_at' WHEN v_timed THEN 'run_at' END;
    v_place text[];
    v_walk text;
    v_fits text := 'true';
    v_job text := 'w';
    v_window text;
    v_order text;
    v_times timestamptz[];
BEGIN
    IF v_position IS NULL AND find_jobs.state IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('state must be one of blocked, scheduled, ready, running, succeeded, '
                'failed, cancelled, expired; got %s', left(find_jobs.state, 50));
    END IF;
    v_place := regexp_match(
        find_jobs.after,
        CASE
            WHEN v_timed
            THEN '^(-?infinity|\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00)~(\d{1,18})$'
            ELSE '^()(\d{1,18})$'
        END);
    IF find_jobs.after IS NOT NULL AND v_place IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'after must be what the page before gave as next';
    END IF;
    IF least(find_jobs.max_jobs, find_jobs.max_looks) < 1
        OR greatest(find_jobs.max_jobs, find_jobs.max_looks) > 1000000
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'max_jobs and max_looks must be between 1 and 1000000';
    END IF;

    -- What is walked: one index, in its order, from where the last page ended.
    v_walk := CASE WHEN v_over THEN format('k.state = %L', find_jobs.state) ELSE 'true' END;
    IF v_timed THEN
        v_order := CASE WHEN v_over THEN format('%1$s DESC, job_id DESC', v_time)
            ELSE format('%1$s, job_id', v_time) END;
        v_walk := v_walk || format(' AND k.%1$s >= %2$L AND k.%1$s <= %3$L', v_time,
            coalesce(find_jobs.since, '-infinity'), coalesce(find_jobs.until, 'infinity'));
        IF v_place IS NOT NULL THEN
            v_walk := v_walk || format(
                ' AND k.%1$s %2$s= %3$L AND (k.%1$s, k.job_id) %2$s (%3$L, %4$s)',
                v_time, CASE WHEN v_over THEN '<' ELSE '>' END, v_place[1]::timestamptz,
                v_place[2]);
        END IF;
    ELSIF v_grouped THEN
        v_order := 'group_id DESC, id DESC';
        v_walk := format('(k.group_id, k.id) >= (%1$s, %2$s) AND k.group_id <= %1$s',
            find_jobs.group_id,
            CASE WHEN find_jobs.since IS NULL THEN 0
            ELSE pgqueue.first_job_at(find_jobs.since) END);
        IF v_place IS NOT NULL THEN
            v_walk := v_walk || format(
                ' AND (k.group_id, k.id) < (%s, %s)', find_jobs.group_id, v_place[2]);
        END IF;
        IF find_jobs.until IS NOT NULL THEN
            v_walk := v_walk || format(' AND (k.group_id, k.id) < (%s, %s)', find_jobs.group_id,
                pgqueue.first_job_at(find_jobs.until));
        END IF;
    ELSE
        v_order := v_id || ' DESC';
        IF v_place IS NOT NULL THEN
            v_walk := v_walk || format(' AND k.%I < %s', v_id, v_place[2]);
        END IF;
        IF find_jobs.since IS NOT NULL THEN
            v_walk := v_walk
                || format(' AND k.%I >= %s', v_id, pgqueue.first_job_at(find_jobs.since));
        END IF;
        IF find_jobs.until IS NOT NULL THEN
            v_walk := v_walk
                || format(' AND k.%I < %s', v_id, pgqueue.first_job_at(find_jobs.until));
        END IF;
    END IF;
    v_window := format(
        'SELECT k.* FROM pgqueue.%I AS k WHERE %s ORDER BY %s', v_table, v_walk, v_order);

    -- What of it fits.
    IF v_grouped AND v_position IS NOT NULL THEN
        v_fits := format('EXISTS (SELECT FROM pgqueue.%I AS p WHERE p.job_id = w.id', v_position)
            || CASE WHEN v_position = 'finished_jobs' THEN format(' AND p.state = %L)',
                find_jobs.state) ELSE ')' END;
    ELSIF find_jobs.state = 'succeeded' THEN
        v_fits := 'w.state = ''succeeded''';
    END IF;
    IF find_jobs.worker_id IS NOT NULL AND v_grouped THEN
        v_fits := v_fits || format(
            ' AND (EXISTS (SELECT FROM pgqueue.running_jobs AS p '
            'WHERE p.job_id = w.id AND p.worker_id = %1$s) '
            'OR EXISTS (SELECT FROM pgqueue.finished_jobs AS p '
            'WHERE p.job_id = w.id AND p.worker_id = %1$s))', find_jobs.worker_id);
    ELSIF find_jobs.worker_id IS NOT NULL THEN
        v_fits := v_fits || CASE WHEN v_table IN ('running_jobs', 'finished_jobs')
            THEN format(' AND w.worker_id = %s', find_jobs.worker_id) ELSE ' AND false' END;
    END IF;
    IF v_table <> 'jobs' AND (
        coalesce(find_jobs.task, find_jobs.task_part) IS NOT NULL
        OR coalesce(find_jobs.args, find_jobs.kwargs) IS NOT NULL
        OR find_jobs.queue IS NOT NULL AND v_table = 'finished_jobs')
    THEN
        v_job := 'j';
    END IF;
    IF find_jobs.queue IS NOT NULL THEN
        v_fits := v_fits || format(' AND %s.queue = %L',
            CASE WHEN v_table = 'finished_jobs' THEN 'j' ELSE 'w' END, find_jobs.queue);
    END IF;
    IF find_jobs.task IS NOT NULL THEN
        v_fits := v_fits || format(' AND %s.task = %L', v_job, find_jobs.task);
    END IF;
    IF find_jobs.task_part IS NOT NULL THEN
        v_fits := v_fits || format(' AND strpos(lower(%s.task), lower(%L)) > 0', v_job,
            find_jobs.task_part);
    END IF;
    IF find_jobs.args IS NOT NULL THEN
        v_fits := v_fits || format(
            ' AND CASE WHEN pg_column_size(%1$s.args) <= 65536 THEN %1$s.args @> %2$L END',
            v_job, find_jobs.args);
    END IF;
    IF find_jobs.kwargs IS NOT NULL THEN
        v_fits := v_fits || format(
            ' AND CASE WHEN pg_column_size(%1$s.kwargs) <= 65536 THEN %1$s.kwargs @> %2$L END',
            v_job, find_jobs.kwargs);
    END IF;

    EXECUTE format(
        'SELECT array_agg(f.id), array_agg(f.at) FROM (SELECT w.%1$I AS id, %2$s AS at '
        'FROM (%3$s LIMIT %4$s) AS w %5$s WHERE %6$s LIMIT %7$s) AS f',
        v_id, coalesce('w.' || v_time, 'NULL::timestamptz'), v_window, find_jobs.max_looks,
        CASE
            WHEN v_job = 'j'
            THEN 'CROSS JOIN LATERAL ('
                'SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = w.job_id OFFSET 0) AS j'
        END,
        v_fits, find_jobs.max_jobs)
    INTO find_jobs.job_ids, v_times;
    find_jobs.job_ids := coalesce(find_jobs.job_ids, '{}');
    IF cardinality(find_jobs.job_ids) = find_jobs.max_jobs THEN
        find_jobs.reached := v_times[cardinality(v_times)];
        find_jobs.next := find_jobs.job_ids[cardinality(v_times)];
    ELSE
        EXECUTE format('SELECT w.%1$I, %2$s FROM (SELECT %1$I, %3$s FROM (%4$s) AS v '
            'OFFSET %5$s LIMIT 1) AS w', v_id, coalesce('w.' || v_time, 'NULL::timestamptz'),
            coalesce(v_time, v_id || ' AS at'), v_window, find_jobs.max_looks - 1)
        INTO find_jobs.next, find_jobs.reached;
    END IF;
    IF v_timed THEN
        find_jobs.next := find_jobs.reached || '~' || find_jobs.next;
    ELSE
        SELECT j.created_at INTO find_jobs.reached FROM pgqueue.jobs AS j
        WHERE j.id = find_jobs.next::bigint;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.find_jobs(
    text, text, text, text, jsonb, jsonb, bigint, timestamptz, timestamptz, text, integer, integer,
    bigint
) IS
'Find jobs, a page at a time, reading at most max_looks of them however many there are. Failed,
cancelled and expired ones come by their end, the last one first; scheduled ones by run_at, the next
one first; all others, and with group_id those of every state, by id, the newest first.

Args: state; queue; task; task_part: a part of the task''s name, in any case; args, kwargs: JSON
that those of the job contain, not looked for in more than 64 KiB; worker_id: who runs or ran it;
since, until: of the end of failed, cancelled and expired jobs, of run_at for scheduled ones, else,
and with group_id, of the time of enqueueing; after: next of the page before; max_jobs: at most so
many; max_looks: how many are looked at; group_id: whose members. Null stands for any.
Returns: job_ids, in order; next: where the next page begins, null at the end; reached: how far in
time this page went, if there is a next one. A page may hold fewer jobs than asked for, even none,
and have a next one.
Errors: PQ004 for a value that cannot be.';
