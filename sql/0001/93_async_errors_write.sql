-- Purpose: write failures down, change and delete them through the view of django-async.
-- Fired by: INSERT, UPDATE and DELETE on async_errors, once a row. Writes job_errors.
-- Why from 32768: attempts never get that far, so that what is written by hand has numbers of its
-- own. Locks: the job, so that two do not get the same, and so that prune passes by what somebody
-- is changing. Errors: PQ002, PQ004.
CREATE FUNCTION pgqueue.async_errors_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM FROM pgqueue.jobs AS j WHERE j.id = OLD.job_id FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM pgqueue.async_jobs AS a WHERE a.id = NEW.job_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ002',
                MESSAGE = format('there is no job %s', coalesce(NEW.job_id::text, 'null')),
                HINT = 'it may have been deleted';
        END IF;
        PERFORM FROM pgqueue.jobs AS j WHERE j.id = NEW.job_id FOR NO KEY UPDATE;
        NEW.executed := coalesce(NEW.executed, clock_timestamp());
        NEW.exception := coalesce(NEW.exception, '');
        NEW.traceback := coalesce(NEW.traceback, '');
        INSERT INTO pgqueue.job_errors AS e (job_id, attempt, at, kind, message, traceback)
        SELECT
            NEW.job_id, greatest(coalesce(max(k.attempt), 0), 32767) + 1, NEW.executed, '',
            NEW.exception, NEW.traceback
        FROM pgqueue.job_errors AS k
        WHERE k.job_id = NEW.job_id
        RETURNING e.job_id * 65536 + e.attempt INTO NEW.id;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM pgqueue.job_errors AS e
        WHERE e.job_id = OLD.job_id AND e.attempt = OLD.id - OLD.job_id * 65536;
        RETURN OLD;
    END IF;
    IF (NEW.id, NEW.job_id) IS DISTINCT FROM (OLD.id, OLD.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('the id and the job of a failure must stay as they are; job %s',
                OLD.job_id);
    END IF;
    UPDATE pgqueue.job_errors AS e
    SET at = NEW.executed,
        kind = CASE WHEN NEW.exception = OLD.exception THEN e.kind ELSE '' END,
        message = CASE WHEN NEW.exception = OLD.exception THEN e.message ELSE NEW.exception END,
        traceback = NEW.traceback
    WHERE e.job_id = OLD.job_id AND e.attempt = OLD.id - OLD.job_id * 65536;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.async_errors_write() IS
'Write a failure of a job of django-async down, change or delete it.

Errors: PQ002 for a job that is none; PQ004 for a change of the id or the job.';

CREATE TRIGGER async_errors_write
INSTEAD OF INSERT OR UPDATE OR DELETE ON pgqueue.async_errors
FOR EACH ROW
EXECUTE FUNCTION pgqueue.async_errors_write();

COMMENT ON TRIGGER async_errors_write ON pgqueue.async_errors IS 'Writes the failure.';
