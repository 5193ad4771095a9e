-- Purpose: cancel all jobs of a group that are not over, those of the groups in it too.
-- Called by: people and programs. Moves waiting jobs to finished_jobs; writes cancel_requests for
-- running ones and notifies pgqueue_control; closes the groups. Locks: the groups, FOR UPDATE; the
-- rows of waiting jobs, skipping those that others hold. Errors: PQ002.
-- Why requests for all the others: what somebody holds just now is about to run, or about to wait
-- again; apply_cancels ends it where it waits.
CREATE FUNCTION pgqueue.cancel_group(
    group_id bigint,
    reason text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_groups bigint[];
    v_ids bigint[];
    v_ended bigint[];
    v_count integer;
BEGIN
    WITH RECURSIVE inside (id) AS (
        SELECT cancel_group.group_id
        UNION
        SELECT g.id FROM inside AS i JOIN pgqueue.groups AS g ON g.parent_id = i.id
    )
    SELECT array_agg(g.id) INTO v_groups
    FROM (
        SELECT g.id FROM pgqueue.groups AS g JOIN inside AS i ON i.id = g.id ORDER BY g.id
    ) AS g;
    IF v_groups IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ002',
            MESSAGE = format('there is no group %s', cancel_group.group_id),
            HINT = 'it may have been deleted, or pruned with its jobs';
    END IF;
    PERFORM FROM pgqueue.groups AS g WHERE g.id = ANY (v_groups) ORDER BY g.id FOR UPDATE;
    UPDATE pgqueue.groups AS g
    SET closed_at = cancel_group.at
    WHERE g.id = ANY (v_groups) AND g.closed_at IS NULL;
    v_ids := ARRAY(
        SELECT j.id
        FROM pgqueue.jobs AS j
        WHERE j.group_id = ANY (v_groups)
            AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
        ORDER BY j.id
    );
    v_count := cardinality(v_ids);
    INSERT INTO pgqueue.cancel_requests AS c (job_id, reason, requested_at)
    SELECT i.id, left(cancel_group.reason, 500), cancel_group.at
    FROM unnest(v_ids) AS i (id)
    CROSS JOIN LATERAL (
        SELECT FROM pgqueue.jobs AS j WHERE j.id = i.id OFFSET 0 FOR KEY SHARE SKIP LOCKED
    ) AS j
    ON CONFLICT DO NOTHING;
    v_ended := pgqueue.end_waiting(v_ids, 'cancelled',
        concat_ws(': ', 'cancelled', left(cancel_group.reason, 500)), cancel_group.at);
    DELETE FROM pgqueue.cancel_requests AS c
    WHERE c.ctid = ANY (ARRAY(
        SELECT k.ctid FROM pgqueue.cancel_requests AS k
        WHERE k.job_id = ANY (v_ended) FOR UPDATE SKIP LOCKED));
    IF pg_notification_queue_usage() < 0.5
        AND current_setting('pgqueue.notify', true) IS DISTINCT FROM 'off'
    THEN
        PERFORM pg_notify('pgqueue_control', 'cancel');
    END IF;
    PERFORM pgqueue.end_groups(v_groups, cancel_group.at);
    RETURN v_count;
END
$$;

COMMENT ON FUNCTION pgqueue.cancel_group(bigint, text, timestamptz) IS
'Cancel all jobs of a group that are not over, and of the groups in it, and close these.

Args: group_id; reason: a line for people, or null; at: the time it is.
Returns: how many jobs were not over; those that run are asked to stop.
Errors: PQ002 when there is no such group.
Locks: the groups, FOR UPDATE; the rows of waiting jobs, skipping those that others hold.';
