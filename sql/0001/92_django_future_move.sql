-- Purpose: put a job of pgqueue.compat.django_future where its status says, by hand.
-- Called by: django_future_store, once it has written the row of jobs. Moves ready_jobs,
-- scheduled_jobs and blocked_jobs to finished_jobs (end_waiting), finished_jobs to ready_jobs or
-- scheduled_jobs (retry), waiting jobs to another time (reschedule_waiting).
-- Locks: those of the functions it calls. The caller holds the job and its position row
-- (django_future_place). Errors: 23514, as the old table had them for what it refused.
-- Why retry gets an earlier time: with the real one, a job whose end has passed would run all the
-- same, since somebody asked for it. Here it must end as expired.
-- Why no group is told when a job that is over gets another state: jobs of this facade are in none.
CREATE FUNCTION pgqueue.django_future_move(
    job_id bigint,
    place text,
    status text,
    execution_start timestamptz,
    return_value text,
    error text,
    retimed boolean,
    at timestamptz
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_state text := CASE django_future_move.status
        WHEN 'complete' THEN 'succeeded' WHEN 'scheduled' THEN NULL ELSE django_future_move.status
    END;
    v_run_at timestamptz;
    v_expires_at timestamptz;
BEGIN
    IF django_future_move.place = 'running' AND v_state = 'running' THEN
        RETURN;
    END IF;
    IF django_future_move.place = 'running' OR django_future_move.place IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = '23514',
            MESSAGE = format('job %s is running and its status must stay so; got %s',
                django_future_move.job_id, quote_literal(django_future_move.status)),
            HINT = 'wait for it, or cancel it';
    END IF;
    IF v_state = 'running' THEN
        RAISE EXCEPTION USING
            ERRCODE = '23514',
            MESSAGE = format('job %s gets the status running when a worker takes it, and not '
                'otherwise', django_future_move.job_id),
            HINT = 'set it to scheduled, and it will be run';
    END IF;

    IF v_state IS NULL THEN
        SELECT j.run_at, j.expires_at INTO v_run_at, v_expires_at
        FROM pgqueue.jobs AS j
        WHERE j.id = django_future_move.job_id;
        IF django_future_move.place = 'over' THEN
            PERFORM pgqueue.retry(
                django_future_move.job_id, v_run_at,
                least(django_future_move.at, v_expires_at - interval '1 microsecond'));
        ELSIF django_future_move.retimed THEN
            PERFORM pgqueue.reschedule_waiting(
                django_future_move.job_id, v_run_at, django_future_move.at);
        END IF;
        RETURN;
    END IF;

    IF django_future_move.place = 'waiting' THEN
        PERFORM pgqueue.end_waiting(
            ARRAY[django_future_move.job_id], v_state, NULL, django_future_move.at);
    END IF;
    WITH gone AS (
        DELETE FROM pgqueue.finished_jobs AS f
        WHERE f.job_id = django_future_move.job_id
            AND (f.state, f.started_at, f.result #>> '{}') IS DISTINCT FROM
                (v_state, django_future_move.execution_start, django_future_move.return_value)
        RETURNING f.*
    )
    INSERT INTO pgqueue.finished_jobs (
        job_id, state, attempt, lost, crashes, worker_id, started_at, finished_at, keep_until,
        result, error
    )
    SELECT
        g.job_id, v_state, g.attempt, g.lost, g.crashes, g.worker_id,
        django_future_move.execution_start, g.finished_at,
        CASE WHEN g.state = v_state THEN g.keep_until
            ELSE django_future_move.at + pgqueue.retention(j.queue, v_state) END,
        CASE
            WHEN g.result #>> '{}' = django_future_move.return_value THEN g.result
            ELSE to_jsonb(django_future_move.return_value)
        END,
        CASE
            WHEN v_state = 'succeeded' THEN NULL
            WHEN v_state = 'expired' THEN 'expired before it could start'
            ELSE coalesce(left(
                substring(django_future_move.error FROM '([^\n]+)\s*$'), 500), g.error, 'failed')
        END
    FROM gone AS g
    CROSS JOIN LATERAL (
        SELECT j.queue FROM pgqueue.jobs AS j WHERE j.id = g.job_id OFFSET 0
    ) AS j;
END
$$;

COMMENT ON FUNCTION pgqueue.django_future_move(
    bigint, text, text, timestamptz, text, text, boolean, timestamptz
) IS
'Put a job of pgqueue.compat.django_future where its status says. Internal.

Args: job_id; place: of django_future_place; status: scheduled, running, failed, complete or
expired; execution_start, return_value, error: what a job that is over shall show; retimed: whether
a waiting job has another time now; at: the time it is.
Errors: 23514 for a job that runs, and for the status running of one that does not.';
