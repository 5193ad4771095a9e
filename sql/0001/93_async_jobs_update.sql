-- Purpose: change a job through the view of django-async: what it is, when it runs, whether it is
-- over.
-- Fired by: UPDATE on async_jobs, once a row. Writes jobs; moves the job from position to position
-- by the functions that people use.
-- Locks: the job, its position row, its groups. Errors: PQ001, PQ003, PQ004.
-- Why jobs is changed here, which else nobody does: the flags of a position, which are made when a
-- job comes in, do not tell what may be changed, but for the group (async_move).
CREATE FUNCTION pgqueue.async_jobs_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_was text := CASE WHEN OLD.executed IS NOT NULL THEN 'succeeded'
        WHEN OLD.cancelled IS NOT NULL THEN 'cancelled' END;
    v_is text := CASE WHEN NEW.executed IS NOT NULL THEN 'succeeded'
        WHEN NEW.cancelled IS NOT NULL THEN 'cancelled' END;
    v_moved boolean := NEW.scheduled IS DISTINCT FROM OLD.scheduled;
    v_refusal text;
BEGIN
    IF NEW.id IS DISTINCT FROM OLD.id THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('the id of a job must stay as it is; job %s', OLD.id);
    END IF;
    IF v_moved OR (NEW.name, NEW.args, NEW.kwargs, NEW.meta, NEW.identity, NEW.added, NEW.priority,
        NEW.started) IS DISTINCT FROM (OLD.name, OLD.args, OLD.kwargs, OLD.meta, OLD.identity,
        OLD.added, OLD.priority, OLD.started)
    THEN
        UPDATE pgqueue.jobs AS j
        SET task = 'async:' || NEW.name,
            args = NEW.args::jsonb,
            kwargs = NEW.kwargs::jsonb,
            priority = CASE WHEN NEW.priority IS DISTINCT FROM OLD.priority
                THEN greatest(least(NEW.priority, 32767), -32768) ELSE j.priority END,
            run_at = CASE WHEN v_moved THEN NEW.scheduled ELSE j.run_at END,
            created_at = NEW.added,
            meta = j.meta || jsonb_build_object('async',
                ((j.meta -> 'async') - ARRAY['identity', 'started', 'meta'])
                || jsonb_strip_nulls(jsonb_build_object(
                    'identity', nullif(NEW.identity, ''),
                    'started', CASE
                        WHEN v_is IS NOT NULL THEN NULL
                        WHEN NEW.started IS DISTINCT FROM OLD.started THEN NEW.started
                        ELSE (j.meta -> 'async' ->> 'started')::timestamptz
                    END,
                    'moved', CASE WHEN v_moved THEN v_at END
                ))
                || CASE WHEN NEW.meta::jsonb = '{}' THEN '{}'
                    ELSE jsonb_build_object('meta', NEW.meta::jsonb) END)
        WHERE j.id = OLD.id
        RETURNING pgqueue.refusal(j) INTO v_refusal;
        IF v_refusal IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ001',
                MESSAGE = v_refusal,
                HINT = 'see COMMENT ON COLUMN pgqueue.jobs for what each column takes';
        END IF;
    END IF;
    IF NEW.group_id IS DISTINCT FROM OLD.group_id THEN
        PERFORM pgqueue.async_move(OLD.id, NEW.group_id, v_at);
    END IF;
    IF v_is IS NULL AND v_was IS NOT NULL THEN
        PERFORM pgqueue.retry(OLD.id, NEW.scheduled, v_at);
    ELSIF v_is IS NOT NULL AND v_was IS NULL THEN
        PERFORM pgqueue.async_end(OLD.id, v_is, coalesce(NEW.executed, NEW.cancelled), NEW.started,
            nullif(NEW.result, '')::jsonb, v_at);
    ELSIF v_is <> v_was THEN
        PERFORM pgqueue.retry(OLD.id, NULL, v_at);
        PERFORM pgqueue.async_end(OLD.id, v_is, coalesce(NEW.executed, NEW.cancelled), NEW.started,
            nullif(NEW.result, '')::jsonb, v_at);
    ELSIF v_is IS NOT NULL THEN
        UPDATE pgqueue.finished_jobs AS f
        SET finished_at = coalesce(NEW.executed, NEW.cancelled),
            started_at = NEW.started,
            result = CASE WHEN v_is = 'succeeded'
                THEN nullif(nullif(NEW.result, '')::jsonb, 'null') END
        WHERE f.job_id = OLD.id
            AND (NEW.executed, NEW.cancelled, NEW.started, NEW.result)
                IS DISTINCT FROM (OLD.executed, OLD.cancelled, OLD.started, OLD.result);
    ELSE
        IF v_moved THEN
            PERFORM pgqueue.reschedule_waiting(OLD.id, NEW.scheduled, v_at);
        END IF;
        IF NEW.priority IS DISTINCT FROM OLD.priority THEN
            PERFORM pgqueue.set_priority(
                OLD.id, greatest(least(NEW.priority, 32767), -32768));
        END IF;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.async_jobs_update() IS
'Change a job of django-async.

Errors: PQ001 for a job that could never run, or a group that takes none any more; PQ003 for a
change of the group while it runs; PQ004 for a change of the id.';

CREATE TRIGGER async_jobs_update
INSTEAD OF UPDATE ON pgqueue.async_jobs
FOR EACH ROW
EXECUTE FUNCTION pgqueue.async_jobs_update();

COMMENT ON TRIGGER async_jobs_update ON pgqueue.async_jobs IS
'Changes the job, and moves it where it then belongs.';
