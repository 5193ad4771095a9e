-- Purpose: let others have the unique keys of jobs that are over, or that a worker took.
-- Called by: settle, claim; only where flags say that a job has a key. Deletes from unique_keys;
-- reads finished_jobs. Locks: those rows, skipping what others hold, so that no worker waits for a
-- producer; what is skipped counts as free all the same, and is swept later.
CREATE FUNCTION pgqueue.release_unique_keys(
    ids bigint[],
    at timestamptz
) RETURNS void
LANGUAGE sql
AS $$
    DELETE FROM pgqueue.unique_keys AS u
    WHERE u.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM unnest(ids) AS i (id)
        CROSS JOIN LATERAL (
            SELECT k.ctid
            FROM pgqueue.unique_keys AS k
            WHERE k.job_id = i.id
                AND (
                    k.held_until IS NULL
                    OR k.held_until <= at
                    OR EXISTS (
                        SELECT FROM pgqueue.finished_jobs AS f
                        WHERE f.job_id = i.id AND f.state IN ('cancelled', 'expired')
                    )
                )
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS k
    ))
$$;

COMMENT ON FUNCTION pgqueue.release_unique_keys(bigint[], timestamptz) IS
'Let others have the unique keys of these jobs. Internal.

Args: ids: jobs that are over, or were taken; one that succeeded or failed keeps its key for its
period; at: the time it is.
Locks: rows of unique_keys, skipping those that others hold.';
