-- Purpose: let one job wait for the next run of a schedule of django-q, if it has one.
-- Called by: the trigger of django_q_schedules, django_q_rearm. Reads django_q_schedules; writes
-- jobs (enqueue). Locks: those of enqueue with a unique key.
-- Why a job: it is promoted when it is due, wherever a worker lives, tried again where its worker
-- dies, and seen and moved like any other; nothing polls. One that comes too early or too late, as
-- of a schedule that was deleted, finds nothing due and does nothing.
CREATE FUNCTION pgqueue.django_q_arm(schedule_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM pgqueue.enqueue(
        task => 'django_q::schedule',
        args => jsonb_build_array(s.id),
        queue => coalesce(nullif(s.cluster, ''), s.home),
        run_at => s.next_run,
        unique_key => 'django_q:schedule:' || s.id,
        unique_while => 'waiting',
        on_duplicate => 'replace'
    )
    FROM pgqueue.django_q_schedules AS s
    WHERE s.id = django_q_arm.schedule_id AND s.next_run IS NOT NULL AND s.repeats <> 0;
END
$$;

COMMENT ON FUNCTION pgqueue.django_q_arm(bigint) IS
'Let one job wait for the next run of a schedule of django-q, if it has one. Internal.

Args: schedule_id.
Returns: nothing.';
