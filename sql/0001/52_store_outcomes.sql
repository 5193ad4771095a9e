-- Purpose: write down what became of jobs a worker held.
-- Called by: work and finish only (they check the worker and hold its lock).
-- Deletes from running_jobs; writes finished_jobs, scheduled_jobs, ready_jobs, job_errors; deletes
-- from cancel_requests, and from jobs where a queue keeps nothing. Reads queues, cancel_requests.
-- Locks: the running rows by (answer, place in it), skipping those that others hold; nobody but
-- rescue, delete and a curious human ever holds one. Cancel requests and the rows of jobs that are
-- not kept, skipping likewise. Then whatever ring takes. So it never waits for a row.
--
-- The fence: a row counts only where worker and batch are those of the claim. An attempt number
-- alone is not enough, since it can come back after a crash of the server lost an unflushed claim.
-- Why two forms of outcome: a job that simply succeeded is a number in a text array ("ok", "us"),
-- which the server reads in a tenth of the time of a JSON object; all else is an object in "rest".
-- Why LATERAL and ctid: joining the list of ids to running_jobs by a plan the server may choose was
-- quadratic in the batch (8,600 jobs a second at 500 instead of 82,000).
CREATE FUNCTION pgqueue.store_outcomes(
    worker_id bigint,
    answers json,
    at timestamptz,
    OUT refused bigint[],
    OUT again bigint[]
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_answer json;
    v_batch bigint;
    v_ok bigint[];
    v_us bigint[];
    v_rest json;
    v_ids bigint[];
    v_moved bigint[];
    v_ended bigint[];
    v_featured bigint[];
    v_features integer := 0;
    v_succeeded boolean := true;
    v_all boolean;
    v_some bigint[];
    v_bits integer;
    v_queues text[];
    v_soon boolean;
    v_parted bigint[];
    v_rated bigint[];
    v_limited boolean := EXISTS (
        SELECT FROM pgqueue.queues AS q WHERE q.max_running IS NOT NULL);
    -- Queues that keep what has succeeded for another time; jobs of the others need not ask.
    v_custom text[] := ARRAY(
        SELECT q.name FROM pgqueue.queues AS q WHERE q.retention_succeeded IS NOT NULL);
    v_cancels boolean := EXISTS (SELECT FROM pgqueue.cancel_requests);
BEGIN
    FOR v_answer IN SELECT a.value FROM json_array_elements(store_outcomes.answers) AS a LOOP
        v_batch := (v_answer ->> 'batch')::bigint;
        v_ok := (v_answer ->> 'ok')::bigint[];
        v_us := (v_answer ->> 'us')::bigint[];
        v_rest := v_answer -> 'rest';
        IF v_ok IS NULL AND v_rest IS NULL AND json_typeof(v_answer -> 'notes') = 'array' THEN
            PERFORM pgqueue.store_notes(store_outcomes.worker_id, v_batch, v_answer -> 'notes',
                store_outcomes.at);
        END IF;

        IF cardinality(v_ok) > 0 THEN
            WITH mine AS MATERIALIZED (
                SELECT r.*, o.us
                FROM unnest(v_ok, v_us) AS o (id, us)
                CROSS JOIN LATERAL (
                    SELECT k.ctid AS tid, k.*
                    FROM pgqueue.running_jobs AS k
                    WHERE k.job_id = o.id
                        AND k.worker_id = store_outcomes.worker_id
                        AND k.batch_no = v_batch
                    OFFSET 0
                    FOR UPDATE SKIP LOCKED
                ) AS r
            ),
            gone AS (
                DELETE FROM pgqueue.running_jobs AS k
                WHERE k.ctid = ANY (ARRAY(SELECT m.tid FROM mine AS m))
            ),
            finished AS (
                INSERT INTO pgqueue.finished_jobs (
                    job_id, state, attempt, lost, crashes, worker_id, started_at, finished_at,
                    keep_until
                )
                SELECT
                    m.job_id, 'succeeded', m.attempt, m.lost, m.crashes, m.worker_id,
                    store_outcomes.at - m.us * interval '1 microsecond', store_outcomes.at,
                    store_outcomes.at + CASE
                        WHEN m.queue = ANY (v_custom)
                        THEN pgqueue.retention(m.queue, 'succeeded', m.flags)
                        ELSE interval '168 h'
                    END
                FROM mine AS m
            )
            SELECT
                coalesce(array_agg(m.job_id), '{}'),
                array_agg(m.job_id) FILTER (WHERE m.flags > 3),
                coalesce(bit_or(m.flags), 0)
            INTO v_moved, v_some, v_bits
            FROM mine AS m;
            v_ended := v_ended || v_moved;
            v_featured := v_featured || v_some;
            v_features := v_features | v_bits;
            IF v_limited THEN
                PERFORM pgqueue.release_slots(v_moved, 'q', store_outcomes.at);
            END IF;
            IF cardinality(v_moved) < cardinality(v_ok) THEN
                SELECT store_outcomes.refused || l.refused, store_outcomes.again || l.again
                INTO store_outcomes.refused, store_outcomes.again
                FROM pgqueue.left_over(store_outcomes.worker_id, v_batch, v_ok, v_moved) AS l;
            END IF;
        END IF;

        IF json_array_length(v_rest) > 0 THEN
            WITH told AS MATERIALIZED (
                SELECT o.*
                FROM json_to_recordset(v_rest) AS o (
                    id bigint, state text, us bigint, result jsonb, delay float8,
                    priority smallint, reason text, kind text, message text, traceback text
                )
            ),
            mine AS MATERIALIZED (
                SELECT
                    r.*, t.state AS told, t.us, t.result, t.reason, t.kind, t.message, t.traceback,
                    coalesce(t.priority, r.priority) AS later_priority,
                    least(greatest(t.delay, 0), 3155760000) AS delay,
                    CASE
                        WHEN t.state IN ('succeeded', 'failed', 'cancelled') THEN t.state
                        WHEN v_cancels AND EXISTS (
                            SELECT FROM pgqueue.cancel_requests AS c WHERE c.job_id = r.job_id
                        ) THEN 'cancelled'
                        WHEN t.state = 'crashed' AND r.crashes >= 2 THEN 'failed'
                        WHEN t.state IN ('unstarted', 'interrupted') THEN 'ready'
                        ELSE 'scheduled'
                    END AS next
                FROM told AS t
                CROSS JOIN LATERAL (
                    SELECT k.ctid AS tid, k.*
                    FROM pgqueue.running_jobs AS k
                    WHERE k.job_id = t.id
                        AND k.worker_id = store_outcomes.worker_id
                        AND k.batch_no = v_batch
                    OFFSET 0
                    FOR UPDATE SKIP LOCKED
                ) AS r
            ),
            gone AS (
                DELETE FROM pgqueue.running_jobs AS k
                WHERE k.ctid = ANY (ARRAY(SELECT m.tid FROM mine AS m))
            ),
            errors AS (
                INSERT INTO pgqueue.job_errors (job_id, attempt, at, kind, message, traceback)
                SELECT
                    m.job_id, m.attempt, store_outcomes.at, m.kind, coalesce(m.message, ''),
                    m.traceback
                FROM mine AS m
                WHERE m.kind IS NOT NULL
            ),
            finished AS (
                INSERT INTO pgqueue.finished_jobs (
                    job_id, state, attempt, lost, crashes, worker_id, started_at, finished_at,
                    keep_until, result, error
                )
                SELECT
                    m.job_id, m.next,
                    m.attempt - (m.told IN ('unstarted', 'unknown_task'))::integer,
                    m.lost + (m.told IN ('crashed', 'interrupted', 'snoozed'))::integer,
                    m.crashes + (m.told = 'crashed')::integer,
                    m.worker_id, store_outcomes.at - m.us * interval '1 microsecond',
                    store_outcomes.at,
                    -- A result that others take is kept until their flow has ended (tidy).
                    CASE WHEN (m.flags & 1024) <> 0 AND m.next = 'succeeded' THEN 'infinity'
                        ELSE store_outcomes.at + pgqueue.retention(m.queue, m.next, m.flags) END,
                    CASE WHEN m.next = 'succeeded' THEN nullif(m.result, 'null') END,
                    CASE
                        WHEN m.next = 'succeeded' THEN NULL
                        WHEN m.told = 'crashed' AND m.next = 'failed' THEN
                            'crash_loop: ' || left(coalesce(m.message, ''), 500)
                        WHEN m.next = 'cancelled'
                            AND (m.told <> 'cancelled' OR m.reason IS NULL)
                        THEN coalesce(
                            (
                                SELECT 'cancelled: ' || c.reason
                                FROM pgqueue.cancel_requests AS c
                                WHERE c.job_id = m.job_id
                            ),
                            'cancelled'
                        )
                        ELSE coalesce(
                            m.kind || ': ' || left(split_part(m.message, E'\n', 1), 500), m.reason)
                    END
                FROM mine AS m
                WHERE m.next IN ('succeeded', 'failed', 'cancelled')
            ),
            later AS (
                INSERT INTO pgqueue.scheduled_jobs
                    (job_id, run_at, queue, priority, attempt, lost, crashes, flags, reason)
                SELECT
                    m.job_id,
                    store_outcomes.at + interval '1 s' * CASE m.told
                        WHEN 'crashed' THEN m.crashes + 1 + coalesce(m.delay, 0)
                        -- Doubles with the age of the job: 5 s, 10 s, 20 s … 5 min.
                        WHEN 'unknown_task' THEN greatest(5, least(300, extract(
                            epoch FROM store_outcomes.at - (
                                SELECT j.created_at FROM pgqueue.jobs AS j WHERE j.id = m.job_id
                            )
                        )))
                        ELSE coalesce(m.delay, 0)
                    END,
                    m.queue, m.later_priority,
                    m.attempt - (m.told = 'unknown_task')::integer,
                    m.lost + (m.told IN ('crashed', 'snoozed'))::integer,
                    m.crashes + (m.told = 'crashed')::integer,
                    m.flags, m.told
                FROM mine AS m
                WHERE m.next = 'scheduled'
                RETURNING run_at
            ),
            back AS (
                INSERT INTO pgqueue.ready_jobs
                    (queue, priority, seq, job_id, attempt, lost, crashes, flags)
                SELECT
                    m.queue, m.priority, m.job_id, m.job_id,
                    m.attempt - (m.told = 'unstarted')::integer,
                    m.lost + (m.told = 'interrupted')::integer,
                    m.crashes, m.flags
                FROM mine AS m
                WHERE m.next = 'ready'
                RETURNING queue
            )
            SELECT
                (SELECT coalesce(array_agg(m.job_id), '{}') FROM mine AS m),
                (SELECT array_agg(DISTINCT b.queue) FROM back AS b),
                (SELECT min(l.run_at) < store_outcomes.at + interval '2 s' FROM later AS l),
                (
                    SELECT array_agg(m.job_id)
                    FROM mine AS m
                    WHERE m.next = 'scheduled' AND (m.flags & 16) <> 0
                ),
                (
                    SELECT array_agg(m.job_id)
                    FROM mine AS m
                    WHERE m.next = 'ready' AND (m.flags & 64) <> 0
                ),
                e.ended, e.featured, e.features, e.succeeded
            INTO v_moved, v_queues, v_soon, v_parted, v_rated, v_ids, v_some, v_bits, v_all
            FROM (
                SELECT
                    array_agg(m.job_id) AS ended,
                    array_agg(m.job_id) FILTER (WHERE m.flags > 3) AS featured,
                    coalesce(bit_or(m.flags), 0) AS features,
                    coalesce(bool_and(m.next = 'succeeded'), true) AS succeeded
                FROM mine AS m
                WHERE m.next IN ('succeeded', 'failed', 'cancelled')
            ) AS e;
            v_ended := v_ended || v_ids;
            v_featured := v_featured || v_some;
            v_features := v_features | v_bits;
            v_succeeded := v_succeeded AND v_all;
            IF v_parted IS NOT NULL THEN
                -- A job that runs later does not hold its key.
                PERFORM pgqueue.release_slots(v_parted, 'k', store_outcomes.at);
            END IF;
            IF v_rated IS NOT NULL THEN
                -- It starts once more, which the rate of its key must permit; before the others.
                PERFORM pgqueue.hold_back(v_rated),
                    pgqueue.release_slots(v_rated, 'k', store_outcomes.at);
            END IF;
            IF v_limited THEN
                PERFORM pgqueue.release_slots(v_moved, 'q', store_outcomes.at);
            END IF;
            IF v_queues IS NOT NULL THEN
                PERFORM pgqueue.park_paused(v_queues, store_outcomes.at);
                PERFORM pgqueue.ring(v_queues);
            END IF;
            IF v_soon THEN
                PERFORM pgqueue.ring_leader();
            END IF;
            IF cardinality(v_moved) < json_array_length(v_rest) THEN
                v_ids := ARRAY(
                    SELECT (o.value ->> 'id')::bigint FROM json_array_elements(v_rest) AS o);
                SELECT store_outcomes.refused || l.refused, store_outcomes.again || l.again
                INTO store_outcomes.refused, store_outcomes.again
                FROM pgqueue.left_over(store_outcomes.worker_id, v_batch, v_ids, v_moved) AS l;
            END IF;
        END IF;
    END LOOP;

    -- Once for all of them, in a statement that starts after those above.
    SELECT s.awaited INTO v_some
    FROM pgqueue.settle(v_ended, v_featured, v_features, store_outcomes.at, v_succeeded) AS s;

    IF v_cancels THEN
        -- What somebody has locked is left to apply_cancels: no worker waits for it. So is the
        -- request for a job that goes on: it may have come after we looked.
        DELETE FROM pgqueue.cancel_requests AS c
        WHERE c.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM pgqueue.cancel_requests AS k
            WHERE k.job_id = ANY (v_ended)
            FOR UPDATE SKIP LOCKED
        ));
    END IF;
    IF v_custom <> '{}' THEN
        -- What somebody has locked is left to prune, and so is what somebody waits for, who could
        -- not read its result otherwise.
        DELETE FROM pgqueue.jobs AS j
        WHERE j.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM unnest(v_ended) AS i (id)
            CROSS JOIN LATERAL (
                SELECT f.job_id
                FROM pgqueue.finished_jobs AS f
                WHERE f.job_id = i.id AND f.keep_until <= store_outcomes.at
                OFFSET 0
            ) AS f
            CROSS JOIN LATERAL (
                SELECT k.ctid
                FROM pgqueue.jobs AS k
                WHERE k.id = f.job_id
                OFFSET 0
                FOR UPDATE SKIP LOCKED
            ) AS k
            WHERE i.id <> ALL (coalesce(v_some, '{}'))
        ));
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.store_outcomes(bigint, json, timestamptz) IS
'Write down what became of jobs a worker held. Internal: call pgqueue.work or pgqueue.finish.

Args: worker_id; answers: a JSON array of objects with batch (the batch_no of the claim), ok (text,
a bigint array of the jobs that succeeded with no result), us (text, an array of how many
microseconds each took) and rest: an array of objects with id, state (succeeded, failed, cancelled,
retry, snoozed, unknown_task, crashed, interrupted, unstarted), us, result, delay (seconds),
priority (for a later attempt), reason, kind, message, traceback; or, without ok and rest, notes,
see pgqueue.store_notes; at: the time it is.
Returns: refused: jobs that were not this worker''s any more; again: jobs whose row somebody else
holds just now.
Locks: the running rows, skipping those that others hold.';
