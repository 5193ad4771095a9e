-- Purpose: say why a job could never run, without printing it.
-- Called by: the insert trigger for every new row, and file_strays. Touches no table.
-- Why one expression, inlined into the caller's statement: 0.2 microseconds a good row. Not a row
-- trigger: the server reads the text of a WHEN clause anew in every statement (a single INSERT took
-- 40 microseconds longer), a row trigger keeps COPY from writing rows a page at a time, and while
-- one runs in a COPY an error quotes the line, arguments included.
-- Why not CHECK and NOT NULL: their errors print the whole row, arguments included, into the
-- client's exception and the server's log.
-- Why the text is measured: a jsonb may come compressed from another table, and [1e131071] is a few
-- bytes on disk and 128 KiB in a payload. PostgreSQL prints a space after each comma and colon, so
-- that 1 MiB as a client writes it is at most 1.5 MiB here.
-- Why STABLE: it prints intervals; a stricter promise than the body's would keep it from being
-- inlined (12.8 microseconds a row in bulk instead of 5.2).
CREATE FUNCTION pgqueue.refusal(job pgqueue.jobs) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN coalesce(octet_length(job.task), 0) NOT BETWEEN 1 AND 500 THEN concat(
            'task must be a name of 1 to 500 bytes; got ',
            coalesce(octet_length(job.task) || ' bytes', 'null'))
        WHEN coalesce(octet_length(job.queue), 0) NOT BETWEEN 1 AND 200 OR job.queue = '*'
        THEN concat(
            'queue must be a name of 1 to 200 bytes and not "*"; got ',
            CASE WHEN job.queue = '*' THEN '"*"'
                ELSE coalesce(octet_length(job.queue) || ' bytes', 'null') END)
        WHEN jsonb_typeof(job.args) IS DISTINCT FROM 'array' THEN concat(
            'args must be a JSON array; got ', coalesce(jsonb_typeof(job.args), 'null'))
        WHEN jsonb_typeof(job.kwargs) IS DISTINCT FROM 'object' THEN concat(
            'kwargs must be a JSON object; got ', coalesce(jsonb_typeof(job.kwargs), 'null'))
        WHEN jsonb_typeof(job.meta) <> 'object' THEN concat(
            'meta must be a JSON object, or left out; got ', jsonb_typeof(job.meta))
        WHEN job.priority IS NULL THEN
            'priority must be between -32768 and 32767; got null'
        WHEN NOT isfinite(job.created_at) THEN 'created_at must be a time; got an infinite one'
        WHEN job.timeout <= interval '0' OR job.timeout > interval '365 days' THEN concat(
            'timeout must be above 0 and at most 365 days; got ', job.timeout)
        WHEN job.max_attempts < 1 THEN concat(
            'max_attempts must be at least 1; got ', job.max_attempts)
        WHEN (job.unique_key IS NOT NULL OR job.unique_while IS NOT NULL
                OR job.unique_for IS NOT NULL OR job.on_duplicate IS NOT NULL)
            AND pgqueue.unique_refusal(job.unique_key, job.unique_while, job.unique_for,
                job.on_duplicate) IS NOT NULL
        THEN pgqueue.unique_refusal(job.unique_key, job.unique_while, job.unique_for,
            job.on_duplicate)
        WHEN (job.after IS NOT NULL OR job.run_if IS NOT NULL OR job.results_as IS NOT NULL)
            -- After one other job, as most; null where it is not as simple.
            AND (cardinality(job.after) = 1 AND job.after[1] < job.id
                AND job.run_if IS NULL AND job.results_as IS NULL) IS NOT TRUE
            AND pgqueue.flow_refusal(job.id, job.after, job.run_if, job.results_as) IS NOT NULL
        THEN pgqueue.flow_refusal(job.id, job.after, job.run_if, job.results_as)
        WHEN job.callbacks IS NOT NULL AND pgqueue.callbacks_refusal(job.callbacks) IS NOT NULL
        THEN pgqueue.callbacks_refusal(job.callbacks)
        WHEN octet_length(job.concurrency_key) NOT BETWEEN 1 AND 1000 THEN concat(
            'concurrency_key must be text of 1 to 1000 bytes; got ',
            octet_length(job.concurrency_key), ' bytes')
        WHEN octet_length(job.fair_key) NOT BETWEEN 1 AND 1000 THEN concat(
            'fair_key must be text of 1 to 1000 bytes; got ', octet_length(job.fair_key), ' bytes')
        WHEN job.fair_key IS NOT NULL AND job.concurrency_key IS NOT NULL THEN
            'fair_key must not be given with a concurrency_key; got both'
        WHEN job.max_running IS NOT NULL
            AND (job.max_running < 1 OR job.concurrency_key IS NULL)
        THEN concat(
            'max_running must be at least 1 and given with a concurrency_key; got ',
            job.max_running)
        WHEN job.rate IS NOT NULL
            AND (pgqueue.rate_jobs(job.rate) IS NULL OR job.concurrency_key IS NULL)
        THEN concat(
            'rate must be text such as 100/m, 5/s, 1000/2h or 10/d, given with a ',
            'concurrency_key; got ', quote_literal(left(job.rate, 60)))
        WHEN octet_length(job.args::text) > 1572864
            OR octet_length(job.kwargs::text) > 1572864
            OR octet_length(job.meta::text) > 1572864
        THEN concat(
            'args, kwargs and meta must each be at most 1048576 bytes of JSON, 1572864 as ',
            'PostgreSQL prints it; got ',
            greatest(octet_length(job.args::text), octet_length(job.kwargs::text),
                octet_length(job.meta::text)))
    END
$$;

COMMENT ON FUNCTION pgqueue.refusal(pgqueue.jobs) IS
'Say why a job could never run. Internal.

Args: job: a row of pgqueue.jobs.
Returns: a sentence that names the column, what it takes and what kind of thing came, never the
value of an argument; null for a good job.';
