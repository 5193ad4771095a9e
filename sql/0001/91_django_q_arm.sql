-- Purpose: let one job wait for the next run of a schedule of django-q, if it has one.
-- Called by: the trigger of django_q_schedules, django_q_rearm. Writes django_q_schedules (job_id)
-- and jobs (enqueue, end_waiting). Locks: the schedule; those of enqueue with a unique key.
-- Why a job: it is promoted when it is due, wherever a worker lives, tried again where its worker
-- dies, and seen and moved like any other; nothing polls. One that comes too early or too late, as
-- of a schedule that was deleted, finds nothing due and does nothing.
-- Why the job before is ended: one that could not run has given up its key, and looks again every
-- minute.
CREATE FUNCTION pgqueue.django_q_arm(schedule_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_schedule record;
    v_job_id bigint;
BEGIN
    SELECT s.* INTO v_schedule
    FROM pgqueue.django_q_schedules AS s
    WHERE s.id = django_q_arm.schedule_id AND s.next_run IS NOT NULL AND s.repeats <> 0
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_job_id := pgqueue.enqueue(
        task => 'django_q::schedule',
        args => jsonb_build_array(v_schedule.id),
        queue => coalesce(nullif(v_schedule.cluster, ''), v_schedule.home),
        run_at => v_schedule.next_run,
        unique_key => 'django_q:schedule:' || v_schedule.id,
        unique_while => 'waiting',
        on_duplicate => 'replace'
    );
    PERFORM pgqueue.end_waiting(
        ARRAY[v_schedule.job_id], 'cancelled', format('cancelled: replaced by job %s', v_job_id),
        clock_timestamp()
    )
    WHERE v_schedule.job_id <> v_job_id;
    UPDATE pgqueue.django_q_schedules AS s
    SET job_id = v_job_id
    WHERE s.id = django_q_arm.schedule_id;
END
$$;

COMMENT ON FUNCTION pgqueue.django_q_arm(bigint) IS
'Let one job wait for the next run of a schedule of django-q, if it has one. Internal.

Args: schedule_id.
Returns: nothing.';
