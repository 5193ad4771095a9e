-- Purpose: make a job of a schedule now, beside its plan, be it paused or ended.
-- Called by: people and programs. Writes jobs, schedule_runs, schedules. Locks: the row of the
-- schedule. Errors: PQ001 for a job that could never run.
CREATE FUNCTION pgqueue.run_schedule_now(
    name text,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_schedule pgqueue.schedules;
    v_job pgqueue.jobs;
    v_id bigint;
    v_holder bigint;
BEGIN
    SELECT * INTO v_schedule
    FROM pgqueue.schedules AS s
    WHERE s.name = run_schedule_now.name
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_id := nextval('pgqueue.jobs_id_seq');
    INSERT INTO pgqueue.schedule_runs AS r (schedule_id, slot, job_id, fired_at, manual)
    VALUES (v_schedule.id, run_schedule_now.at, v_id, run_schedule_now.at, true)
    ON CONFLICT DO NOTHING;
    v_job := pgqueue.schedule_job(
        v_schedule, v_id, run_schedule_now.at, run_schedule_now.at);
    FOR v_pass IN 1..100 LOOP
        INSERT INTO pgqueue.jobs OVERRIDING SYSTEM VALUE SELECT v_job.*;
        EXIT WHEN v_job.unique_key IS NULL
            OR EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = v_id);
        SELECT u.job_id INTO v_holder FROM pgqueue.unique_keys AS u WHERE u.key = v_job.unique_key;
        IF FOUND THEN
            UPDATE pgqueue.schedule_runs AS r
            SET job_id = NULL, duplicate_of = v_holder
            WHERE r.schedule_id = v_schedule.id AND r.slot = run_schedule_now.at
                AND r.job_id = v_id;
            RETURN v_holder;
        END IF;
        -- The job that had the key ended in between: now it is free.
    END LOOP;
    UPDATE pgqueue.schedules AS s
    SET earlier_job_ids = ARRAY(
            SELECT i
            FROM unnest(v_schedule.earlier_job_ids || v_schedule.last_job_id) AS i
            WHERE s.overlap <> 'allow'
                AND EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.id = i)
                AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = i)
        ),
        last_job_id = v_id, last_fired_at = run_schedule_now.at, revision = s.revision + 1
    WHERE s.id = v_schedule.id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION pgqueue.run_schedule_now(text, timestamptz) IS
'Make a job of a schedule now, beside its plan; it counts neither as a run nor as a slot.

Args: name: of the schedule; at: the time it is, and the planned instant that the job is told.
Returns: the id of the job; for a duplicate, that of the job that has the unique_key; null if there
is no such schedule.
Errors: PQ001 for a job that could never run.';
