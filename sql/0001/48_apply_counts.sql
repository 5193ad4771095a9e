-- Purpose: add to the counters of groups; where that was all, end the group: fire its callbacks and
-- count it for the group it is in; where it was all but the last job, let that one go.
-- Called by: settle, close_group, advance, once for all the jobs of a batch.
-- Writes groups and group_deltas; deletes from group_deltas; writes jobs (call_back).
-- Locks: rows of groups by id, FOR NO KEY UPDATE, skipping those that others hold; so it never
-- waits. What it cannot lock it leaves in group_deltas, and asks the leader to look.
--
-- Why the group ends exactly once: it ends under the lock of its row, by whoever finds that
-- everything is counted, and ended_at says so from then on. Of two who end the last members at the
-- same time, one gets the lock and does not see the other's outcome, so it is not all; the other
-- leaves a delta, and the leader, who sees both once they have committed, ends the group.
-- Why lock and change in two statements: a row that was changed while the lock was taken is not in
-- the snapshot of the statement that took it.
-- Why nothing is locked where the transaction has one snapshot for all its statements (REPEATABLE
-- READ): a row that was changed since then would fail it, and with it what the caller has done.
CREATE FUNCTION pgqueue.apply_counts(
    group_ids bigint[],
    totals integer[],
    succeeded integer[],
    failed integer[],
    cancelled integer[],
    skipped integer[],
    at timestamptz,
    OUT ended bigint[]
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_held bigint[];
    v_over bigint[];
    v_last bigint[];
    v_overfill text := coalesce(current_setting('pgqueue.overfill', true), '');
BEGIN
    LOOP
        SELECT coalesce(array_agg(h.id), '{}') INTO v_held
        FROM (
            SELECT g.id
            FROM pgqueue.groups AS g
            WHERE g.id = ANY (apply_counts.group_ids)
                AND current_setting('transaction_isolation') LIKE 'read%'
            ORDER BY g.id
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS h;
        WITH told AS (
            SELECT t.*
            FROM unnest(apply_counts.group_ids, apply_counts.totals, apply_counts.succeeded,
                apply_counts.failed, apply_counts.cancelled, apply_counts.skipped)
                AS t (group_id, total, succeeded, failed, cancelled, skipped)
        ),
        left_for_later AS (
            INSERT INTO pgqueue.group_deltas
                (group_id, total, succeeded, failed, cancelled, skipped)
            SELECT t.* FROM told AS t WHERE t.group_id <> ALL (v_held)
        ),
        found AS (
            DELETE FROM pgqueue.group_deltas AS d
            WHERE d.ctid = ANY (ARRAY(
                SELECT k.ctid
                FROM unnest(v_held) AS h (id)
                CROSS JOIN LATERAL (
                    SELECT k.ctid FROM pgqueue.group_deltas AS k WHERE k.group_id = h.id OFFSET 0
                ) AS k
            ))
            RETURNING d.*
        ),
        sums AS MATERIALIZED (
            SELECT
                s.group_id, sum(s.total) AS total, sum(s.succeeded) AS succeeded,
                sum(s.failed) AS failed, sum(s.cancelled) AS cancelled, sum(s.skipped) AS skipped
            FROM (SELECT * FROM told UNION ALL SELECT * FROM found) AS s
            WHERE s.group_id = ANY (v_held)
            GROUP BY s.group_id
        ),
        counted AS (
            SELECT
                s.group_id,
                g.total + s.total AS total,
                g.succeeded + s.succeeded AS succeeded,
                g.failed + s.failed AS failed,
                g.cancelled + s.cancelled AS cancelled,
                g.skipped + s.skipped AS skipped,
                g.closed_at IS NOT NULL
                    AND g.ended_at IS NULL
                    AND g.total + s.total <= g.succeeded + s.succeeded + g.failed + s.failed
                        + g.cancelled + s.cancelled + g.skipped + s.skipped AS is_over,
                g.last_job_id IS NOT NULL
                    AND g.closed_at IS NOT NULL
                    AND g.total + s.total <= g.succeeded + s.succeeded + g.failed + s.failed
                        + g.cancelled + s.cancelled + g.skipped + s.skipped + 1 AS is_last
            FROM sums AS s
            CROSS JOIN LATERAL (
                SELECT g.* FROM pgqueue.groups AS g WHERE g.id = s.group_id OFFSET 0
            ) AS g
        ),
        changed AS (
            UPDATE pgqueue.groups AS g
            SET total = c.total,
                succeeded = c.succeeded,
                failed = c.failed,
                cancelled = c.cancelled,
                skipped = c.skipped,
                ended_at = CASE WHEN c.is_over THEN apply_counts.at ELSE g.ended_at END,
                state = CASE
                    WHEN NOT c.is_over THEN g.state
                    WHEN c.failed > 0 THEN 'failed'
                    WHEN c.cancelled > 0 THEN 'cancelled'
                    ELSE 'succeeded'
                END
            FROM counted AS c
            WHERE g.id = c.group_id
            RETURNING g.id, g.last_job_id, c.is_over, c.is_last
        )
        SELECT
            array_agg(c.id ORDER BY c.id) FILTER (WHERE c.is_over),
            array_agg(c.last_job_id ORDER BY c.id) FILTER (WHERE c.is_last)
        INTO v_over, v_last
        FROM changed AS c;
        IF v_last IS NOT NULL THEN
            PERFORM pgqueue.release_last(v_last, apply_counts.at);
        END IF;
        IF cardinality(v_held) < cardinality(apply_counts.group_ids) THEN
            PERFORM pgqueue.ring_leader();
        END IF;
        EXIT WHEN v_over IS NULL;
        apply_counts.ended := apply_counts.ended || v_over;
        PERFORM set_config('pgqueue.overfill', 'on', true);
        INSERT INTO pgqueue.jobs
            (task, args, kwargs, queue, priority, meta, concurrency_key, max_running, fair_key,
            rate)
        SELECT
            c.task, c.args, c.kwargs, c.queue, c.priority, c.meta, c.concurrency_key,
            c.max_running, c.fair_key, c.rate
        FROM unnest(v_over) WITH ORDINALITY AS o (id, n)
        JOIN pgqueue.groups AS g ON g.id = o.id
        -- With more the callback would be refused, and nobody could end the group.
        CROSS JOIN LATERAL (
            SELECT coalesce(octet_length(g.meta::text) > 1500000, false) AS is_large OFFSET 0
        ) AS m
        CROSS JOIN LATERAL pgqueue.callback_jobs(
            g.callbacks,
            g.state,
            jsonb_build_object(
                'group_id', g.id, 'name', g.name, 'state', g.state, 'total', g.total,
                'succeeded', g.succeeded, 'failed', g.failed, 'cancelled', g.cancelled,
                'skipped', g.skipped, 'meta', CASE WHEN NOT m.is_large THEN g.meta END,
                'meta_left_out', m.is_large
            )
        ) AS c
        WHERE g.callbacks IS NOT NULL
        ORDER BY o.n, c.n;
        PERFORM set_config('pgqueue.overfill', v_overfill, true);
        -- A group that ended is one member of its parent that did.
        SELECT
            array_agg(p.parent_id), array_agg(0), array_agg(p.succeeded), array_agg(p.failed),
            array_agg(p.cancelled), array_agg(0)
        INTO
            apply_counts.group_ids, apply_counts.totals, apply_counts.succeeded,
            apply_counts.failed, apply_counts.cancelled, apply_counts.skipped
        FROM (
            SELECT
                g.parent_id,
                (count(*) FILTER (WHERE g.state = 'succeeded'))::integer AS succeeded,
                (count(*) FILTER (WHERE g.state = 'failed'))::integer AS failed,
                (count(*) FILTER (WHERE g.state = 'cancelled'))::integer AS cancelled
            FROM pgqueue.groups AS g
            WHERE g.id = ANY (v_over) AND g.parent_id IS NOT NULL
            GROUP BY g.parent_id
        ) AS p;
        EXIT WHEN apply_counts.group_ids IS NULL;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.apply_counts(
    bigint[], integer[], integer[], integer[], integer[], integer[], timestamptz
) IS
'Add to the counters of groups, and end those that are over. Internal.

Args: group_ids, each once; totals: members more; succeeded, failed, cancelled, skipped: members
that are over; at: the time it is.
Returns: the groups that ended.
Locks: rows of groups, FOR NO KEY UPDATE, skipping those that others hold.';
