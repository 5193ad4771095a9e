-- Purpose: refuse a queue name that no job could have.
-- Called by: pause, resume, configure_queue. Touches no table. Errors: PQ004.
CREATE FUNCTION pgqueue.check_queue_name(queue text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    IF coalesce(octet_length(check_queue_name.queue), 0) NOT BETWEEN 1 AND 200
        OR check_queue_name.queue = '*'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('queue must be a name of 1 to 200 bytes and not "*"; got %s',
                CASE WHEN check_queue_name.queue = '*' THEN '"*"'
                     ELSE coalesce(octet_length(check_queue_name.queue) || ' bytes', 'null') END);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.check_queue_name(text) IS
'Refuse a queue name that no job could have. Internal.

Errors: PQ004.';
