-- Purpose: make the schedules that code declares those of the database.
-- Called by: every worker when it has imported its application; "pgqueue schedules sync".
-- Writes schedules. Locks: the rows it changes, by name, as the caller sorts them. Errors: PQ004.
-- Why declaration is kept: what somebody changed in the database stays while the code says the
-- same. Why by module: workers that import other modules declare others, and must not take these
-- away; and of several that import one module each says the same, whatever else it imports.
-- Why not deleted: code that was taken back by mistake would take the history along.
CREATE FUNCTION pgqueue.declare_schedules(
    modules text[],
    schedules jsonb,
    at timestamptz DEFAULT clock_timestamp(),
    OUT changed integer,
    OUT withdrawn integer
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_one jsonb;
    v_old pgqueue.schedules;
BEGIN
    IF jsonb_typeof(declare_schedules.schedules) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = concat('schedules must be a JSON array; got ',
                coalesce(jsonb_typeof(declare_schedules.schedules), 'null'));
    END IF;
    declare_schedules.changed := 0;
    FOR v_one IN SELECT e FROM jsonb_array_elements(declare_schedules.schedules) AS e LOOP
        SELECT * INTO v_old
        FROM pgqueue.schedules AS s
        WHERE s.name = v_one ->> 'name';
        IF FOUND AND v_old.source = 'code' AND v_old.declared
            AND v_old.declaration = v_one - 'module'
            AND v_old.declared_by = v_one ->> 'module'
        THEN
            CONTINUE;
        END IF;
        declare_schedules.changed := declare_schedules.changed + 1;
        IF v_old.source = 'code' AND v_old.declaration = v_one - 'module' THEN
            UPDATE pgqueue.schedules AS s
            SET declared = true,
                declared_by = v_one ->> 'module',
                done_until = CASE WHEN s.declared THEN s.done_until ELSE declare_schedules.at END,
                held_slot = CASE WHEN s.declared THEN s.held_slot END,
                next_run_at = CASE WHEN NOT s.paused THEN timestamptz '-infinity' END,
                revision = s.revision + 1
            WHERE s.id = v_old.id;
            CONTINUE;
        END IF;
        PERFORM pgqueue.schedule(
            name => v_one ->> 'name',
            task => v_one ->> 'task',
            args => v_one -> 'args',
            kwargs => v_one -> 'kwargs',
            every => v_one ->> 'every',
            cron => v_one ->> 'cron',
            rrule => v_one ->> 'rrule',
            run_at => (v_one ->> 'run_at')::timestamptz,
            timezone => v_one ->> 'timezone',
            starts_at => (v_one ->> 'starts_at')::timestamptz,
            ends_at => (v_one ->> 'ends_at')::timestamptz,
            repeats => (v_one ->> 'repeats')::integer,
            jitter => make_interval(secs => (v_one ->> 'jitter')::float8),
            catch_up => v_one ->> 'catch_up',
            max_catch_up => (v_one ->> 'max_catch_up')::integer,
            overlap => v_one ->> 'overlap',
            sticky => (v_one ->> 'sticky')::boolean,
            planned_kwarg => v_one ->> 'planned_kwarg',
            queue => v_one ->> 'queue',
            priority => (v_one ->> 'priority')::integer,
            expires => make_interval(secs => (v_one ->> 'expires')::float8),
            timeout => make_interval(secs => (v_one ->> 'timeout')::float8),
            max_attempts => (v_one ->> 'max_attempts')::integer,
            meta => v_one -> 'meta',
            options => v_one -> 'options',
            source => 'code',
            at => declare_schedules.at
        );
        UPDATE pgqueue.schedules AS s
        SET declaration = v_one - 'module', declared_by = v_one ->> 'module'
        WHERE s.name = v_one ->> 'name';
    END LOOP;
    UPDATE pgqueue.schedules AS s
    SET declared = false, next_slot = NULL, next_run_at = NULL, revision = s.revision + 1
    WHERE s.source = 'code' AND s.declared AND s.declared_by = ANY (declare_schedules.modules)
        AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(declare_schedules.schedules) AS e
            WHERE e ->> 'name' = s.name
        );
    GET DIAGNOSTICS declare_schedules.withdrawn = ROW_COUNT;
    PERFORM pgqueue.ring_leader() WHERE declare_schedules.changed > 0;
END
$$;

COMMENT ON FUNCTION pgqueue.declare_schedules(text[], jsonb, timestamptz) IS
'Make the schedules that code declares those of the database.

Args: modules: all whose code was looked at; schedules: a JSON array of objects, by name, each
with module and the parameters of pgqueue.schedule, durations in seconds; at: the time it is.
Returns: changed: how many are new or say something else than before; withdrawn: how many one of the
modules declared and does no more: they stay, and do not run.
Errors: PQ004 for a schedule that could not be; then none is changed.';
