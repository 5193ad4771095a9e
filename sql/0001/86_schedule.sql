-- Purpose: make a schedule, or change the one of this name.
-- Called by: people and programs, declare_schedules. Writes schedules; rings the leader.
-- Locks: the row of the schedule. Errors: PQ004.
-- Why done_until stays unless the rule changes: a program that says the same at each start neither
-- runs a slot twice nor loses one. Why a pause stays: whoever paused it said so on purpose.
-- Why starts_at stays where it is not named: it is what an interval is counted from.
CREATE FUNCTION pgqueue.schedule(
    name text,
    task text,
    args jsonb DEFAULT '[]',
    kwargs jsonb DEFAULT '{}',
    every text DEFAULT NULL,
    cron text DEFAULT NULL,
    rrule text DEFAULT NULL,
    run_at timestamptz DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    starts_at timestamptz DEFAULT NULL,
    ends_at timestamptz DEFAULT NULL,
    repeats integer DEFAULT NULL,
    jitter interval DEFAULT NULL,
    catch_up text DEFAULT 'once',
    max_catch_up integer DEFAULT 1000,
    overlap text DEFAULT 'allow',
    sticky boolean DEFAULT false,
    planned_kwarg text DEFAULT NULL,
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    expires interval DEFAULT NULL,
    timeout interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    meta jsonb DEFAULT NULL,
    source text DEFAULT 'sql',
    at timestamptz DEFAULT clock_timestamp(),
    options jsonb DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_new pgqueue.schedules;
    v_refusal text;
    v_id bigint;
BEGIN
    IF schedule.priority NOT BETWEEN -32768 AND 32767
        OR schedule.max_attempts NOT BETWEEN 1 AND 32767
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('priority must be between -32768 and 32767, max_attempts between 1 '
                'and 32767; got %s and %s',
                coalesce(schedule.priority::text, 'null'),
                coalesce(schedule.max_attempts::text, 'null'));
    END IF;
    v_new.name := schedule.name;
    v_new.task := schedule.task;
    v_new.args := coalesce(schedule.args, '[]');
    v_new.kwargs := coalesce(schedule.kwargs, '{}');
    v_new.queue := coalesce(schedule.queue, 'default');
    v_new.priority := coalesce(schedule.priority, 0);
    v_new.expires := schedule.expires;
    v_new.timeout := schedule.timeout;
    v_new.max_attempts := schedule.max_attempts;
    v_new.meta := schedule.meta;
    v_new.options := nullif(schedule.options, '{}');
    v_new.planned_kwarg := schedule.planned_kwarg;
    v_new.kind := CASE
        WHEN num_nonnulls(schedule.every, schedule.cron, schedule.rrule, schedule.run_at) <> 1
            THEN NULL
        WHEN schedule.every IS NOT NULL THEN 'every'
        WHEN schedule.cron IS NOT NULL THEN 'cron'
        WHEN schedule.rrule IS NOT NULL THEN 'rrule'
        ELSE 'once'
    END;
    v_new.rule := coalesce(schedule.every, schedule.cron, schedule.rrule, '');
    v_new.timezone := coalesce(schedule.timezone, 'UTC');
    v_new.starts_at := coalesce(schedule.run_at, schedule.starts_at, schedule.at);
    v_new.ends_at := schedule.ends_at;
    v_new.repeats := schedule.repeats;
    v_new.sticky := coalesce(schedule.sticky, false);
    v_new.jitter := coalesce(schedule.jitter, interval '0');
    v_new.catch_up := coalesce(schedule.catch_up, 'once');
    v_new.max_catch_up := coalesce(schedule.max_catch_up, 1000);
    v_new.overlap := coalesce(schedule.overlap, 'allow');
    v_new.source := coalesce(schedule.source, 'sql');
    v_refusal := pgqueue.schedule_refusal(v_new);
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ004', MESSAGE = v_refusal;
    END IF;
    -- One form of a period, which Python reads too.
    IF v_new.options ? 'unique_for' THEN
        v_new.options := v_new.options || jsonb_build_object('unique_for', concat(
            trim_scale(extract(epoch FROM (v_new.options ->> 'unique_for')::interval)), 's'));
    END IF;
    INSERT INTO pgqueue.schedules AS s (
        name, task, args, kwargs, queue, priority, expires, timeout, max_attempts, meta,
        options, planned_kwarg, kind, rule, timezone, starts_at, ends_at, repeats, sticky, jitter,
        catch_up, max_catch_up, overlap, source, done_until, next_run_at, created_at, updated_at
    )
    VALUES (
        v_new.name, v_new.task, v_new.args, v_new.kwargs, v_new.queue, v_new.priority,
        v_new.expires, v_new.timeout, v_new.max_attempts, v_new.meta, v_new.options,
        v_new.planned_kwarg,
        v_new.kind, v_new.rule, v_new.timezone, v_new.starts_at, v_new.ends_at, v_new.repeats,
        v_new.sticky, v_new.jitter, v_new.catch_up, v_new.max_catch_up, v_new.overlap,
        v_new.source,
        -- A start that lies back was named on purpose: its slots count as missed.
        CASE WHEN coalesce(schedule.run_at, schedule.starts_at) IS NULL THEN schedule.at
            ELSE least(schedule.at, v_new.starts_at - interval '1 microsecond') END,
        '-infinity', schedule.at, schedule.at
    )
    ON CONFLICT ON CONSTRAINT schedules_name_key DO UPDATE SET
        task = excluded.task, args = excluded.args, kwargs = excluded.kwargs,
        queue = excluded.queue, priority = excluded.priority, expires = excluded.expires,
        timeout = excluded.timeout, max_attempts = excluded.max_attempts, meta = excluded.meta,
        options = excluded.options, planned_kwarg = excluded.planned_kwarg,
        kind = excluded.kind, rule = excluded.rule, timezone = excluded.timezone,
        ends_at = excluded.ends_at, repeats = excluded.repeats,
        sticky = excluded.sticky, jitter = excluded.jitter, catch_up = excluded.catch_up,
        max_catch_up = excluded.max_catch_up, overlap = excluded.overlap,
        source = excluded.source, declared = true, declared_by = NULL, declaration = NULL,
        starts_at = CASE
            WHEN schedule.starts_at IS NULL AND schedule.run_at IS NULL
                AND (s.kind, s.rule) = (excluded.kind, excluded.rule)
            THEN s.starts_at
            ELSE excluded.starts_at
        END,
        (done_until, last_slot, held_slot) = (SELECT
            CASE
                WHEN same.rule AND s.declared THEN s.done_until
                WHEN excluded.kind = 'once' THEN excluded.done_until
                ELSE schedule.at
            END,
            CASE WHEN same.rule THEN s.last_slot END,
            CASE WHEN same.rule AND s.declared THEN s.held_slot END
            FROM (SELECT (s.kind, s.rule, s.timezone) =
                    (excluded.kind, excluded.rule, excluded.timezone)
                AND (s.starts_at = excluded.starts_at
                    OR coalesce(schedule.starts_at, schedule.run_at) IS NULL)) AS same (rule)),
        next_slot = NULL,
        next_run_at = CASE WHEN NOT s.paused THEN timestamptz '-infinity' END,
        error = NULL, revision = s.revision + 1, updated_at = schedule.at
    RETURNING s.id INTO v_id;
    PERFORM pgqueue.ring_leader();
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION pgqueue.schedule(
    text, text, jsonb, jsonb, text, text, text, timestamptz, text, timestamptz, timestamptz,
    integer, interval, text, integer, text, boolean, text, text, integer, interval, interval,
    integer, jsonb, text, timestamptz, jsonb
) IS
'Make a schedule, or change the one of this name; a pause stays, and so does what has run.

Args: name; task, args, kwargs, queue, priority, expires, timeout, max_attempts, meta: of its jobs;
one of every (''90s'', ''5m'', ''1 day'', ''3 months'', ''weekly''), cron (five fields, or
''@daily''), rrule (RFC 5545) and run_at (once); timezone: whose clocks; starts_at, ends_at: first
and last slot; repeats: runs after which it ends; jitter: most delay of a run; catch_up: all, once
or skip; max_catch_up: most missed slots that are run with all; overlap: allow, skip or queue;
sticky: whether a short month shortens those that follow; planned_kwarg: name of the keyword
argument that gets the planned instant; source: api, code or sql; at: the time it is; options:
what else its jobs have, an object, see pgqueue.schedules.options.
Returns: the id of the schedule.
Errors: PQ004 for a schedule that could not be.';
