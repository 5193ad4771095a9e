-- Purpose: put right what fire_schedules noted of slots whose unique key another job had: they were
-- skipped, and made no job.
-- Called by: fire_schedules, behind its statement, and for schedules with a unique key only: who
-- is a duplicate is known when the statement has ended. Reads jobs, unique_keys; writes
-- schedule_runs, schedules, whose rows fire_schedules has locked.
CREATE FUNCTION pgqueue.note_duplicates(
    before pgqueue.schedules[],
    job_ids bigint[],
    plans jsonb
) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
    WITH keyed AS MATERIALIZED (
        SELECT
            b.id, b.last_job_id, b.earlier_job_ids, b.last_fired_at, p.next_slot, p.next_run_at,
            e.slot::timestamptz AS slot,
            (pgqueue.schedule_job(b, 0, e.slot::timestamptz, e.slot::timestamptz)).unique_key
        FROM unnest(note_duplicates.before) AS b
        JOIN jsonb_to_recordset(note_duplicates.plans) AS p (
            id bigint, slots jsonb, next_slot timestamptz, next_run_at timestamptz
        ) ON p.id = b.id
        CROSS JOIN LATERAL jsonb_array_elements_text(p.slots) AS e (slot)
    ),
    told AS MATERIALIZED (
        SELECT
            k.*, r.job_id, u.job_id AS holder,
            EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = r.job_id) AS made
        FROM keyed AS k
        JOIN pgqueue.schedule_runs AS r ON r.schedule_id = k.id AND r.slot = k.slot
        LEFT JOIN pgqueue.unique_keys AS u ON u.key = k.unique_key
        WHERE r.job_id = ANY (note_duplicates.job_ids)
    ),
    noted AS (
        UPDATE pgqueue.schedule_runs AS r
        SET job_id = NULL, duplicate_of = t.holder
        FROM told AS t
        WHERE NOT t.made AND r.schedule_id = t.id AND r.slot = t.slot
    )
    UPDATE pgqueue.schedules AS s
    SET runs = s.runs - d.dropped,
        skipped = s.skipped + d.dropped,
        last_job_id = coalesce(d.kept, d.last_job_id),
        earlier_job_ids = CASE WHEN d.kept IS NULL THEN d.earlier_job_ids
            ELSE s.earlier_job_ids END,
        last_fired_at = CASE WHEN d.kept IS NULL THEN d.last_fired_at ELSE s.last_fired_at END,
        next_slot = CASE WHEN s.runs >= s.repeats THEN d.next_slot ELSE s.next_slot END,
        next_run_at = CASE WHEN s.runs >= s.repeats THEN d.next_run_at ELSE s.next_run_at END
    FROM (
        SELECT
            t.id, t.last_job_id, t.earlier_job_ids, t.last_fired_at, t.next_slot, t.next_run_at,
            count(*) FILTER (WHERE NOT t.made) AS dropped,
            max(t.job_id) FILTER (WHERE t.made) AS kept
        FROM told AS t
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS d
    WHERE s.id = d.id AND d.dropped > 0
$$;

COMMENT ON FUNCTION pgqueue.note_duplicates(pgqueue.schedules[], bigint[], jsonb) IS
'Note which slots of schedules were skipped since another job had their unique key. Internal.

Args: before: the schedules as they were before they were fired; job_ids: what fire_schedules drew
for them; plans: as of fire_schedules.
Returns: nothing.';
