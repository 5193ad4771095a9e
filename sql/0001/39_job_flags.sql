-- Purpose: the features that a job uses, as the bitmask that travels with its position.
-- Called by: the insert trigger, file_strays and retry. Touches no table.
-- Why: every move looks at the bits, and leaves out whatever the job does not use.
-- Why one expression, STABLE and without settings: it is inlined, as refusal is.
CREATE FUNCTION pgqueue.job_flags(job pgqueue.jobs) RETURNS integer
LANGUAGE sql STABLE
AS $$
    SELECT (job.expires_at IS NOT NULL)::integer
        + 2 * (job.timeout IS NOT NULL OR job.max_attempts IS NOT NULL
            OR job.meta IS NOT NULL)::integer
        + CASE
            WHEN job.unique_key IS NULL THEN 0
            WHEN job.unique_while = 'waiting' THEN 12
            ELSE 4
        END
        + CASE
            WHEN job.concurrency_key IS NULL THEN 0
            WHEN job.max_running IS NULL AND job.rate IS NULL THEN 16
            ELSE 144
        END
        + 32 * (job.fair_key IS NOT NULL)::integer
        + 256 * (job.group_id IS NOT NULL)::integer
        + 512 * (job.callbacks IS NOT NULL)::integer
        + 1024 * (job.has_dependents IS TRUE)::integer
        + CASE
            WHEN coalesce(cardinality(job.after), 0) = 0 THEN 0
            ELSE 4096 + 2048 * (job.results_as IS NOT NULL)::integer
                + 8192 * (job.run_at IS NOT NULL)::integer
        END
$$;

COMMENT ON FUNCTION pgqueue.job_flags(pgqueue.jobs) IS
'The features that a job uses. Internal.

Args: job: a row of pgqueue.jobs.
Returns: a bitmask, see pgqueue.ready_jobs.flags.';
