-- Purpose: say why a schedule cannot be, without printing its arguments.
-- Called by: pgqueue.schedule. Touches no table. Whether a rule can be read and a zone is known is
-- the leader's to say: it computes the slots, and notes on the row what it cannot read.
CREATE FUNCTION pgqueue.schedule_refusal(schedule pgqueue.schedules) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
    SELECT CASE
        WHEN coalesce(octet_length((schedule).name), 0) NOT BETWEEN 1 AND 200 THEN concat(
            'name must be 1 to 200 bytes; got ',
            coalesce(octet_length((schedule).name) || ' bytes', 'null'))
        WHEN (schedule).kind IS NULL THEN
            'one of every, cron, rrule and run_at must be given, and only one'
        WHEN (schedule).kind <> 'once'
            AND coalesce(length((schedule).rule), 0) NOT BETWEEN 1 AND 1000
        THEN concat((schedule).kind, ' must be 1 to 1,000 characters')
        WHEN coalesce(octet_length((schedule).timezone), 0) NOT BETWEEN 1 AND 100 THEN
            'timezone must be a name such as Europe/Berlin'
        WHEN (schedule).starts_at IS NULL
            OR (schedule).starts_at NOT BETWEEN '1900-01-01 UTC' AND '9990-01-01 UTC'
        THEN 'starts_at and run_at must lie between the years 1900 and 9990'
        WHEN (schedule).ends_at NOT BETWEEN '1900-01-01 UTC' AND '9990-01-01 UTC' THEN
            'ends_at must lie between the years 1900 and 9990, or be left out'
        WHEN (schedule).repeats < 1 THEN concat(
            'repeats must be 1 or more, or left out; got ', (schedule).repeats)
        WHEN (schedule).jitter < interval '0' OR (schedule).jitter > interval '1 day' THEN concat(
            'jitter must be between 0 and 1 day; got ', (schedule).jitter)
        WHEN (schedule).catch_up IS NULL OR (schedule).catch_up NOT IN ('all', 'once', 'skip')
        THEN concat('catch_up must be all, once or skip; got ',
            coalesce(quote_literal(left((schedule).catch_up, 60)), 'null'))
        WHEN (schedule).max_catch_up IS NULL
            OR (schedule).max_catch_up NOT BETWEEN 1 AND 100000
        THEN concat('max_catch_up must be between 1 and 100000; got ',
            coalesce((schedule).max_catch_up::text, 'null'))
        WHEN (schedule).overlap IS NULL OR (schedule).overlap NOT IN ('allow', 'skip', 'queue')
        THEN concat('overlap must be allow, skip or queue; got ',
            coalesce(quote_literal(left((schedule).overlap, 60)), 'null'))
        WHEN octet_length((schedule).planned_kwarg) NOT BETWEEN 1 AND 200 THEN
            'planned_kwarg must be the name of a keyword argument'
        WHEN (schedule).expires <= interval '0' OR (schedule).expires > interval '36525 days' THEN
            concat('expires must be above 0 and at most 100 years; got ', (schedule).expires)
        WHEN (schedule).source IS NULL OR (schedule).source NOT IN ('api', 'code', 'sql') THEN
            'source must be api, code or sql'
        WHEN jsonb_typeof((schedule).options) <> 'object' THEN concat(
            'options must be a JSON object, or left out; got ', jsonb_typeof((schedule).options))
        WHEN (schedule).options - ARRAY[
            'unique_key', 'unique_while', 'unique_for', 'on_duplicate', 'group_id', 'callbacks',
            'concurrency_key', 'max_running', 'fair_key', 'rate'] <> '{}'
        THEN concat(
            'options must have no keys but unique_key, unique_while, unique_for, on_duplicate, ',
            'group_id, callbacks, concurrency_key, max_running, fair_key, rate; got ',
            (SELECT quote_literal(left(min(k.key), 60))
            FROM jsonb_object_keys((schedule).options) AS k (key)
            WHERE k.key NOT IN (
                'unique_key', 'unique_while', 'unique_for', 'on_duplicate', 'group_id',
                'callbacks', 'concurrency_key', 'max_running', 'fair_key', 'rate')))
        ELSE pgqueue.refusal(ROW(
            0, (schedule).task, (schedule).args, (schedule).kwargs, (schedule).queue,
            (schedule).priority, NULL, NULL, (schedule).timeout, (schedule).max_attempts,
            (schedule).meta, NULL,
            (schedule).options ->> 'unique_key',
            (schedule).options ->> 'unique_while',
            ((schedule).options ->> 'unique_for')::interval,
            (schedule).options ->> 'on_duplicate',
            ((schedule).options ->> 'group_id')::bigint,
            (schedule).options -> 'callbacks',
            NULL, NULL, NULL, NULL,
            (schedule).options ->> 'concurrency_key',
            ((schedule).options ->> 'max_running')::integer,
            (schedule).options ->> 'fair_key',
            (schedule).options ->> 'rate')::pgqueue.jobs)
    END
$$;

COMMENT ON FUNCTION pgqueue.schedule_refusal(pgqueue.schedules) IS
'Say why a schedule cannot be. Internal.

Args: schedule: a row of pgqueue.schedules.
Returns: a sentence that names the column, what it takes and what kind of thing came, never the
value of an argument; null for a good one.';
