-- Purpose: delete a job through the view of django-async.
-- Fired by: DELETE on async_jobs, once a row. Deletes from jobs (and, by its trigger, from the
-- rest). Also a running one: its transaction cannot finish any more, so that its work is undone.
-- Locks: as DELETE on jobs.
CREATE FUNCTION pgqueue.async_jobs_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    DELETE FROM pgqueue.jobs AS j WHERE j.id = OLD.id;
    RETURN OLD;
END
$$;

COMMENT ON FUNCTION pgqueue.async_jobs_delete() IS 'Delete a job of django-async.';

CREATE TRIGGER async_jobs_delete
INSTEAD OF DELETE ON pgqueue.async_jobs
FOR EACH ROW
EXECUTE FUNCTION pgqueue.async_jobs_delete();

COMMENT ON TRIGGER async_jobs_delete ON pgqueue.async_jobs IS
'Deletes the job and what hangs on it.';
