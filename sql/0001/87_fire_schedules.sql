-- Purpose: make the due jobs of schedules and move the schedules on, in one statement.
-- Called by: the leader, with what it computed from due_schedules. Anybody may at any time.
-- Writes schedule_runs, jobs (and, by its trigger, positions), schedules.
-- Locks: the rows of the schedules, by id, skipping those that others hold.
--
-- Why a slot runs exactly once: a plan names the revision of the row it was made from, and a row
-- that has changed since is left alone, so of two leaders one fires; the run, the job and the move
-- are one statement, so a death in between leaves nothing or all; and (schedule, slot) is unique in
-- schedule_runs, which also holds when somebody turns done_until back by hand.
-- Why no sequential scan: planned while the position tables are empty it would be kept, and read
-- them through for each schedule later (10,000 schedules: 81 s, now 2.1).
-- Why it hardly waits for a lock: a producer may be taking the unique key of a slot, in a
-- transaction that stays open; the leader tries again, and has other things to do.
-- Why the refusal is asked before: one job that could never run must not fail the others with it.
-- Why ids are drawn before the jobs are inserted: so that the run knows its job.
CREATE FUNCTION pgqueue.fire_schedules(
    plans jsonb,
    at timestamptz DEFAULT clock_timestamp(),
    OUT fired integer,
    OUT moved integer
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_before pgqueue.schedules[];
    v_ids bigint[];
BEGIN
    WITH picked AS MATERIALIZED (
        SELECT s AS schedule, s.id, p.slots, p.done_until, p.next_slot, p.next_run_at, p.error
        FROM jsonb_to_recordset(fire_schedules.plans) AS p (
            id bigint, revision bigint, slots jsonb, done_until timestamptz,
            next_slot timestamptz, next_run_at timestamptz, error text
        )
        JOIN pgqueue.schedules AS s ON s.id = p.id
        WHERE s.revision = p.revision AND NOT s.paused AND s.declared
        ORDER BY s.id
        FOR UPDATE OF s SKIP LOCKED
    ),
    looked AS MATERIALIZED (
        SELECT p.*, a.place,
            CASE
                WHEN p.error IS NOT NULL THEN left(p.error, 1000)
                WHEN jsonb_array_length(p.slots) = 0 THEN NULL
                WHEN a.place = 'unknown_task' THEN concat(
                    'no worker knows the task ', (p.schedule).task, '; job ',
                    (p.schedule).last_job_id, ' waits for one')
                WHEN (p.schedule).options ? 'group_id' AND NOT EXISTS (
                    SELECT FROM pgqueue.groups AS g
                    WHERE g.id = ((p.schedule).options ->> 'group_id')::bigint
                        AND g.ended_at IS NULL
                ) THEN concat(
                    'group_id must name a group that has not ended; got ',
                    (p.schedule).options ->> 'group_id')
                ELSE pgqueue.refusal(pgqueue.schedule_job(
                    p.schedule, 0, (p.slots ->> 0)::timestamptz, fire_schedules.at))
            END AS fault
        FROM picked AS p
        CROSS JOIN LATERAL (
            SELECT (p.schedule).earlier_job_ids || (p.schedule).last_job_id AS job_ids
        ) AS k
        LEFT JOIN LATERAL (
            SELECT s.reason AS place
            FROM pgqueue.scheduled_jobs AS s WHERE s.job_id = ANY (k.job_ids)
            UNION ALL
            SELECT 'lives' FROM pgqueue.running_jobs AS u
            WHERE u.job_id = ANY (k.job_ids)
            UNION ALL
            SELECT 'lives' FROM pgqueue.ready_jobs AS r
            WHERE r.job_id = ANY (k.job_ids)
            UNION ALL
            SELECT 'lives' FROM pgqueue.blocked_jobs AS b
            WHERE b.job_id = ANY (k.job_ids)
            LIMIT 1
        ) AS a ON jsonb_array_length(p.slots) > 0
    ),
    judged AS MATERIALIZED (
        SELECT l.*,
            CASE
                WHEN l.fault IS NOT NULL THEN 'fault'
                WHEN l.place IS NOT NULL AND (l.schedule).overlap = 'queue' THEN 'hold'
                ELSE 'go'
            END AS verdict
        FROM looked AS l
    ),
    runs AS (
        INSERT INTO pgqueue.schedule_runs AS r (schedule_id, slot, job_id, fired_at)
        SELECT
            j.id,
            e.slot::timestamptz,
            CASE WHEN (j.schedule).overlap <> 'skip' OR (j.place IS NULL AND e.n = 1)
                THEN nextval('pgqueue.jobs_id_seq') END,
            fire_schedules.at
        FROM judged AS j
        CROSS JOIN LATERAL jsonb_array_elements_text(j.slots) WITH ORDINALITY AS e (slot, n)
        WHERE j.verdict = 'go'
        ORDER BY e.n, j.id
        ON CONFLICT DO NOTHING
        RETURNING r.schedule_id, r.slot, r.job_id
    ),
    made AS (
        INSERT INTO pgqueue.jobs OVERRIDING SYSTEM VALUE
        SELECT (m.job).*
        FROM (
            SELECT pgqueue.schedule_job(j.schedule, r.job_id, r.slot, fire_schedules.at) AS job
            FROM runs AS r
            JOIN judged AS j ON j.id = r.schedule_id
            WHERE r.job_id IS NOT NULL
            ORDER BY r.job_id
            OFFSET 0
        ) AS m
        RETURNING unique_key
    ),
    counted AS (
        SELECT r.schedule_id, count(r.job_id) AS made, count(*) - count(r.job_id) AS skipped,
            max(r.job_id) AS job_id
        FROM runs AS r
        GROUP BY r.schedule_id
    ),
    changed AS (
        UPDATE pgqueue.schedules AS s
        SET runs = s.runs + coalesce(c.made, 0),
            skipped = s.skipped + coalesce(c.skipped, 0),
            last_job_id = coalesce(c.job_id, s.last_job_id),
            earlier_job_ids = CASE WHEN c.job_id IS NULL THEN s.earlier_job_ids ELSE '{}' END,
            last_fired_at = CASE WHEN c.job_id IS NULL THEN s.last_fired_at
                ELSE fire_schedules.at END,
            last_slot = CASE WHEN j.verdict = 'go' THEN
                coalesce((j.slots ->> -1)::timestamptz, s.last_slot) ELSE s.last_slot END,
            done_until = CASE WHEN j.verdict = 'go' THEN greatest(j.done_until, s.done_until)
                ELSE s.done_until END,
            next_slot = CASE
                WHEN j.verdict = 'hold' THEN (j.slots ->> 0)::timestamptz
                WHEN j.verdict = 'fault' THEN s.next_slot
                WHEN s.runs + coalesce(c.made, 0) >= s.repeats THEN NULL
                ELSE j.next_slot
            END,
            held_slot = CASE
                WHEN j.verdict = 'hold' THEN (j.slots ->> 0)::timestamptz
                WHEN j.verdict = 'fault' THEN s.held_slot
            END,
            -- What waits is looked at again, ever more slowly: somebody may be right behind.
            next_run_at = CASE
                WHEN j.verdict = 'hold' THEN fire_schedules.at + least(
                    interval '10 s',
                    greatest(interval '1 s',
                        (fire_schedules.at - (j.slots ->> 0)::timestamptz) / 10))
                WHEN j.verdict = 'fault' THEN CASE
                    WHEN j.place = 'unknown_task' THEN fire_schedules.at + interval '15 s'
                    WHEN j.error IS NOT NULL THEN j.next_run_at
                    ELSE fire_schedules.at + interval '5 min'
                END
                WHEN s.runs + coalesce(c.made, 0) >= s.repeats THEN NULL
                ELSE j.next_run_at
            END,
            error = j.fault,
            revision = s.revision + 1
        FROM judged AS j
        LEFT JOIN counted AS c ON c.schedule_id = j.id
        WHERE s.id = j.id
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM made AS m WHERE m.unique_key IS NULL),
        (SELECT count(*) FROM changed),
        (SELECT array_agg(j.schedule) FROM judged AS j
        WHERE j.verdict = 'go' AND (j.schedule).options ? 'unique_key'),
        (SELECT array_agg(r.job_id) FROM runs AS r
        JOIN judged AS j ON j.id = r.schedule_id AND (j.schedule).options ? 'unique_key')
    INTO fire_schedules.fired, fire_schedules.moved, v_before, v_ids;
    IF v_ids IS NOT NULL THEN
        PERFORM pgqueue.note_duplicates(v_before, v_ids, fire_schedules.plans);
        SELECT fire_schedules.fired + count(*) INTO fire_schedules.fired
        FROM pgqueue.jobs AS j WHERE j.id = ANY (v_ids);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.fire_schedules(jsonb, timestamptz) IS
'Make the due jobs of schedules and move the schedules on; what has changed since it was planned, or
is held by somebody else, is left for the next time.

Args: plans: an array of objects: id and revision as due_schedules gave them; slots: the planned
instants that are due, in order; done_until: up to where slots are dealt with then; next_slot,
next_run_at: what is next, null for nothing; error: why nothing could be computed, or null; at: the
time it is.
Returns: fired: how many jobs were made; moved: how many schedules were moved on.
Errors: 55P03 where somebody holds a unique key for longer than 100 ms; then none is fired.
Locks: the rows of the schedules, skipping those that others hold.';
