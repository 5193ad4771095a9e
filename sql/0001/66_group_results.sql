-- Purpose: what became of the jobs of a group, in order.
-- Called by: people and programs. Reads jobs, finished_jobs; locks nothing.
CREATE FUNCTION pgqueue.group_results(group_id bigint)
RETURNS TABLE (job_id bigint, task text, state text, result jsonb, error text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT j.id, j.task, f.state, f.result, f.error
    FROM pgqueue.jobs AS j
    LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
    WHERE j.group_id = group_results.group_id
    ORDER BY j.id
$$;

COMMENT ON FUNCTION pgqueue.group_results(bigint) IS
'What became of the jobs of a group.

Args: group_id.
Returns: one row a job in the order in which they were enqueued, of a flow in one in which they can
run; state is null for one that is not over.';
