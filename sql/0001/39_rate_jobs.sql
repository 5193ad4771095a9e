-- Purpose: how many jobs does a rate such as 100/m allow?
-- Called by: limit_queue. Touches no table.
CREATE FUNCTION pgqueue.rate_jobs(rate text) RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN rate ~ '^[1-9][0-9]{0,7}/([1-9][0-9]{0,5})?[smhd]$'
        THEN split_part(rate, '/', 1)::integer
    END
$$;

COMMENT ON FUNCTION pgqueue.rate_jobs(text) IS
'How many jobs a rate allows. Internal.

Args: rate: a number, a slash, maybe a number, and s, m, h or d.
Returns: how many in its period; null for what is no rate.';
