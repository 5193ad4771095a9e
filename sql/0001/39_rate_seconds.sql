-- Purpose: how long is the period of a rate such as 100/m?
-- Called by: limit_queue. Touches no table.
CREATE FUNCTION pgqueue.rate_seconds(rate text) RETURNS double precision
LANGUAGE sql IMMUTABLE
AS $$
    SELECT coalesce(nullif(rtrim(split_part(rate, '/', 2), 'smhd'), ''), '1')::double precision
        * CASE right(rate, 1)
            WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 WHEN 'd' THEN 86400
        END
$$;

COMMENT ON FUNCTION pgqueue.rate_seconds(text) IS
'How long the period of a rate is. Internal.

Args: rate: as pgqueue.rate_jobs takes it.
Returns: seconds.';
