-- Purpose: enqueue a job through the view of django-async.
-- Fired by: INSERT on async_jobs, once a row. Writes jobs and what its trigger writes; groups; ends
-- a job that is said to be over (async_end).
-- Why such a job joins its group afterwards: a group that has ended takes what is over, and nothing
-- else. Why an id may be given: that of a row that was stored elsewhere; the others go on above it.
CREATE FUNCTION pgqueue.async_jobs_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_over boolean := NEW.executed IS NOT NULL OR NEW.cancelled IS NOT NULL;
    v_given bigint := NEW.id;
BEGIN
    NEW.id := coalesce(NEW.id, nextval('pgqueue.jobs_id_seq'));
    NEW.args := coalesce(NEW.args, '[]');
    NEW.kwargs := coalesce(NEW.kwargs, '{}');
    NEW.meta := coalesce(NEW.meta, '{}');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.identity := coalesce(NEW.identity, '');
    NEW.added := coalesce(NEW.added, v_at);
    PERFORM pgqueue.async_pass('pgqueue.jobs_id_seq', v_given);
    INSERT INTO pgqueue.jobs
        (id, task, args, kwargs, queue, priority, run_at, meta, created_at, group_id)
    OVERRIDING SYSTEM VALUE
    VALUES (
        NEW.id, 'async:' || NEW.name, NEW.args::jsonb, NEW.kwargs::jsonb, 'async',
        greatest(least(NEW.priority, 32767), -32768), NEW.scheduled,
        jsonb_build_object('async', jsonb_strip_nulls(jsonb_build_object(
            'identity', nullif(NEW.identity, ''),
            'started', CASE WHEN NOT v_over THEN NEW.started END
        )) || CASE WHEN NEW.meta::jsonb = '{}' THEN '{}'
            ELSE jsonb_build_object('meta', NEW.meta::jsonb) END),
        NEW.added, CASE WHEN NOT v_over THEN NEW.group_id END
    );
    IF v_over THEN
        PERFORM pgqueue.async_end(
            NEW.id, CASE WHEN NEW.executed IS NULL THEN 'cancelled' ELSE 'succeeded' END,
            coalesce(NEW.executed, NEW.cancelled), NEW.started,
            nullif(NEW.result, '')::jsonb, v_at);
        PERFORM pgqueue.async_move(NEW.id, NEW.group_id, v_at);
    ELSIF NEW.group_id IS NOT NULL THEN
        UPDATE pgqueue.groups AS g
        SET closed_at = v_at
        WHERE g.id = NEW.group_id AND g.closed_at IS NULL;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.async_jobs_insert() IS
'Enqueue a job of django-async.

Errors: PQ001 for a job that could never run, or a group that takes none any more.';

CREATE TRIGGER async_jobs_insert
INSTEAD OF INSERT ON pgqueue.async_jobs
FOR EACH ROW
EXECUTE FUNCTION pgqueue.async_jobs_insert();

COMMENT ON TRIGGER async_jobs_insert ON pgqueue.async_jobs IS 'Enqueues the job.';
