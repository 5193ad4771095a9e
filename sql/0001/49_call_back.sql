-- Purpose: enqueue the callbacks of jobs that are over, in the transaction that ends them.
-- Called by: settle. Reads jobs and finished_jobs; writes jobs (and, by its triggers, positions).
-- Why it looks first whether any is due: an INSERT fires its triggers for no row, too.
-- Why exactly once: whoever ends a job does so by deleting its position row, which one transaction
-- alone can; this is a part of that transaction.
-- Why a queue may be overfilled: a callback that is refused would keep the job from ending.
-- Why a large result is left out, and meta that is too large beside it: the arguments of a job may
-- be 1 MiB, and a callback that is refused would keep the job itself from ending.
CREATE FUNCTION pgqueue.call_back(ids bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_overfill text := coalesce(current_setting('pgqueue.overfill', true), '');
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM unnest(call_back.ids) AS i (id)
        CROSS JOIN LATERAL (
            SELECT j.id, j.callbacks
            FROM pgqueue.jobs AS j
            WHERE j.id = i.id AND j.callbacks IS NOT NULL
            OFFSET 0
        ) AS j
        CROSS JOIN LATERAL (
            SELECT f.state FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id OFFSET 0
        ) AS f
        WHERE j.callbacks ? 'on_finish'
            OR j.callbacks ? CASE WHEN f.state = 'succeeded' THEN 'on_success'
                WHEN f.state IN ('failed', 'expired') THEN 'on_failure' END
    ) THEN
        RETURN;
    END IF;
    PERFORM set_config('pgqueue.overfill', 'on', true);
    INSERT INTO pgqueue.jobs
        (task, args, kwargs, queue, priority, meta, concurrency_key, max_running, fair_key, rate)
    SELECT
        c.task, c.args, c.kwargs, c.queue, c.priority, c.meta, c.concurrency_key, c.max_running,
        c.fair_key, c.rate
    FROM unnest(call_back.ids) WITH ORDINALITY AS i (id, n)
    CROSS JOIN LATERAL (
        SELECT j.id, j.task, j.queue, j.callbacks, j.meta, j.group_id
        FROM pgqueue.jobs AS j
        WHERE j.id = i.id AND j.callbacks IS NOT NULL
        OFFSET 0
    ) AS j
    CROSS JOIN LATERAL (
        SELECT f.*, octet_length(f.result::text) > 524288 AS is_large
        FROM pgqueue.finished_jobs AS f
        WHERE f.job_id = j.id
        OFFSET 0
    ) AS f
    CROSS JOIN LATERAL (
        SELECT coalesce(octet_length(j.meta::text) > CASE
            WHEN f.is_large THEN 1400000
            ELSE 1400000 - coalesce(octet_length(f.result::text), 0)
        END, false) AS is_large
        OFFSET 0
    ) AS m
    CROSS JOIN LATERAL pgqueue.callback_jobs(
        j.callbacks,
        f.state,
        jsonb_build_object(
            'id', j.id, 'task', j.task, 'queue', j.queue, 'state', f.state, 'attempt', f.attempt,
            'result', CASE WHEN NOT f.is_large THEN f.result END,
            'result_left_out', coalesce(f.is_large, false),
            'error', f.error, 'group_id', j.group_id,
            'meta', CASE WHEN NOT m.is_large THEN j.meta END, 'meta_left_out', m.is_large
        )
    ) AS c
    ORDER BY i.n, c.n;
    PERFORM set_config('pgqueue.overfill', v_overfill, true);
END
$$;

COMMENT ON FUNCTION pgqueue.call_back(bigint[]) IS
'Enqueue the callbacks of jobs that are over. Internal.

Args: ids: jobs, each once, of which any may have callbacks.
Returns: nothing.';
