-- Purpose: let the first jobs of concurrency keys that have a free slot go on to be ready.
-- Called by: work, for keys on offer; release_slots, for the slots that were given back; promote,
-- for keys whose rate permits jobs again.
-- Moves blocked_jobs to ready_jobs; writes slots; deletes from offers, or writes them where more is
-- to be done later; sums up key_takes. Reads jobs, key_limits, queues.
-- Locks: advisory (70677106, hash of the key) until the end of the transaction, tried, so that two
-- do not count the same free slot; the rows it moves, by key, priority and seq, skipping those that
-- others hold. So it waits for nobody.
--
-- Why nothing is lost: a key that has a line has an offer, or all its slots are taken. Whoever adds
-- to the line leaves an offer. An offer is deleted by who holds the key's lock, in a statement
-- before the one that counts, so that the line and the slots are those of after the offer. Who
-- gives back a slot admits the next one himself, or leaves an offer where he does not get the lock:
-- the other one may have counted before. He leaves it even where he sees one: that may be the one
-- that the other has deleted and not committed. Only who came for an offer leaves it as it is; who
-- has taken a row that offers many keys leaves an offer for each whose lock he did not get.
-- Why a rate is never exceeded: a job counts for it from the moment it is ready ("r:" in slots) and
-- from its start on for the length of the period (key_takes), and only as many go on as leave the
-- sum at the rate. In any stretch of that length start only some that were counted together when
-- the last one of them went on. A key whose rate is used up has an offer for later.
-- Why at most 1000 of a key at once: the rest of a line of a million goes on with the next call.
-- Why jobs of paused queues are passed over: they would keep the slot for as long as the pause.
-- Why the keys in the order given, not sorted: theirs is that of their jobs, so that one look-up
-- after the other meets the same pages; in the order of a hash they took half as long again.
-- Why the job itself is read only where a flag says so, and the limits of keys only where there are
-- any: most keys run one job at a time by saying nothing.
-- Why no bitmaps and no sorts: a table that was small when it was analysed is not worth its index
-- to the planner, and it would read all lines for each key.
-- Why at most 128 locks: they stand in a table of the server's that all sessions share.
CREATE FUNCTION pgqueue.admit(
    keys text[],
    at timestamptz,
    offered boolean DEFAULT false,
    OUT queues text[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_some text[] := keys[1:128];
    v_mine text[] := ARRAY(
        SELECT k.key
        FROM unnest(v_some) AS k (key)
        WHERE pg_try_advisory_xact_lock(
            70677106, (hashtextextended(k.key, 0) & 2147483647)::integer)
    );
    v_paused text[] := ARRAY(
        SELECT q.name
        FROM pgqueue.queues AS q
        WHERE q.paused AND (q.resume_at IS NULL OR q.resume_at > admit.at)
    );
    -- Hardly ever is there any.
    v_limits boolean := EXISTS (SELECT FROM pgqueue.key_limits);
    v_again text[];
    v_later text[];
BEGIN
    DELETE FROM pgqueue.offers AS o WHERE o.key = ANY (v_mine) AND o.at IS NULL;
    WITH lines AS MATERIALIZED (
        SELECT
            k.key, h.tid, m.rate,
            CASE WHEN m.rate IS NOT NULL THEN
                pgqueue.rate_jobs(m.rate)
                - (SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'r:' || k.key)
                - (
                    SELECT coalesce(sum(t.n), 0)
                    FROM pgqueue.key_takes AS t
                    WHERE t.key = k.key AND t.until > admit.at
                )
            END AS permitted,
            m.max_running - CASE WHEN m.max_running IS NOT NULL THEN
                (SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'k:' || k.key)
            END AS free
        FROM unnest(v_mine) AS k (key)
        CROSS JOIN LATERAL (
            SELECT b.ctid AS tid, b.job_id, b.flags
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'concurrency' AND b.key = k.key AND b.queue <> ALL (v_paused)
            ORDER BY b.priority DESC, b.seq
            LIMIT 1
        ) AS h
        LEFT JOIN LATERAL (
            SELECT l.max_running, l.rate
            FROM pgqueue.key_limits AS l
            WHERE v_limits AND l.key = k.key
            OFFSET 0
        ) AS l ON true
        LEFT JOIN LATERAL (
            SELECT j.max_running, j.rate
            FROM pgqueue.jobs AS j
            WHERE (h.flags & 128) <> 0 AND j.id = h.job_id
            OFFSET 0
        ) AS j ON true
        CROSS JOIN LATERAL (
            SELECT
                coalesce(l.rate, j.rate) AS rate,
                coalesce(
                    l.max_running, j.max_running, CASE WHEN j.rate IS NULL THEN 1 END
                ) AS max_running
            OFFSET 0
        ) AS m
    ),
    first AS MATERIALIZED (
        -- Mostly one job may go on, the one that was just read.
        SELECT b.*, l.rate
        FROM lines AS l
        CROSS JOIN LATERAL (
            SELECT b.ctid AS tid, b.* FROM pgqueue.blocked_jobs AS b WHERE b.ctid = l.tid
            FOR UPDATE SKIP LOCKED
        ) AS b
        WHERE least(l.free, l.permitted) = 1
    ),
    picked AS MATERIALIZED (
        SELECT f.* FROM first AS f
        UNION ALL
        SELECT b.*, l.rate
        FROM lines AS l
        CROSS JOIN LATERAL (
            SELECT b.ctid AS tid, b.*
            FROM pgqueue.blocked_jobs AS b
            WHERE b.reason = 'concurrency' AND b.key = l.key AND b.queue <> ALL (v_paused)
            ORDER BY b.priority DESC, b.seq
            LIMIT least(l.free, l.permitted, 1000)
            FOR UPDATE SKIP LOCKED
        ) AS b
        -- Also where somebody holds the first: he may do so for hours.
        WHERE least(l.free, l.permitted) > 1
            OR (least(l.free, l.permitted) = 1 AND l.key NOT IN (SELECT f.key FROM first AS f))
    ),
    gone AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE b.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))
    ),
    ready AS (
        INSERT INTO pgqueue.ready_jobs
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            p.queue, p.priority, nextval('pgqueue.jobs_id_seq'), p.job_id, p.attempt, p.lost,
            p.crashes, (p.flags & ~64) | CASE WHEN p.rate IS NULL THEN 0 ELSE 64 END
        FROM picked AS p
    ),
    taken AS (
        INSERT INTO pgqueue.slots (key, job_id)
        SELECT 'k:' || p.key, p.job_id FROM picked AS p
        UNION ALL
        SELECT 'r:' || p.key, p.job_id FROM picked AS p WHERE p.rate IS NOT NULL
    )
    SELECT
        (SELECT array_agg(q.queue) FROM (SELECT DISTINCT p.queue FROM picked AS p) AS q),
        -- Where somebody holds the row of a job that could have gone on.
        (
            SELECT array_agg(l.key)
            FROM lines AS l
            WHERE least(l.free, l.permitted) > 0
                -- Hashed lists: comparing each with each job picked is quadratic.
                AND (l.key, least(l.free, l.permitted))
                    NOT IN (SELECT p.key, count(*) FROM picked AS p GROUP BY p.key)
                AND EXISTS (
                    SELECT
                    FROM pgqueue.blocked_jobs AS b
                    WHERE b.reason = 'concurrency' AND b.key = l.key
                        AND b.queue <> ALL (v_paused)
                        AND b.job_id NOT IN (SELECT p.job_id FROM picked AS p)
                )
        ),
        -- Where the rate is what holds them back; a look too many does no harm.
        (
            SELECT array_agg(l.key)
            FROM lines AS l
            WHERE l.rate IS NOT NULL AND coalesce(l.permitted <= l.free, true)
                AND l.permitted <= 1000
        )
    INTO admit.queues, v_again, v_later;
    IF v_later IS NOT NULL THEN
        PERFORM pgqueue.rest_keys(v_later, admit.at);
    END IF;
    IF v_again IS NOT NULL THEN
        INSERT INTO pgqueue.offers (key) SELECT k.key FROM unnest(v_again) AS k (key);
    END IF;
    IF NOT admit.offered AND cardinality(v_mine) < cardinality(keys) THEN
        INSERT INTO pgqueue.offers (key)
        SELECT k.key FROM unnest(keys) AS k (key) WHERE k.key <> ALL (v_mine);
        -- Who has the lock may look whether there is more to do before this commits, and sleep.
        admit.queues := ARRAY(
            SELECT q.name FROM unnest(admit.queues) AS q (name)
            UNION
            SELECT h.queue
            FROM unnest(keys) AS k (key)
            CROSS JOIN LATERAL (
                SELECT b.queue
                FROM pgqueue.blocked_jobs AS b
                WHERE b.reason = 'concurrency' AND b.key = k.key
                ORDER BY b.priority DESC, b.seq
                LIMIT 1
            ) AS h
            WHERE k.key <> ALL (v_mine)
        );
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.admit(text[], timestamptz, boolean) IS
'Let the first jobs of concurrency keys that have a free slot go on to be ready. Internal.

Args: keys: distinct ones; at: the time it is; offered: they were taken from offers, so that these
stay for those whose lock somebody else has; else they are left for them.
Returns: the queues that got ready jobs, or have a line that was left to others; the caller rings
them.
Locks: advisory (70677106, hash of the key) until the end of the transaction, tried.';
