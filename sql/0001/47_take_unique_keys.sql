-- Purpose: give jobs the unique keys they ask for, or say whose duplicates they are.
-- Called by: the insert trigger, retry, file_strays, settle_unique_keys; before the jobs have a
-- position. Reads jobs, the position tables; writes unique_keys; for a duplicate that says so, ends
-- or reschedules the job that has the key.
-- Locks: keys that were free, in their order; then the rows of keys that are replaced, in their
-- order. It waits where another transaction that has not ended yet is taking the same key: nobody
-- knows before whether that one commits. Errors: PQ006.
--
-- Why the keys of a statement are taken together and in order: producers that insert the same keys
-- in different orders would wait for each other in a circle. Two statements may still do that when
-- each stands in a transaction with more of them, or with other locks. Then one is told of the
-- deadlock here, lets go of what this statement took, and tries again; where that does not help,
-- its own transaction being what the other waits for, the jobs are left undecided: they are
-- blocked, and settle_unique_keys decides about them when the transactions are over. So the caller
-- never hears of it.
-- Why a block with EXCEPTION costs so little: it is one subtransaction a statement, and only for
-- jobs that have a key.
-- Duplicates within the statement are judged here, in their order: the job that has the key has no
-- position yet that could be moved. One that is replaced is dropped, as if it had never been; one
-- that is rescheduled is given its time when it is filed.
CREATE FUNCTION pgqueue.take_unique_keys(
    ids bigint[],
    gently boolean,
    at timestamptz,
    OUT dropped bigint[],
    OUT undecided bigint[],
    OUT moved bigint[],
    OUT moved_to timestamptz[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_taken bigint[];
    v_job record;
    v_key text;
    v_mine bigint;
    v_place integer;
    v_tries integer := 0;
BEGIN
    LOOP
        take_unique_keys.dropped := '{}';
        take_unique_keys.moved := '{}';
        take_unique_keys.moved_to := '{}';
        v_key := NULL;
        BEGIN
            WITH wanted AS MATERIALIZED (
                SELECT DISTINCT ON (j.unique_key COLLATE "C")
                    j.unique_key, j.id,
                    coalesce(j.unique_while = 'waiting', false) AS while_waiting,
                    take_unique_keys.at + j.unique_for AS held_until
                FROM unnest(take_unique_keys.ids) AS i (id)
                CROSS JOIN LATERAL (
                    SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = i.id OFFSET 0
                ) AS j
                ORDER BY j.unique_key COLLATE "C", j.id
            ),
            taken AS (
                INSERT INTO pgqueue.unique_keys (key, job_id, while_waiting, held_until)
                SELECT w.unique_key, w.id, w.while_waiting, w.held_until
                FROM wanted AS w
                ORDER BY w.unique_key COLLATE "C"
                ON CONFLICT DO NOTHING
                RETURNING job_id
            )
            SELECT coalesce(array_agg(t.job_id), '{}') INTO v_taken FROM taken AS t;
            IF cardinality(v_taken) < cardinality(take_unique_keys.ids) THEN
                FOR v_job IN
                    SELECT
                        j.*,
                        -- Hashed lists: comparing each with each is quadratic.
                        CASE WHEN j.first_id IN (SELECT t.id FROM unnest(v_taken) AS t (id))
                            THEN j.first_id END AS holder
                    FROM (
                        SELECT
                            j.id, j.unique_key, j.unique_while, j.unique_for, j.run_at,
                            CASE WHEN take_unique_keys.gently THEN 'ignore'
                                ELSE coalesce(j.on_duplicate, 'ignore') END AS on_duplicate,
                            first_value(j.id) OVER (
                                PARTITION BY j.unique_key COLLATE "C" ORDER BY j.id) AS first_id
                        FROM unnest(take_unique_keys.ids) AS i (id)
                        CROSS JOIN LATERAL (
                            SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = i.id OFFSET 0
                        ) AS j
                    ) AS j
                    WHERE j.id NOT IN (SELECT t.id FROM unnest(v_taken) AS t (id))
                    ORDER BY j.unique_key COLLATE "C", j.id
                LOOP
                    IF v_job.unique_key IS DISTINCT FROM v_key THEN
                        v_key := v_job.unique_key;
                        v_mine := v_job.holder;
                    END IF;
                    IF v_mine IS NULL THEN
                        IF pgqueue.take_unique_key(
                            v_job.id, v_key, coalesce(v_job.unique_while = 'waiting', false),
                            v_job.unique_for, v_job.on_duplicate, v_job.run_at,
                            take_unique_keys.at)
                        THEN
                            v_mine := v_job.id;
                        ELSE
                            take_unique_keys.dropped := take_unique_keys.dropped || v_job.id;
                        END IF;
                        CONTINUE;
                    END IF;
                    CASE v_job.on_duplicate
                    WHEN 'error' THEN
                        RAISE EXCEPTION USING
                            ERRCODE = 'PQ006',
                            MESSAGE = 'unique_key must be held by no other job; another job of the '
                                'statement has it',
                            HINT = 'enqueue one of them, or say what is to become of the others '
                                'with on_duplicate';
                    WHEN 'replace' THEN
                        UPDATE pgqueue.unique_keys AS u
                        SET job_id = v_job.id,
                            while_waiting = coalesce(v_job.unique_while = 'waiting', false),
                            held_until = take_unique_keys.at + v_job.unique_for
                        WHERE u.key = v_key AND u.job_id = v_mine;
                        take_unique_keys.dropped := take_unique_keys.dropped || v_mine;
                        v_mine := v_job.id;
                    WHEN 'reschedule' THEN
                        -- Of several the last one counts.
                        v_place := cardinality(take_unique_keys.moved);
                        IF take_unique_keys.moved[v_place] IS DISTINCT FROM v_mine THEN
                            v_place := v_place + 1;
                            take_unique_keys.moved[v_place] := v_mine;
                        END IF;
                        take_unique_keys.moved_to[v_place] := v_job.run_at;
                        take_unique_keys.dropped := take_unique_keys.dropped || v_job.id;
                    ELSE
                        take_unique_keys.dropped := take_unique_keys.dropped || v_job.id;
                    END CASE;
                END LOOP;
            END IF;
            RETURN;
        EXCEPTION WHEN deadlock_detected THEN
            v_tries := v_tries + 1;
        END;
        -- Of many keys a statement lets go of many: others get on, and so may it.
        IF v_tries >= (CASE WHEN cardinality(take_unique_keys.ids) > 1 THEN 6 ELSE 2 END) THEN
            take_unique_keys.dropped := '{}';
            take_unique_keys.moved := '{}';
            take_unique_keys.undecided := take_unique_keys.ids;
            RETURN;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.take_unique_keys(bigint[], boolean, timestamptz) IS
'Give jobs the unique keys they ask for. Internal.

Args: ids: rows of pgqueue.jobs that have a unique_key; gently: leave the jobs alone that have the
keys already, whatever on_duplicate says; at: the time it is.
Returns: dropped: duplicates of other jobs; undecided: all of them, where a deadlock would not let
it be known; moved, moved_to: jobs that others of the same statement reschedule, and to when, null
for now.
Errors: PQ006 for a duplicate whose on_duplicate is error.
Locks: rows of unique_keys; it waits for transactions that are taking the same keys.';
