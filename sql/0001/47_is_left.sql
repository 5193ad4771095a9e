-- Purpose: does nobody have a unique key any more, by right of being there or of a period?
-- Called by: sweep_unique_keys. Reads jobs and the position tables.
-- Why a cancelled job: it gives its key back before the period is over; where somebody held the row
-- just then, it was left behind.
CREATE FUNCTION pgqueue.is_left(
    job_id bigint,
    while_waiting boolean,
    held_until timestamptz,
    at timestamptz
) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN is_left.held_until > is_left.at THEN EXISTS (
            SELECT FROM pgqueue.finished_jobs AS f
            WHERE f.job_id = is_left.job_id AND f.state IN ('cancelled', 'expired')
        )
        ELSE NOT pgqueue.is_live(is_left.job_id, is_left.while_waiting)
    END
$$;

COMMENT ON FUNCTION pgqueue.is_left(bigint, boolean, timestamptz, timestamptz) IS
'Tell whether nobody has a unique key any more. Internal.

Args: job_id, while_waiting, held_until: of its row; at: the time it is.
Returns: whether its row may be deleted.';
