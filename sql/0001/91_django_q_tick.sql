-- Purpose: keep one waiting job for the next run of a schedule of django-q.
-- Fired by: INSERT and UPDATE of django_q_schedules, a row at a time. Writes jobs (django_q_arm).
-- Locks: those of enqueue with a unique key.
-- Why runs and error do not count as a change: a row that cannot run would be tried without pause.
-- Why it fires itself once more: django_q_arm writes job_id, which does not count either.
CREATE FUNCTION pgqueue.django_q_tick() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE'
        AND to_jsonb(NEW) - '{runs,error,task,job_id}'::text[]
            = to_jsonb(OLD) - '{runs,error,task,job_id}'::text[]
    THEN
        RETURN NULL;
    END IF;
    PERFORM pgqueue.django_q_arm(NEW.id);
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.django_q_tick() IS
'Keep one waiting job for the next run of a schedule of django-q.';

CREATE TRIGGER django_q_tick
AFTER INSERT OR UPDATE ON pgqueue.django_q_schedules
FOR EACH ROW
EXECUTE FUNCTION pgqueue.django_q_tick();

ALTER TABLE pgqueue.django_q_schedules ENABLE ALWAYS TRIGGER django_q_tick;

COMMENT ON TRIGGER django_q_tick ON pgqueue.django_q_schedules IS
'Keeps one waiting job for the next run.';
