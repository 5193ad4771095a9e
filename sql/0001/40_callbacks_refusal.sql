-- Purpose: say what is wrong with the callbacks of a job or a group.
-- Called by: refusal, for jobs that have some; create_group and enqueue_flow. Touches no table.
-- Why it asks refusal in turn: each callback is a job, and one that would be refused must be so
-- now, not when the job that it follows has ended and could not.
-- Why first a look at what is said mostly, the name of a task and maybe a queue: without queries it
-- takes a fifth of the time.
CREATE FUNCTION pgqueue.callbacks_refusal(callbacks jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_keys CONSTANT text[] := '{task,args,kwargs,queue,priority,meta,concurrency_key,'
        'max_running,fair_key,rate}';
    v_names CONSTANT text[] := '{on_success,on_failure,on_finish}';
    v_simple_keys CONSTANT text[] := '{task,queue}';
    v_name text;
    v_spec jsonb;
    v_simple boolean;
    v_one record;
    v_job pgqueue.jobs;
    v_why text;
BEGIN
    v_simple := jsonb_typeof(callbacks_refusal.callbacks) = 'object'
        AND callbacks_refusal.callbacks - v_names = '{}';
    IF v_simple THEN
        FOREACH v_name IN ARRAY v_names LOOP
            v_spec := callbacks_refusal.callbacks -> v_name;
            CONTINUE WHEN v_spec IS NULL;
            v_simple := (CASE jsonb_typeof(v_spec)
                WHEN 'string' THEN octet_length(v_spec #>> '{}') BETWEEN 1 AND 500
                WHEN 'object' THEN v_spec - v_simple_keys = '{}'
                    AND jsonb_typeof(v_spec -> 'task') = 'string'
                    AND octet_length(v_spec ->> 'task') BETWEEN 1 AND 500
                    AND (v_spec -> 'queue' IS NULL
                        OR (jsonb_typeof(v_spec -> 'queue') = 'string'
                            AND octet_length(v_spec ->> 'queue') BETWEEN 1 AND 200
                            AND v_spec ->> 'queue' <> '*'))
            END) IS TRUE;
            EXIT WHEN NOT v_simple;
        END LOOP;
        IF v_simple THEN
            RETURN NULL;
        END IF;
    END IF;
    IF jsonb_typeof(callbacks_refusal.callbacks) <> 'object' THEN
        RETURN concat('callbacks must be a JSON object; got ',
            jsonb_typeof(callbacks_refusal.callbacks));
    END IF;
    IF octet_length(callbacks_refusal.callbacks::text) > 65536 THEN
        RETURN concat('callbacks must be at most 65536 bytes of JSON; got ',
            octet_length(callbacks_refusal.callbacks::text));
    END IF;
    FOR v_one IN SELECT e.key, e.value FROM jsonb_each(callbacks_refusal.callbacks) AS e LOOP
        IF v_one.key NOT IN ('on_success', 'on_failure', 'on_finish') THEN
            RETURN concat('callbacks must have no keys but on_success, on_failure, on_finish; got ',
                quote_literal(left(v_one.key, 60)));
        END IF;
        CONTINUE WHEN jsonb_typeof(v_one.value) = 'null';
        IF jsonb_typeof(v_one.value) = 'string' THEN
            v_one.value := jsonb_build_object('task', v_one.value);
        ELSIF jsonb_typeof(v_one.value) <> 'object' THEN
            RETURN format('%s must be the name of a task, or a JSON object; got %s',
                v_one.key, jsonb_typeof(v_one.value));
        ELSIF v_one.value - v_keys <> '{}' THEN
            RETURN format('%s must have no keys but %s', v_one.key,
                array_to_string(v_keys, ', '));
        END IF;
        v_job.id := 1;
        v_job.task := v_one.value ->> 'task';
        v_job.args := coalesce(v_one.value -> 'args', '[]');
        v_job.kwargs := coalesce(v_one.value -> 'kwargs', '{}');
        v_job.queue := coalesce(v_one.value ->> 'queue', 'default');
        v_job.priority := 0;
        v_job.meta := v_one.value -> 'meta';
        v_job.concurrency_key := v_one.value ->> 'concurrency_key';
        v_job.fair_key := v_one.value ->> 'fair_key';
        v_job.rate := v_one.value ->> 'rate';
        v_job.max_running := NULL;
        v_why := CASE
            WHEN jsonb_typeof(v_one.value -> 'task') IS DISTINCT FROM 'string' THEN
                'task must be a string'
            WHEN jsonb_typeof(coalesce(v_one.value -> 'queue', '""')) <> 'string' THEN
                'queue must be a string'
            WHEN jsonb_typeof(coalesce(v_one.value -> 'priority', '0')) <> 'number'
                OR (v_one.value ->> 'priority')::numeric NOT BETWEEN -32768 AND 32767
                OR (v_one.value ->> 'priority')::numeric % 1 <> 0
            THEN 'priority must be a whole number between -32768 and 32767'
            WHEN jsonb_typeof(coalesce(v_one.value -> 'max_running', '1'))
                NOT IN ('number', 'string', 'null')
                OR v_one.value ->> 'max_running' !~ '^[1-9][0-9]{0,8}$'
                OR (v_one.value ? 'max_running' AND v_job.concurrency_key IS NULL)
            THEN 'max_running must be at least 1 and given with a concurrency_key'
            ELSE pgqueue.refusal(v_job)
        END;
        IF v_why IS NOT NULL THEN
            RETURN format('%s: %s', v_one.key, v_why);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.callbacks_refusal(jsonb) IS
'Say what is wrong with callbacks. Internal.

Args: callbacks: as in pgqueue.jobs.callbacks.
Returns: a sentence; null when all is well.';
