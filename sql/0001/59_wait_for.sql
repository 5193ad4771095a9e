-- Purpose: say that one waits for the end of jobs, so that their end is notified.
-- Called by: whoever waits for a result, in a transaction of its own, on a session that LISTENs to
-- pgqueue_finished already. Writes waiters. Locks: nothing.
-- The protocol: LISTEN pgqueue_finished; wait_for, and commit; look at job_overview; look again
-- after 5, 25 and 125 ms, since a finish that was just committing may have missed the row; then
-- wait for a notification whose payload names the job, with a slow look behind it (every second or
-- five) in case it got lost, and before `seconds` are over call wait_for again.
-- Why it does not wait for the disk: a waiter that a crash of the server loses has lost its
-- connection too, and comes again.
CREATE FUNCTION pgqueue.wait_for(
    job_ids bigint[],
    seconds double precision DEFAULT 60,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO pgqueue.waiters (job_id, until)
    SELECT i.id, wait_for.at + make_interval(secs => least(greatest(wait_for.seconds, 1), 3600))
    FROM unnest(wait_for.job_ids) AS i (id)
    WHERE i.id IS NOT NULL;
END
$$;

COMMENT ON FUNCTION pgqueue.wait_for(bigint[], double precision, timestamptz) IS
'Have the end of jobs told on the channel pgqueue_finished, to a session that LISTENs to it.

Call it outside a transaction, look at the jobs, look again after 5, 25 and 125 ms, and only then
wait for a notification, looking now and then all the same.

Args: job_ids: the jobs; seconds: how long, 1 to 3600; call it again to wait for longer; at: the
time it is.
Returns: nothing; each notification names one or more ids, joined by commas.';
