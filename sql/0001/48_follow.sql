-- Purpose: from jobs that have ended to those that run after them.
-- Called by: settle. Reads job_dependencies and finished_jobs; the rest is done by apply_waits.
CREATE FUNCTION pgqueue.follow(
    ids bigint[],
    at timestamptz,
    succeeded boolean,
    OUT over bigint[],
    OUT features integer
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_children bigint[];
    v_ended integer[];
    v_failed integer[];
    v_doomed boolean[];
BEGIN
    IF follow.succeeded THEN
        SELECT
            array_agg(t.child_id), array_agg(t.ended), array_agg(0), array_agg(false)
        INTO v_children, v_ended, v_failed, v_doomed
        FROM (
            SELECT d.child_id, count(*)::integer AS ended
            FROM (
                SELECT d.child_id FROM pgqueue.job_dependencies AS d
                WHERE d.parent_id = ANY (follow.ids)
                OFFSET 0
            ) AS d
            GROUP BY d.child_id
        ) AS t;
    ELSE
        SELECT
            array_agg(t.child_id), array_agg(t.ended), array_agg(t.failed), array_agg(t.doomed)
        INTO v_children, v_ended, v_failed, v_doomed
        FROM (
            SELECT
                d.child_id,
                count(*)::integer AS ended,
                (count(*) FILTER (WHERE p.is_failed))::integer AS failed,
                bool_or(p.is_doomed) AS doomed
            FROM (
                SELECT
                    i.id,
                    f.state <> 'succeeded' AS is_doomed,
                    f.state IN ('failed', 'expired')
                        OR (f.state = 'cancelled' AND coalesce(f.error, '') NOT LIKE 'skipped:%')
                        AS is_failed
                FROM unnest(follow.ids) AS i (id)
                CROSS JOIN LATERAL (
                    SELECT f.state, f.error FROM pgqueue.finished_jobs AS f WHERE f.job_id = i.id
                    OFFSET 0
                ) AS f
            ) AS p
            CROSS JOIN LATERAL (
                SELECT d.child_id FROM pgqueue.job_dependencies AS d WHERE d.parent_id = p.id
                OFFSET 0
            ) AS d
            GROUP BY d.child_id
        ) AS t;
    END IF;
    IF v_children IS NOT NULL THEN
        SELECT w.over, w.features INTO follow.over, follow.features
        FROM pgqueue.apply_waits(v_children, v_ended, v_failed, v_doomed, follow.at) AS w;
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.follow(bigint[], timestamptz, boolean) IS
'Tell the jobs that run after these that they have ended. Internal.

Args: ids: jobs that have ended, each once; at: the time it is; succeeded: whether all of them
did.
Returns: over, features: as pgqueue.apply_waits.
Locks: as pgqueue.apply_waits.';
