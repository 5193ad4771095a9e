-- Purpose: write down the last outcomes and take the next batch: one round trip, one commit.
-- Called by: the worker's supervisor, and by dequeue.
-- Moves jobs: running_jobs to finished_jobs, scheduled_jobs, ready_jobs (store_outcomes), then
-- ready_jobs to running_jobs (claim), after blocked_jobs to ready_jobs for keys on offer (admit)
-- and, one of each fair key in turn, for as many jobs as it takes (take_turns).
-- Reads workers, queues, offers; for queues with limits writes slots, rate_takes and offers.
-- Locks: advisory (70677105, worker) exclusive until the end of the transaction, so that held() and
-- rescue() never run beside a late work(); then those of store_outcomes, of admit, and of claim;
-- for a queue with limits advisory (70677107, hash of the queue), tried.
-- Errors: PQ005.
-- Why a fence: a call may still be on its way, in a proxy or in the kernel, when its connection is
-- lost and held() has answered on another. What it would take nobody would know of.
-- Why synchronous_commit is switched off where nothing is finished: a claim that a crash of the
-- server loses is a job that is ready again. A SET clause would end before the commit and do
-- nothing.
-- Why a full scan takes a hint as well: what it does not meet, a priority or two whose jobs are all
-- taken, is known only from before. With a snapshot held open, three priorities and 120,000 jobs,
-- forgetting it at each full scan cost half the rate (from 58,000 to 27,000 jobs a second): every
-- call walked the dead entries of the priorities above.
CREATE FUNCTION pgqueue.work(
    worker_id bigint,
    batch_no bigint,
    queues text[],
    max_jobs integer,
    outcomes text DEFAULT NULL,
    hint text DEFAULT NULL,
    max_bytes bigint DEFAULT 16777216,
    full_scan boolean DEFAULT false,
    at timestamptz DEFAULT NULL,
    OUT job_ids bigint[],
    OUT attempts integer[],
    OUT payload text,
    OUT hint_out text,
    OUT refused bigint[],
    OUT again bigint[],
    OUT drained boolean
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_hint jsonb := work.hint::jsonb;
    v_full boolean := work.full_scan OR work.hint IS NULL;
    v_known jsonb := '{}';
    v_queue text;
    v_queues text[];
    v_paused text[];
    v_limited text[];
    v_offered boolean;
    v_keys text[];
    v_admitted text[];
    v_most integer;
    v_fair boolean;
    v_left integer := work.max_jobs;
    v_bytes bigint := work.max_bytes;
    v_priorities integer[];
    v_floors bigint[];
    v_claim record;
    v_cut boolean := false;
    v_fence bigint;
    v_ticks boolean := work.at IS NULL;
BEGIN
    PERFORM pg_advisory_xact_lock(70677105, (work.worker_id % 2147483647)::integer);
    work.at := coalesce(work.at, clock_timestamp());
    SELECT w.fence INTO v_fence FROM pgqueue.workers AS w WHERE w.id = work.worker_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ005',
            MESSAGE = format('worker %s is not registered; it may have been given up as lost',
                work.worker_id),
            HINT = 'stop what it runs, and register again with pgqueue.register_worker';
    END IF;
    IF work.batch_no <= v_fence THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ005',
            MESSAGE = format('batch %s of worker %s comes too late: the worker has said that it '
                'does not wait for it any more', work.batch_no, work.worker_id),
            HINT = 'use a batch number that was never used before';
    END IF;
    IF work.outcomes IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSE
        SELECT s.refused, s.again INTO work.refused, work.again
        FROM pgqueue.store_outcomes(work.worker_id, work.outcomes::json, work.at) AS s;
    END IF;
    IF v_left <= 0 THEN
        work.hint_out := work.hint;
        RETURN;
    END IF;

    SELECT
        coalesce(array_agg(q.name) FILTER (
            WHERE q.paused AND (q.resume_at IS NULL OR q.resume_at > work.at)), '{}'),
        coalesce(array_agg(q.name) FILTER (
            WHERE q.max_running IS NOT NULL OR q.rate_jobs IS NOT NULL), '{}')
    INTO v_paused, v_limited
    FROM pgqueue.queues AS q;
    v_offered := EXISTS (SELECT FROM pgqueue.offers AS o WHERE o.at IS NULL);
    v_fair := EXISTS (SELECT FROM pgqueue.blocked_jobs AS b WHERE b.reason = 'fair');
    IF v_offered THEN
        -- What is offered together is taken together, and left one by one where it must be; of what
        -- is offered one by one only those go whose lock is ours.
        DELETE FROM pgqueue.offers AS o
        WHERE o.ctid = ANY (ARRAY(
            SELECT k.ctid
            FROM pgqueue.offers AS k
            WHERE k.at IS NULL AND k.key IS NULL
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING o.keys INTO v_keys;
        IF FOUND THEN
            v_admitted := pgqueue.admit(v_keys, work.at);
        END IF;
        v_keys := ARRAY(
            SELECT DISTINCT o.key
            FROM (
                SELECT k.key
                FROM pgqueue.offers AS k
                WHERE k.at IS NULL AND k.key IS NOT NULL
                LIMIT 128
            ) AS o
            LIMIT 128
        );
        IF v_keys <> '{}' THEN
            v_admitted := v_admitted || pgqueue.admit(v_keys, work.at, true);
        END IF;
        v_admitted := ARRAY(SELECT DISTINCT a.queue FROM unnest(v_admitted) AS a (queue));
    END IF;
    -- "*" stands for the queues not named, in random order, so that none is always served first.
    -- In a full scan they are read from the index, one descent a queue; else they are those of the
    -- hint.
    IF '*' = ANY (work.queues) THEN
        IF v_full THEN
            WITH RECURSIVE found AS (
                (SELECT r.queue FROM pgqueue.ready_jobs AS r ORDER BY r.queue LIMIT 1)
                UNION ALL
                SELECT (
                    SELECT r.queue
                    FROM pgqueue.ready_jobs AS r
                    WHERE r.queue > f.queue
                    ORDER BY r.queue
                    LIMIT 1
                )
                FROM found AS f
                WHERE f.queue IS NOT NULL
            )
            SELECT array_agg(f.queue ORDER BY random()) INTO v_queues
            FROM found AS f
            WHERE f.queue IS NOT NULL;
        ELSE
            SELECT array_agg(k.queue ORDER BY random()) INTO v_queues
            FROM (
                SELECT k.queue FROM jsonb_object_keys(v_hint) AS k (queue)
                UNION
                SELECT a.queue FROM unnest(v_admitted) AS a (queue)
            ) AS k;
        END IF;
        IF v_fair THEN
            WITH RECURSIVE found AS (
                (
                    SELECT b.queue
                    FROM pgqueue.blocked_jobs AS b
                    WHERE b.reason = 'fair'
                    ORDER BY b.queue
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT b.queue
                    FROM pgqueue.blocked_jobs AS b
                    WHERE b.reason = 'fair' AND b.queue > f.queue
                    ORDER BY b.queue
                    LIMIT 1
                )
                FROM found AS f
                WHERE f.queue IS NOT NULL
            )
            SELECT array_agg(a.queue ORDER BY random()) INTO v_queues
            FROM (
                SELECT k.queue FROM unnest(v_queues) AS k (queue)
                UNION
                SELECT f.queue FROM found AS f WHERE f.queue IS NOT NULL
            ) AS a;
        END IF;
        v_queues := ARRAY(
            SELECT q.name
            FROM (
                SELECT n.name, n.place, 0 AS inner_place
                FROM unnest(work.queues) WITH ORDINALITY AS n (name, place)
                WHERE n.name <> '*'
                UNION ALL
                SELECT o.name, array_position(work.queues, '*'), o.place
                FROM unnest(v_queues) WITH ORDINALITY AS o (name, place)
                WHERE o.name <> ALL (work.queues)
            ) AS q
            ORDER BY q.place, q.inner_place
        );
    ELSE
        v_queues := work.queues;
    END IF;
    IF v_full AND v_hint IS NOT NULL THEN
        -- A hint that only grows would be read anew in every call.
        SELECT jsonb_object_agg(q.name, k.known) INTO v_hint
        FROM unnest(v_queues) AS q (name)
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(p.key, p.value) AS known
            FROM (
                SELECT e.key, e.value
                FROM jsonb_each(v_hint -> q.name) AS e
                ORDER BY e.key::integer DESC
                LIMIT 32
            ) AS p
        ) AS k
        WHERE k.known IS NOT NULL;
    END IF;

    work.job_ids := '{}';
    work.attempts := '{}';
    FOREACH v_queue IN ARRAY v_queues LOOP
        IF v_queue = ANY (v_paused) THEN
            CONTINUE;
        END IF;
        v_most := v_left;
        IF v_queue = ANY (v_limited) THEN
            -- Who counts now must see what the others have taken; where one of them is at it, the
            -- worker looks again a little later, since pgqueue.waiting says that there is work.
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(
                70677107, (hashtextextended(v_queue, 0) & 2147483647)::integer);
            v_most := least(v_left, greatest(0, pgqueue.queue_room(v_queue, work.at)));
            IF v_most = 0 THEN
                PERFORM pgqueue.rest(v_queue, work.at);
                CONTINUE;
            END IF;
        END IF;
        IF v_fair THEN
            -- No more than this call takes: what is ready keeps its place.
            PERFORM pgqueue.take_turns(v_queue, v_most - (
                SELECT count(*)::integer
                FROM (
                    SELECT FROM pgqueue.ready_jobs AS r WHERE r.queue = v_queue LIMIT v_most
                ) AS r
            ));
        END IF;
        SELECT
            coalesce(array_agg(h.priority ORDER BY h.priority DESC), '{}'),
            coalesce(array_agg(h.floor ORDER BY h.priority DESC), '{}')
        INTO v_priorities, v_floors
        FROM (
            SELECT e.key::integer AS priority, e.value::bigint AS floor
            FROM jsonb_each_text(CASE WHEN NOT v_full THEN v_hint -> v_queue END) AS e
            ORDER BY 1 DESC
            LIMIT 32
        ) AS h;
        SELECT c.* INTO v_claim
        FROM pgqueue.claim(work.worker_id, work.batch_no, v_queue, v_most, v_bytes,
            v_priorities, v_floors, work.at, v_ticks) AS c;
        IF v_claim.taken > 0 THEN
            v_known := v_known || jsonb_build_object(
                v_queue, coalesce(v_hint -> v_queue, '{}') || v_claim.seen);
            IF v_claim.job_ids IS NOT NULL THEN
                work.job_ids := work.job_ids || v_claim.job_ids;
                work.attempts := work.attempts || v_claim.attempts;
                work.payload := concat_ws(E'\n', work.payload, v_claim.payload);
                v_bytes := v_bytes - octet_length(v_claim.payload);
                IF v_queue = ANY (v_limited) THEN
                    PERFORM pgqueue.take_slots(v_queue, v_claim.job_ids, v_claim.started_at);
                    IF v_most < v_left THEN
                        PERFORM pgqueue.rest(v_queue, work.at);
                    END IF;
                END IF;
            END IF;
            v_left := v_left - v_claim.taken;
            v_cut := v_claim.cut OR v_bytes <= 0;
            EXIT WHEN v_left <= 0 OR v_cut;
        END IF;
    END LOOP;
    IF v_admitted <> '{}' AND (v_left <= 0 OR v_cut OR NOT v_queues @> v_admitted) THEN
        PERFORM pgqueue.ring(v_admitted);
    END IF;
    work.hint_out := (coalesce(v_hint, '{}') || v_known)::text;
    work.drained := v_left > 0 AND NOT v_cut;
END
$$;

COMMENT ON FUNCTION pgqueue.work(
    bigint, bigint, text[], integer, text, text, bigint, boolean, timestamptz
) IS
'Store the outcomes of finished jobs and take the next batch, in one transaction.

Args: worker_id: from pgqueue.register_worker; batch_no: a number of the worker''s own, never used
before, that the outcomes of this batch will name; queues: in order of preference, "*" for all the
others; max_jobs: 0 only stores; outcomes: JSON array of answers, see pgqueue.store_outcomes, or
null; hint: the last hint_out, or null for none; max_bytes: bound of the payload; full_scan: look
from zero all the same (once a second, after a ring, and before sleeping), as without a hint; at:
the time it is, null for the clock''s, read again when it comes to taking jobs.
Returns: job_ids, attempts and payload as pgqueue.claim, all queues together; hint_out: for the next
call; refused: jobs of the outcomes that were not the worker''s any more; again: jobs whose row
somebody else holds just now, whose outcome must be sent again; drained: nothing more was to be had
from where the scan began.
Errors: PQ005 when the worker is not registered (any more), or the batch_no is not above the fence
it has given to pgqueue.held.
Locks: advisory (70677105, worker) until the end of the transaction.';
