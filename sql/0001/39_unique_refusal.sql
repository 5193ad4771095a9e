-- Purpose: say what is wrong with what a job says about being unique.
-- Called by: refusal, for jobs that say anything about it. Touches no table.
CREATE FUNCTION pgqueue.unique_refusal(
    unique_key text,
    unique_while text,
    unique_for interval,
    on_duplicate text
) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN unique_key IS NULL THEN
            'unique_key must be given with unique_while, unique_for or on_duplicate; got null'
        WHEN octet_length(unique_key) NOT BETWEEN 1 AND 1000 THEN concat(
            'unique_key must be text of 1 to 1000 bytes; got ', octet_length(unique_key), ' bytes')
        WHEN unique_while NOT IN ('live', 'waiting') THEN concat(
            'unique_while must be live or waiting; got ', quote_literal(left(unique_while, 60)))
        WHEN unique_for <= interval '0' OR unique_for > interval '3660 days' THEN concat(
            'unique_for must be above 0 and at most 3660 days; got ', unique_for)
        WHEN on_duplicate NOT IN ('ignore', 'replace', 'reschedule', 'error') THEN concat(
            'on_duplicate must be ignore, replace, reschedule or error; got ',
            quote_literal(left(on_duplicate, 60)))
    END
$$;

COMMENT ON FUNCTION pgqueue.unique_refusal(text, text, interval, text) IS
'Say what is wrong with what a job says about being unique. Internal.

Args: the columns of pgqueue.jobs.
Returns: a sentence; null when all is well.';
