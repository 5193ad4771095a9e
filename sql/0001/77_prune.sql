-- Purpose: delete the finished jobs that need not be kept any longer.
-- Called by: the leader in small batches; people, with older_than, to make room.
-- Deletes from jobs (and, by its trigger, from what hangs on them) and from finished_jobs.
-- Locks: the finished row and the job, by keep_until, skipping those that others hold, so that it
-- waits neither for a retry nor for somebody's own DELETE.
-- Why floor: as in promote. Why the last DELETE: a row that hangs on no job would be picked for
-- ever.
CREATE FUNCTION pgqueue.prune(
    max_jobs integer DEFAULT 1000,
    older_than interval DEFAULT NULL,
    floor timestamptz DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp(),
    OUT deleted integer,
    OUT reached timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_picked bigint[];
    v_ids bigint[];
BEGIN
    IF prune.older_than IS NULL THEN
        SELECT array_agg(f.job_id), array_agg(f.id), max(f.keep_until)
        INTO v_picked, v_ids, prune.reached
        FROM (
            SELECT f.job_id, f.keep_until, j.id
            FROM pgqueue.finished_jobs AS f
            LEFT JOIN LATERAL (
                SELECT j.id
                FROM pgqueue.jobs AS j
                WHERE j.id = f.job_id
                OFFSET 0
                FOR UPDATE SKIP LOCKED
            ) AS j ON true
            WHERE f.keep_until <= prune.at
                AND f.keep_until >= coalesce(prune.floor, '-infinity')
            ORDER BY f.keep_until
            LIMIT prune.max_jobs
            FOR UPDATE OF f SKIP LOCKED
        ) AS f;
    ELSE
        SELECT array_agg(f.job_id), array_agg(f.id)
        INTO v_picked, v_ids
        FROM (
            SELECT f.job_id, j.id
            FROM pgqueue.finished_jobs AS f
            LEFT JOIN LATERAL (
                SELECT j.id
                FROM pgqueue.jobs AS j
                WHERE j.id = f.job_id
                OFFSET 0
                FOR UPDATE SKIP LOCKED
            ) AS j ON true
            WHERE f.finished_at <= prune.at - prune.older_than
            ORDER BY f.keep_until
            LIMIT prune.max_jobs
            FOR UPDATE OF f SKIP LOCKED
        ) AS f;
    END IF;
    prune.reached := coalesce(prune.reached, prune.floor);
    DELETE FROM pgqueue.jobs AS j WHERE j.id = ANY (v_ids);
    GET DIAGNOSTICS prune.deleted = ROW_COUNT;
    IF prune.deleted < cardinality(v_picked) THEN
        DELETE FROM pgqueue.finished_jobs AS f
        WHERE f.job_id = ANY (v_picked)
            AND NOT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = f.job_id);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.prune(integer, interval, timestamptz, timestamptz) IS
'Delete finished jobs that need not be kept any longer.

Args: max_jobs: the most to delete in one call; older_than: delete whatever ended longer ago than
this, whatever its retention, or null to go by retention; floor: where the last call ended, or null;
at: the time it is.
Returns: deleted: how many; reached: the floor for the next call.
Locks: the rows it deletes, skipping those that others hold.';
