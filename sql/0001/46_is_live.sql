-- Purpose: does a job still have its unique key by right of being there?
-- Called by: sweep_unique_keys, check_invariants. Reads jobs and the position tables.
CREATE FUNCTION pgqueue.is_live(job_id bigint, while_waiting boolean) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN is_live.while_waiting THEN
            EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = is_live.job_id)
            OR EXISTS (SELECT FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = is_live.job_id)
            OR EXISTS (SELECT FROM pgqueue.blocked_jobs AS b WHERE b.job_id = is_live.job_id)
        ELSE
            EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = is_live.job_id)
            AND NOT EXISTS (
                SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = is_live.job_id)
    END
$$;

COMMENT ON FUNCTION pgqueue.is_live(bigint, boolean) IS
'Tell whether a job still has its unique key by being there. Internal.

Args: job_id; while_waiting: whether it must wait for that, or may run as well.
Returns: whether it has.';
