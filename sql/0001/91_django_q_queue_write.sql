-- Purpose: let what django-q does to its queue through the model OrmQ be done to the jobs.
-- Fired by: INSERT, UPDATE and DELETE of the view django_q_queue, in the place of these.
-- Writes jobs and positions by enqueue, set_queue, reschedule_waiting and delete_job.
-- Locks: those of these functions. Errors: theirs.
-- Why a package becomes a job of its own kind: only Python can open it, which the worker does.
-- Why a running task is passed over by DELETE and UPDATE: its worker has it, and ends it.
CREATE FUNCTION pgqueue.django_q_queue_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_state text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.id := pgqueue.enqueue(
            task => 'django_q::package',
            args => jsonb_build_array(NEW.payload),
            queue => NEW.key,
            -- Locked until now, by the clock of another machine, is not locked.
            run_at => CASE WHEN NEW.lock > v_at + interval '1 s' THEN NEW.lock END
        );
        RETURN NEW;
    END IF;
    IF OLD.state = 'running' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        BEGIN
            IF NOT pgqueue.delete_job(OLD.id) THEN
                RETURN NULL;
            END IF;
        EXCEPTION WHEN SQLSTATE 'PQ003' THEN
            RETURN NULL;
        END;
        RETURN OLD;
    END IF;
    -- Whoever comes second finds it taken, as the old broker's own update did.
    PERFORM FROM pgqueue.jobs AS j WHERE j.id = OLD.id FOR NO KEY UPDATE;
    SELECT q.state INTO v_state
    FROM pgqueue.django_q_queue AS q
    WHERE q.id = OLD.id AND q.lock IS NOT DISTINCT FROM OLD.lock;
    IF NOT FOUND OR v_state = 'running' THEN
        RETURN NULL;
    END IF;
    IF NEW.key <> OLD.key THEN
        PERFORM pgqueue.set_queue(OLD.id, NEW.key);
    END IF;
    IF NEW.payload <> OLD.payload THEN
        UPDATE pgqueue.jobs AS j
        SET task = 'django_q::package', args = jsonb_build_array(NEW.payload), kwargs = '{}'
        WHERE j.id = OLD.id;
    END IF;
    IF NEW.lock IS DISTINCT FROM OLD.lock THEN
        PERFORM pgqueue.reschedule_waiting(OLD.id, NEW.lock, v_at);
        PERFORM pgqueue.ring_leader();
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.django_q_queue_write() IS
'Let what django-q does to its queue through the model OrmQ be done to the jobs.';

CREATE TRIGGER django_q_queue_write
INSTEAD OF INSERT OR UPDATE OR DELETE ON pgqueue.django_q_queue
FOR EACH ROW
EXECUTE FUNCTION pgqueue.django_q_queue_write();

COMMENT ON TRIGGER django_q_queue_write ON pgqueue.django_q_queue IS
'Does to the jobs what is done to the view.';
