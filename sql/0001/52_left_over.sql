-- Purpose: tell apart the outcomes that could not be stored: leases that were lost, and rows that
-- somebody else holds just now.
-- Called by: store_outcomes, when fewer rows moved than were told. Reads running_jobs; locks
-- nothing.
-- Why a statement of its own: the first one's snapshot cannot tell a row that is gone from one that
-- is locked.
CREATE FUNCTION pgqueue.left_over(
    worker_id bigint,
    batch_no bigint,
    ids bigint[],
    moved bigint[],
    OUT refused bigint[],
    OUT again bigint[]
)
LANGUAGE sql
AS $$
    SELECT
        array_agg(i.id) FILTER (WHERE r.job_id IS NULL),
        array_agg(i.id) FILTER (WHERE r.job_id IS NOT NULL)
    FROM unnest(ids) AS i (id)
    LEFT JOIN LATERAL (
        SELECT k.job_id
        FROM pgqueue.running_jobs AS k
        WHERE k.job_id = i.id
            AND k.worker_id = left_over.worker_id
            AND k.batch_no = left_over.batch_no
        OFFSET 0
    ) AS r ON true
    WHERE i.id <> ALL (coalesce(moved, '{}'))
$$;

COMMENT ON FUNCTION pgqueue.left_over(bigint, bigint, bigint[], bigint[]) IS
'Tell why outcomes were not stored. Internal.

Args: worker_id, batch_no, ids: as told; moved: those that were stored.
Returns: refused: not this worker''s any more; again: its own, but locked by somebody just now.';
