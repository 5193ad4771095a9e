-- Purpose: stop all jobs that look like this.
-- Called by: people and programs. Moves ready_jobs, scheduled_jobs, blocked_jobs to finished_jobs
-- (end_waiting); writes cancel_requests and notifies pgqueue_control for running ones (cancel).
-- Reads jobs and the positions of all that are not over.
-- Locks: the position rows, skipping those that a worker is just taking, whose attempt is told.
-- Errors: PQ004.
-- Why jsonb equality: the order of keys and the spaces of a JSON text mean nothing.
CREATE FUNCTION pgqueue.cancel_matching(
    task text DEFAULT NULL,
    args jsonb DEFAULT NULL,
    kwargs jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    unique_key text DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    reason text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp(),
    group_id bigint DEFAULT NULL,
    OUT cancelled integer,
    OUT asked integer
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_groups bigint[];
    v_ids bigint[];
    v_ended bigint[];
    v_id bigint;
    v_state text;
    v_refusal text;
BEGIN
    IF num_nonnulls(cancel_matching.task, cancel_matching.args, cancel_matching.kwargs,
        cancel_matching.queue, cancel_matching.unique_key, cancel_matching.concurrency_key,
        cancel_matching.older_than, cancel_matching.group_id) = 0
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'cancel_matching must be told what to match: task, args, kwargs, queue, '
                'unique_key, concurrency_key, older_than or group_id';
    END IF;
    -- These would match nothing, or all.
    v_refusal := CASE
        WHEN jsonb_typeof(cancel_matching.args) <> 'array' THEN concat(
            'args must be a JSON array; got ', jsonb_typeof(cancel_matching.args))
        WHEN jsonb_typeof(cancel_matching.kwargs) <> 'object' THEN concat(
            'kwargs must be a JSON object; got ', jsonb_typeof(cancel_matching.kwargs))
        WHEN cancel_matching.older_than < interval '0' THEN concat(
            'older_than must not be negative; got ', cancel_matching.older_than)
    END;
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PQ004', MESSAGE = v_refusal;
    END IF;
    IF cancel_matching.group_id IS NOT NULL THEN
        WITH RECURSIVE inside AS (
            SELECT cancel_matching.group_id AS id
            UNION ALL
            SELECT g.id FROM inside AS i JOIN pgqueue.groups AS g ON g.parent_id = i.id
        )
        SELECT array_agg(i.id) INTO v_groups FROM inside AS i;
    END IF;
    SELECT array_agg(j.id ORDER BY j.id) INTO v_ids
    FROM (
        SELECT r.job_id, r.queue FROM pgqueue.ready_jobs AS r
        UNION ALL
        SELECT s.job_id, s.queue FROM pgqueue.scheduled_jobs AS s
        UNION ALL
        SELECT b.job_id, b.queue FROM pgqueue.blocked_jobs AS b
        UNION ALL
        SELECT u.job_id, u.queue FROM pgqueue.running_jobs AS u
    ) AS p
    JOIN pgqueue.jobs AS j ON j.id = p.job_id
    WHERE (cancel_matching.task IS NULL OR j.task = cancel_matching.task)
        AND (cancel_matching.args IS NULL OR j.args = cancel_matching.args)
        AND (cancel_matching.kwargs IS NULL OR j.kwargs = cancel_matching.kwargs)
        AND (cancel_matching.queue IS NULL OR p.queue = cancel_matching.queue)
        AND (cancel_matching.unique_key IS NULL OR j.unique_key = cancel_matching.unique_key)
        AND (cancel_matching.concurrency_key IS NULL
            OR j.concurrency_key = cancel_matching.concurrency_key)
        AND (v_groups IS NULL OR j.group_id = ANY (v_groups))
        AND (cancel_matching.older_than IS NULL
            OR j.created_at <= cancel_matching.at - cancel_matching.older_than);
    v_ended := pgqueue.end_waiting(
        v_ids, 'cancelled', concat_ws(': ', 'cancelled', left(cancel_matching.reason, 500)),
        cancel_matching.at);
    cancel_matching.cancelled := cardinality(v_ended);
    cancel_matching.asked := 0;
    FOR v_id IN
        SELECT i.id FROM unnest(v_ids) AS i (id) WHERE i.id <> ALL (v_ended)
        INTERSECT
        SELECT j.id FROM pgqueue.jobs AS j WHERE j.id = ANY (v_ids)
        -- In one order, so that two who ask for the same jobs do not wait for each other.
        ORDER BY 1
    LOOP
        v_state := pgqueue.cancel(v_id, cancel_matching.reason, cancel_matching.at);
        cancel_matching.asked := cancel_matching.asked + (v_state = 'running')::integer;
        cancel_matching.cancelled :=
            cancel_matching.cancelled + (v_state = 'cancelled')::integer;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.cancel_matching(
    text, jsonb, jsonb, text, text, text, interval, text, timestamptz, bigint
) IS
'Stop all jobs that are not over and look like this. Whatever is null matches everything, but not
all may be null.

Args: task, args, kwargs, queue, unique_key, concurrency_key: as their jobs have them, JSON compared
as values; older_than: enqueued at least so long ago; reason: a line for people, or null; at: the
time it is; group_id: only members of this group, and of the groups in it.
Returns: cancelled: how many were waiting; asked: how many are running and were asked to stop.
Errors: PQ004 when nothing is given, or what could match nothing.
Locks: the position rows, skipping those that a worker is just taking.';
