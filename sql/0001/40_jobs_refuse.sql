-- Purpose: refuse a job that could never run, with a message that does not print it.
-- Fired by: every INSERT and COPY into jobs, row by row, but only for rows its WHEN clause suspects:
-- a plain good job is looked at without entering PL/pgSQL.
-- Touches no table. Errors: PQ001.
-- Why not CHECK and NOT NULL: their errors print the whole row, arguments included, into the
-- client's exception and the server's log.
CREATE FUNCTION pgqueue.jobs_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_expected text;
    v_got text;
    v_hint text := 'see COMMENT ON COLUMN pgqueue.jobs for what each column takes';
BEGIN
    IF coalesce(octet_length(NEW.task), 0) NOT BETWEEN 1 AND 500 THEN
        v_expected := 'task must be a name of 1 to 500 bytes';
        v_got := coalesce(octet_length(NEW.task) || ' bytes', 'null');
    ELSIF coalesce(octet_length(NEW.queue), 0) NOT BETWEEN 1 AND 200 OR NEW.queue = '*' THEN
        v_expected := 'queue must be a name of 1 to 200 bytes and not "*"';
        v_got := CASE WHEN NEW.queue = '*' THEN '"*"'
                      ELSE coalesce(octet_length(NEW.queue) || ' bytes', 'null') END;
    ELSIF jsonb_typeof(NEW.args) IS DISTINCT FROM 'array' THEN
        v_expected := 'args must be a JSON array';
        v_got := coalesce(jsonb_typeof(NEW.args), 'null');
        v_hint := 'write one argument as [argument]; leave the column out for none';
    ELSIF jsonb_typeof(NEW.kwargs) IS DISTINCT FROM 'object' THEN
        v_expected := 'kwargs must be a JSON object';
        v_got := coalesce(jsonb_typeof(NEW.kwargs), 'null');
        v_hint := 'write {"name": argument}; leave the column out for none';
    ELSIF jsonb_typeof(NEW.meta) <> 'object' THEN
        v_expected := 'meta must be a JSON object or null';
        v_got := jsonb_typeof(NEW.meta);
    ELSIF NEW.priority IS NULL THEN
        v_expected := 'priority must be between -32768 and 32767';
        v_got := 'null';
    ELSIF NEW.timeout <= interval '0' THEN
        v_expected := 'timeout must be longer than nothing';
        v_got := NEW.timeout::text;
    ELSIF NEW.max_attempts < 1 THEN
        v_expected := 'max_attempts must be at least 1';
        v_got := NEW.max_attempts::text;
    ELSIF octet_length(NEW.args::text) + octet_length(NEW.kwargs::text)
        + coalesce(octet_length(NEW.meta::text), 0) > 1048576 + 16384
    THEN
        v_expected := 'args, kwargs and meta must be at most 1048576 bytes of JSON together';
        v_got := (octet_length(NEW.args::text) + octet_length(NEW.kwargs::text)
            + coalesce(octet_length(NEW.meta::text), 0))::text;
        v_hint := 'store the data elsewhere and give the job a reference to it';
    ELSE
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'PQ001',
        MESSAGE = format('%s; got %s', v_expected, v_got),
        HINT = v_hint;
END
$$;

COMMENT ON FUNCTION pgqueue.jobs_refuse() IS
'Refuse a job row that could never run.

Errors: PQ001, naming the column, what it takes and what kind of thing came, never the value of an
argument.';

CREATE TRIGGER jobs_refuse
BEFORE INSERT ON pgqueue.jobs
FOR EACH ROW
WHEN (
    NEW.task IS NULL OR NEW.task = '' OR octet_length(NEW.task) > 500
    OR NEW.queue IS NULL OR NEW.queue = '' OR NEW.queue = '*' OR octet_length(NEW.queue) > 200
    OR NEW.priority IS NULL
    OR jsonb_typeof(NEW.args) IS DISTINCT FROM 'array'
    OR jsonb_typeof(NEW.kwargs) IS DISTINCT FROM 'object'
    OR jsonb_typeof(NEW.meta) <> 'object'
    OR NEW.timeout <= interval '0'
    OR NEW.max_attempts < 1
    OR pg_column_size(NEW.args) + pg_column_size(NEW.kwargs)
        + coalesce(pg_column_size(NEW.meta), 0) > 524288
)
EXECUTE FUNCTION pgqueue.jobs_refuse();

ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_refuse;

COMMENT ON TRIGGER jobs_refuse ON pgqueue.jobs IS
'Refuses rows that could never run, without printing them.';
