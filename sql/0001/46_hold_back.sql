-- Purpose: jobs that were just made ready and have a concurrency key or a fair key wait in its
-- line instead.
-- Called by: whatever makes jobs ready (the insert trigger, promote, retry, and so on), in the
-- same transaction, where flags say that a job has a key. Moves ready_jobs to blocked_jobs; writes
-- offers. Locks: the rows it moves, which nobody else can see yet.
-- Why afterwards: so every way of becoming ready stays one statement that knows nothing of keys.
-- Why a job never goes past the line, be it empty: two transactions that have not committed cannot
-- see each other, and neither may wait. Whoever takes jobs next admits them (admit).
CREATE FUNCTION pgqueue.hold_back(ids bigint[]) RETURNS void
LANGUAGE sql
AS $$
    WITH gone AS (
        DELETE FROM pgqueue.ready_jobs AS r
        WHERE r.job_id = ANY (ids) AND (r.flags & 48) <> 0
        RETURNING r.*
    ),
    line AS (
        INSERT INTO pgqueue.blocked_jobs
            (job_id, reason, key, queue, priority, seq, attempt, lost, crashes, flags)
        SELECT
            g.job_id, CASE WHEN (g.flags & 16) <> 0 THEN 'concurrency' ELSE 'fair' END,
            coalesce(j.concurrency_key, j.fair_key), g.queue, g.priority, g.seq, g.attempt,
            g.lost, g.crashes, g.flags
        FROM gone AS g
        CROSS JOIN LATERAL (
            SELECT j.concurrency_key, j.fair_key
            FROM pgqueue.jobs AS j
            WHERE j.id = g.job_id
            OFFSET 0
        ) AS j
        RETURNING reason, key
    )
    INSERT INTO pgqueue.offers (key)
    SELECT DISTINCT l.key FROM line AS l WHERE l.reason = 'concurrency'
$$;

COMMENT ON FUNCTION pgqueue.hold_back(bigint[]) IS
'Let jobs that were just made ready wait in the line of their key. Internal.

Args: ids: jobs; those without a key stay ready.';
