-- Purpose: leave out a row whose unique key another job has, as ON CONFLICT DO NOTHING would: it
-- is not counted, and RETURNING does not give it.
-- Fired by: every row of INSERT and COPY into jobs that has a unique_key. Reads unique_keys and the
-- position tables. Locks: those of unique_holder.
-- Why only rows whose on_duplicate is ignore, and only where the other job has committed: all else,
-- and the duplicates within one statement, is decided after the statement, when all its keys are
-- known and can be taken in order (take_unique_keys). RETURNING gives the id of such a row, which
-- then is deleted; pgqueue.enqueue gives the id of the job that has the key.
-- Why it looks itself first: most keys are free, and each setting that a function pins costs a row
-- about a microsecond (of 23 that a key costs in a bulk INSERT).
-- Why the WHEN clause is so small: the server reads its text in each statement, plain ones too.
-- This one takes 9 microseconds of a single INSERT that takes 120, and nothing measurable of a bulk
-- one or of COPY.
CREATE FUNCTION pgqueue.jobs_unique() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF coalesce(new.on_duplicate, 'ignore') = 'ignore'
        AND octet_length(new.unique_key) BETWEEN 1 AND 1000
        AND EXISTS (SELECT FROM pgqueue.unique_keys AS u WHERE u.key = new.unique_key)
        AND pgqueue.unique_holder(new.unique_key, clock_timestamp()) IS NOT NULL
    THEN
        RETURN NULL;
    END IF;
    RETURN new;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_unique() IS
'Leave out a row of an INSERT whose unique key another job has.';

CREATE TRIGGER jobs_unique
BEFORE INSERT ON pgqueue.jobs
FOR EACH ROW
WHEN (new.unique_key IS NOT NULL)
EXECUTE FUNCTION pgqueue.jobs_unique();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_unique;

COMMENT ON TRIGGER jobs_unique ON pgqueue.jobs IS
'Leaves out duplicates of jobs that have the same unique key.';
