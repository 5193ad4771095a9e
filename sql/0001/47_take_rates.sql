-- Purpose: write down that jobs whose keys have a rate have started.
-- Called by: claim, where flags say so. Moves slots ("r:") to key_takes. Reads jobs, key_limits.
-- Locks: the rows of slots, which belong to jobs whose rows the caller has.
-- Why in the transaction that takes the jobs: so each of them is counted at any moment, as one that
-- may start or as one that has.
CREATE FUNCTION pgqueue.take_rates(ids bigint[], at timestamptz) RETURNS void
LANGUAGE sql
AS $$
    WITH gone AS (
        DELETE FROM pgqueue.slots AS s
        WHERE s.job_id = ANY (ids) AND left(s.key, 1) = 'r'
        RETURNING substr(s.key, 3) AS key, s.job_id
    ),
    counted AS (
        SELECT g.key, count(*)::integer AS n, min(g.job_id) AS job_id FROM gone AS g GROUP BY g.key
    )
    INSERT INTO pgqueue.key_takes (key, until, n)
    SELECT
        c.key,
        to_timestamp(ceil(extract(epoch FROM at) * 64 / r.seconds + 64) * r.seconds / 64),
        c.n
    FROM counted AS c
    CROSS JOIN LATERAL (
        SELECT pgqueue.rate_seconds(coalesce(
            (SELECT l.rate FROM pgqueue.key_limits AS l WHERE l.key = c.key),
            (SELECT j.rate FROM pgqueue.jobs AS j WHERE j.id = c.job_id)
        )) AS seconds
        OFFSET 0
    ) AS r
    WHERE r.seconds IS NOT NULL
$$;

COMMENT ON FUNCTION pgqueue.take_rates(bigint[], timestamptz) IS
'Write down that jobs whose keys have a rate have started. Internal.

Args: ids: the jobs; at: the time it is.';
