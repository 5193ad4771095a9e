-- Purpose: have a sequence go on above an id that was given by hand.
-- Called by: the triggers of async_jobs and async_groups. Moves the sequence, and only forward.
-- Errors: PQ004.
-- Why short of a thousand the numbers are drawn: nobody can get one of them a second time, whoever
-- draws at the same moment. A greater distance would take too long, and is leapt over by setval.
-- Why no id beyond that: few numbers, or none, would be left for all other jobs.
-- What remains: that is two steps, and no lock keeps others from drawing between them. Who draws
-- more than a thousand numbers there, past the given one, would have them drawn again; the INSERT
-- that gets such a number fails with 23505 and changes nothing.
CREATE FUNCTION pgqueue.async_pass(sequence regclass, given bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    -- null before the first number.
    v_distance bigint := given - coalesce(pg_sequence_last_value(sequence), 0);
BEGIN
    IF given > 100000000000000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = format('an id must be at most 100000000000000; got %s', given);
    END IF;
    IF v_distance > 1000 THEN
        PERFORM setval(sequence, given);
    ELSIF v_distance > 0 THEN
        PERFORM nextval(sequence) FROM generate_series(1, v_distance);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.async_pass(regclass, bigint) IS
'Have a sequence go on above an id that was given by hand. Internal.

Args: sequence; given: the id, or null for none.
Errors: PQ004 for an id that would use up the numbers.';
