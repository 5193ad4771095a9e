-- Purpose: the job that a schedule makes for a slot, as a row that is not inserted yet.
-- Called by: schedule, fire_schedules, run_schedule_now. Touches no table.
-- Why the tagged value: that is how a datetime among arguments is written (docs, arguments), so
-- that the task gets a datetime. Why no settings: it is called twice a slot, by functions that pin
-- what it needs. Why on_duplicate = error is passed over: a slot whose key another job has is
-- skipped and noted, and holds no other schedule up.
CREATE FUNCTION pgqueue.schedule_job(
    schedule pgqueue.schedules,
    job_id bigint,
    slot timestamptz,
    at timestamptz
) RETURNS pgqueue.jobs
LANGUAGE sql STABLE
AS $$
    SELECT ROW(
        schedule_job.job_id,
        (schedule_job.schedule).task,
        (schedule_job.schedule).args,
        CASE WHEN (schedule_job.schedule).planned_kwarg IS NULL
            THEN (schedule_job.schedule).kwargs
            ELSE (schedule_job.schedule).kwargs || jsonb_build_object(
                (schedule_job.schedule).planned_kwarg,
                jsonb_build_object('$t', 'datetime', 'v', p.planned))
        END,
        (schedule_job.schedule).queue,
        (schedule_job.schedule).priority,
        NULL,
        schedule_job.at + (schedule_job.schedule).expires,
        (schedule_job.schedule).timeout,
        (schedule_job.schedule).max_attempts,
        coalesce((schedule_job.schedule).meta, '{}') || jsonb_build_object(
            'pgqueue', jsonb_build_object(
                'schedule', (schedule_job.schedule).name,
                'planned_at', p.planned)),
        clock_timestamp(),
        replace((schedule_job.schedule).options ->> 'unique_key', '{planned_at}', p.planned),
        (schedule_job.schedule).options ->> 'unique_while',
        ((schedule_job.schedule).options ->> 'unique_for')::interval,
        nullif((schedule_job.schedule).options ->> 'on_duplicate', 'error'),
        ((schedule_job.schedule).options ->> 'group_id')::bigint,
        (schedule_job.schedule).options -> 'callbacks',
        -- What only single jobs have: others before them.
        NULL, NULL, NULL, NULL,
        replace((schedule_job.schedule).options ->> 'concurrency_key', '{planned_at}', p.planned),
        ((schedule_job.schedule).options ->> 'max_running')::integer,
        replace((schedule_job.schedule).options ->> 'fair_key', '{planned_at}', p.planned),
        (schedule_job.schedule).options ->> 'rate'
    )::pgqueue.jobs
    FROM (SELECT to_char(
        schedule_job.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'
    )) AS p (planned)
$$;

COMMENT ON FUNCTION pgqueue.schedule_job(pgqueue.schedules, bigint, timestamptz, timestamptz) IS
'The job that a schedule makes for a slot. Internal.

Args: schedule; job_id: the id it gets; slot: the planned instant; at: the time it is.
Returns: a row of pgqueue.jobs, not inserted.';
