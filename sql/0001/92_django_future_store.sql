-- Purpose: let the model ScheduledJob of pgqueue.compat.django_future be created, saved and
-- deleted, by whatever statement Django makes of it.
-- Fired by: INSERT, UPDATE and DELETE on the view django_future_jobs, for each row. Writes jobs,
-- job_errors; moves the job (django_future_move); deletes it (delete_job).
-- Locks: the job, FOR NO KEY UPDATE; its position row (django_future_place); then those of these
-- functions.
-- Errors: 23502 and 23514, which Django gives as IntegrityError, as the old table did; PQ001.
-- Why the row is read again once it is locked: OLD is what the statement saw when it began. Of a
-- table, PostgreSQL would set the columns that were named on the row as it stands now.
-- Why jobs is updated, which nothing else but set_queue does: the old library let one change every
-- column of a job that waits. A worker that takes it at this moment has the old arguments.
CREATE FUNCTION pgqueue.django_future_store() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_now record;
    v_place text;
    v_wrong text;
    v_tuple boolean;
    v_args jsonb;
    v_own jsonb;
    v_retimed boolean := false;
    v_error text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        BEGIN
            IF pgqueue.delete_job(OLD.id) THEN
                RETURN OLD;
            END IF;
        EXCEPTION WHEN SQLSTATE 'PQ003' THEN
            RAISE EXCEPTION USING
                ERRCODE = '23514',
                MESSAGE = SQLERRM,
                HINT = 'cancel it first, or wait for it';
        END;
        RETURN NULL;
    END IF;

    IF TG_OP = 'UPDATE' THEN
        IF NEW.id IS DISTINCT FROM OLD.id THEN
            RAISE EXCEPTION USING
                ERRCODE = '23514',
                MESSAGE = format('the id of job %s cannot be changed', OLD.id);
        END IF;
        PERFORM FROM pgqueue.jobs AS j WHERE j.id = OLD.id FOR NO KEY UPDATE;
        v_place := pgqueue.django_future_place(OLD.id);
        SELECT a.* INTO v_now FROM pgqueue.django_future_jobs AS a WHERE a.id = OLD.id;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        IF NEW.status IS DISTINCT FROM OLD.status AND (
            v_place = 'running' AND OLD.status <> 'running'
            OR v_now.status NOT IN (OLD.status, NEW.status)
        ) THEN
            -- A worker took it just now, or is done with it already; a condition on the status does
            -- not hold any more.
            RETURN NULL;
        END IF;
        SELECT (n.named).* INTO NEW
        FROM (
            SELECT jsonb_populate_record(NEW, jsonb_object_agg(k.key, CASE
                WHEN to_jsonb(NEW) -> k.key IS DISTINCT FROM k.value
                THEN to_jsonb(NEW) -> k.key
                ELSE to_jsonb(v_now) -> k.key
            END)) AS named
            FROM jsonb_each(to_jsonb(OLD)) AS k
        ) AS n;
        v_retimed := NEW.time_slot_start IS DISTINCT FROM v_now.time_slot_start;
        v_error := v_now.error;
    END IF;

    v_wrong := CASE
        WHEN NEW.time_slot_start IS NULL THEN 'time_slot_start'
        WHEN NEW.time_slot_end IS NULL THEN 'time_slot_end'
        WHEN NEW.callable_name IS NULL THEN 'callable_name'
    END;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = '23502',
            MESSAGE = format('%s must be given; got null', v_wrong),
            HINT = CASE v_wrong
                WHEN 'time_slot_end' THEN
                    'a job needs an end; let expires be a long time, such as 5000w'
                ELSE 'see the model ScheduledJob'
            END;
    END IF;
    NEW.status := coalesce(NEW.status, 'scheduled');
    IF NEW.status NOT IN ('scheduled', 'running', 'failed', 'complete', 'expired') THEN
        RAISE EXCEPTION USING
            ERRCODE = '23514',
            MESSAGE = format('status must be scheduled, running, failed, complete or expired; '
                'got %s', quote_literal(left(NEW.status, 40)));
    END IF;
    v_tuple := NEW.args ->> '$t' = 'tuple';
    v_args := coalesce(CASE WHEN v_tuple THEN NEW.args -> 'v' ELSE NEW.args END, '[]');
    v_own := jsonb_strip_nulls(jsonb_build_object(
        'content_type', NEW.content_type_id,
        'object_id', NEW.object_id,
        'args', CASE WHEN v_tuple THEN 'tuple' END
    ));

    IF TG_OP = 'INSERT' THEN
        IF NEW.id IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = '23514',
                MESSAGE = 'the id of a job must be left to the database',
                HINT = 'leave it out; the job gets the next one of all jobs';
        END IF;
        INSERT INTO pgqueue.jobs AS j (task, args, kwargs, queue, run_at, expires_at, meta)
        VALUES (
            'django_future:' || NEW.callable_name, v_args, coalesce(NEW.kwargs, '{}'),
            'django_future', NEW.time_slot_start, NEW.time_slot_end,
            jsonb_build_object('django_future', v_own)
        )
        RETURNING j.id INTO NEW.id;
        IF NEW.status <> 'scheduled' THEN
            v_place := pgqueue.django_future_place(NEW.id);
        END IF;
    ELSIF v_retimed OR (
        NEW.callable_name, NEW.args, NEW.kwargs, NEW.time_slot_end, NEW.content_type_id,
        NEW.object_id
    ) IS DISTINCT FROM (
        v_now.callable_name, v_now.args, v_now.kwargs, v_now.time_slot_end, v_now.content_type_id,
        v_now.object_id
    ) THEN
        UPDATE pgqueue.jobs AS j
        SET task = 'django_future:' || NEW.callable_name,
            args = v_args,
            kwargs = coalesce(NEW.kwargs, '{}'),
            run_at = NEW.time_slot_start,
            expires_at = NEW.time_slot_end,
            meta = jsonb_set(j.meta, '{django_future}',
                (j.meta -> 'django_future') - '{content_type,object_id,args}'::text[] || v_own)
        WHERE j.id = NEW.id
        RETURNING pgqueue.refusal(j) INTO v_wrong;
        IF v_wrong IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'PQ001', MESSAGE = v_wrong;
        END IF;
    END IF;

    IF v_place IS NOT NULL THEN
        PERFORM pgqueue.django_future_move(
            NEW.id, v_place, NEW.status, NEW.execution_start, NEW.return_value, NEW.error,
            v_retimed, v_at);
    END IF;
    IF NEW.error IS DISTINCT FROM v_error THEN
        DELETE FROM pgqueue.job_errors AS e WHERE e.job_id = NEW.id;
        INSERT INTO pgqueue.job_errors (job_id, attempt, at, kind, message, traceback)
        SELECT
            NEW.id, greatest(o.attempt, 1), v_at,
            coalesce(substring(l.line FROM '^([A-Za-z_][A-Za-z0-9_.]*):'), 'Error'),
            left(regexp_replace(l.line, '^[A-Za-z_][A-Za-z0-9_.]*: ?', ''), 4096), NEW.error
        FROM pgqueue.job_overview AS o
        CROSS JOIN LATERAL (
            SELECT coalesce(substring(NEW.error FROM '([^\n]+)\s*$'), '') AS line
        ) AS l
        WHERE o.id = NEW.id AND NEW.error IS NOT NULL;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.django_future_store() IS
'Write what is inserted into, updated in or deleted from pgqueue.django_future_jobs.

Errors: 23502 for a missing time_slot_start, time_slot_end or callable_name; 23514 for a status that
there is not, for an id of one''s own, and for a job that runs, where its status would change or it
would be deleted; PQ001 for a job that could never run.';

CREATE TRIGGER django_future_store
INSTEAD OF INSERT OR UPDATE OR DELETE ON pgqueue.django_future_jobs
FOR EACH ROW
EXECUTE FUNCTION pgqueue.django_future_store();

COMMENT ON TRIGGER django_future_store ON pgqueue.django_future_jobs IS
'Does to the job what was done to the row.';
