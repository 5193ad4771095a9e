-- Purpose: make, change and delete groups through the view of django-async.
-- Fired by: INSERT, UPDATE and DELETE on async_groups, once a row. Writes groups; moves the final
-- job into the group (async_move, set_last_job); deletes a group with its jobs (delete_group).
-- Locks: the group; the final job and its position row. Errors: PQ001, PQ003, PQ004.
CREATE FUNCTION pgqueue.async_groups_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pgqueue.delete_group(OLD.id);
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.id IS DISTINCT FROM OLD.id THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PQ004',
                MESSAGE = format('the id of a group must stay as it is; group %s', OLD.id);
        END IF;
        UPDATE pgqueue.groups AS g
        SET name = NEW.reference,
            created_at = NEW.created,
            meta = g.meta || jsonb_build_object('async',
                jsonb_strip_nulls(jsonb_build_object('description', NEW.description)))
        WHERE g.id = OLD.id;
    ELSE
        NEW.created := coalesce(NEW.created, v_at);
        PERFORM pgqueue.async_pass('pgqueue.groups_id_seq', NEW.id);
        NEW.id := coalesce(NEW.id, nextval('pgqueue.groups_id_seq'));
        INSERT INTO pgqueue.groups (id, name, meta, created_at)
        OVERRIDING SYSTEM VALUE
        VALUES (
            NEW.id, NEW.reference,
            jsonb_build_object('async',
                jsonb_strip_nulls(jsonb_build_object('description', NEW.description))),
            NEW.created
        );
    END IF;
    IF TG_OP = 'INSERT' AND NEW.final_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.final_id IS DISTINCT FROM OLD.final_id THEN
        PERFORM pgqueue.async_move(NEW.final_id, NEW.id, v_at);
        PERFORM pgqueue.set_last_job(NEW.id, NEW.final_id, v_at);
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION pgqueue.async_groups_write() IS
'Make, change or delete a group of django-async.

Errors: PQ001 for a final job that is none; PQ003 while a job of a group to be deleted runs, or the
final job does; PQ004 for a change of the id.';

CREATE TRIGGER async_groups_write
INSTEAD OF INSERT OR UPDATE OR DELETE ON pgqueue.async_groups
FOR EACH ROW
EXECUTE FUNCTION pgqueue.async_groups_write();

COMMENT ON TRIGGER async_groups_write ON pgqueue.async_groups IS
'Writes the group, and has its final job wait.';
