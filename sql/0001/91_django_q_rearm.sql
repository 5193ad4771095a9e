-- Purpose: give schedules of django-q their waiting job back where somebody has taken it away.
-- Called by: the facade, when a cluster starts and now and then. Writes jobs (django_q_arm) and
-- django_q_schedules. Locks: those of enqueue.
-- Why at all: the job can be deleted or cancelled like any other, and would end for good if it
-- killed its worker three times; the schedule would stand still and nobody see why.
-- Why home: schedules without a cluster are those of the first, whose name may have changed.
CREATE FUNCTION pgqueue.django_q_rearm(home text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_id bigint;
    v_number integer := 0;
BEGIN
    UPDATE pgqueue.django_q_schedules AS s
    SET home = django_q_rearm.home
    WHERE s.cluster IS NULL AND s.home <> django_q_rearm.home;
    FOR v_id IN
        SELECT s.id
        FROM pgqueue.django_q_schedules AS s
        WHERE s.next_run IS NOT NULL AND s.repeats <> 0
            AND NOT pgqueue.is_live(s.job_id, false)
        ORDER BY s.id
    LOOP
        PERFORM pgqueue.django_q_arm(v_id);
        v_number := v_number + 1;
    END LOOP;
    RETURN v_number;
END
$$;

COMMENT ON FUNCTION pgqueue.django_q_rearm(text) IS
'Give schedules of django-q their waiting job back where somebody has taken it away.

Args: home: the name of the first cluster, whose queue has the schedules without one; null leaves
them where they are.
Returns: how many had none.';
