-- Purpose: the results of the jobs that a job runs after, in their order.
-- Called by: claim, for jobs that take them. Reads finished_jobs.
-- Why a bound: the batch is one text of at most 1 GB, and a job that cannot be taken would stand in
-- the way of its whole queue. The worker fails the job and says why.
CREATE FUNCTION pgqueue.parent_results(after bigint[]) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN sum(octet_length(r.result)) <= 16777216 THEN
            concat('[', string_agg(r.result, ',' ORDER BY r.n), ']')
        ELSE 'null'
    END
    FROM (
        SELECT a.n, coalesce(f.result::text, 'null') AS result
        FROM unnest(after) WITH ORDINALITY AS a (id, n)
        LEFT JOIN LATERAL (
            SELECT f.result FROM pgqueue.finished_jobs AS f WHERE f.job_id = a.id OFFSET 0
        ) AS f ON true
    ) AS r
$$;

COMMENT ON FUNCTION pgqueue.parent_results(bigint[]) IS
'The results of jobs, as the text of a JSON array. Internal.

Args: after: the jobs, in order.
Returns: null in the place of a job that has none; the text null where all are larger than 16 MiB.';
