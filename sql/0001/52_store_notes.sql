-- Purpose: write down how far running jobs say they are, and what they log.
-- Called by: store_outcomes, for what a worker sends between the outcomes.
-- Reads running_jobs and finished_jobs; writes job_progress and job_logs.
-- Locks: the jobs, so that they are not deleted meanwhile and nobody else (set_progress, add_log)
-- writes the same rows, skipping those that others hold; so it never waits for a row. What is
-- skipped is lost, as what a job says of itself may be.
-- Why it also looks among the finished jobs: an atomic task's job is over before its worker has
-- heard so.
-- Why fenced: what an attempt says that was given up must not stand beside what the next one says.
CREATE FUNCTION pgqueue.store_notes(
    worker_id bigint,
    batch_no bigint,
    notes json,
    at timestamptz
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_logs boolean;
BEGIN
    WITH told AS MATERIALIZED (
        SELECT n.*, r.attempt
        FROM json_to_recordset(store_notes.notes) AS n (
            id bigint, fraction float8, note text, n integer, level text, message text
        )
        CROSS JOIN LATERAL (
            SELECT k.attempt
            FROM pgqueue.running_jobs AS k
            WHERE k.job_id = n.id
                AND k.worker_id = store_notes.worker_id
                AND k.batch_no = store_notes.batch_no
            UNION ALL
            SELECT f.attempt
            FROM pgqueue.finished_jobs AS f
            WHERE f.job_id = n.id AND f.worker_id = store_notes.worker_id
            LIMIT 1
        ) AS r
    ),
    held AS MATERIALIZED (
        SELECT j.id
        FROM (SELECT DISTINCT t.id FROM told AS t ORDER BY t.id) AS i
        CROSS JOIN LATERAL (
            SELECT j.id FROM pgqueue.jobs AS j WHERE j.id = i.id OFFSET 0 FOR UPDATE SKIP LOCKED
        ) AS j
    ),
    progress AS (
        INSERT INTO pgqueue.job_progress AS p (job_id, fraction, note, updated_at)
        SELECT
            t.id, greatest(0, least(1, max(t.fraction))), left(max(t.note), 500), store_notes.at
        FROM told AS t
        JOIN held AS h ON h.id = t.id
        WHERE t.fraction IS NOT NULL AND t.fraction <> 'NaN'
        GROUP BY t.id
        ON CONFLICT (job_id) DO UPDATE SET
            fraction = excluded.fraction, note = excluded.note, updated_at = excluded.updated_at
    ),
    logs AS (
        INSERT INTO pgqueue.job_logs (job_id, attempt, n, at, level, message)
        SELECT
            t.id, t.attempt, t.n, store_notes.at, coalesce(t.level, 'info'), left(t.message, 4096)
        FROM told AS t
        JOIN held AS h ON h.id = t.id
        WHERE t.message IS NOT NULL AND t.n BETWEEN 1 AND 500
        ON CONFLICT DO NOTHING
        RETURNING attempt
    )
    SELECT coalesce(max(l.attempt) > 10, false) INTO v_logs FROM logs AS l;
    IF v_logs THEN
        DELETE FROM pgqueue.job_logs AS l
        USING pgqueue.running_jobs AS r
        WHERE r.worker_id = store_notes.worker_id
            AND r.job_id = ANY (ARRAY(
                SELECT (n.value ->> 'id')::bigint FROM json_array_elements(store_notes.notes) AS n))
            AND l.job_id = r.job_id
            AND l.attempt <= r.attempt - 10;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.store_notes(bigint, bigint, json, timestamptz) IS
'Write down what running jobs say of themselves. Internal: it is a part of pgqueue.work.

Args: worker_id, batch_no: of the claim; notes: a JSON array of objects with id and either fraction
and note, at most one a job, or n, level and message; at: the time it is. What is said of jobs that
are not the worker''s is passed over.
Locks: the jobs, FOR UPDATE, skipping those that others hold.';
