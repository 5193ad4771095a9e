-- Purpose: count ends of jobs for those that run after them, and let go, end or leave waiting each
-- of these.
-- Called by: follow, for what a batch has ended; advance, for what could not be counted before.
-- Moves blocked_jobs to ready_jobs, scheduled_jobs and finished_jobs; writes job_waits and
-- wait_deltas. Reads job_dependencies, jobs.
-- Locks: rows of job_waits and then of blocked_jobs, by job id, skipping those that others hold; so
-- it never waits. What it cannot lock it leaves in wait_deltas, and asks the leader to look.
--
-- Why nobody is forgotten: a job is let go under the lock of its row of job_waits, by whoever finds
-- that nothing remains. Of two who end the last two jobs that it waits for at the same time, one
-- gets the lock and one leaves a delta, which the leader counts once both have committed.
-- Why lock and change in two statements: a row that was changed while the lock was taken is not in
-- the snapshot of the statement that took it.
-- Why nothing is locked where the transaction has one snapshot for all its statements (REPEATABLE
-- READ): a row that was changed since then would fail it, and with it what the caller has done.
-- Why the doomed are found all at once: a chain of 10,000 whose first job fails would otherwise
-- need 10,000 rounds.
CREATE FUNCTION pgqueue.apply_waits(
    children bigint[],
    ended integer[],
    failed integer[],
    doomed boolean[],
    at timestamptz,
    quiet boolean DEFAULT false,
    OUT over bigint[],
    OUT features integer
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_held bigint[];
    v_queues text[];
    v_soon boolean;
    v_doomed bigint[];
    v_skipped bigint[];
    v_keyed bigint[];
BEGIN
    SELECT coalesce(array_agg(h.job_id), '{}') INTO v_held
    FROM (
        SELECT w.job_id
        FROM (SELECT c.id FROM unnest(apply_waits.children) AS c (id) ORDER BY c.id) AS c
        CROSS JOIN LATERAL (
            SELECT k.job_id FROM pgqueue.job_waits AS k WHERE k.job_id = c.id
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS w
        CROSS JOIN LATERAL (
            SELECT k.job_id FROM pgqueue.blocked_jobs AS k WHERE k.job_id = c.id
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS b
        WHERE current_setting('transaction_isolation') LIKE 'read%'
    ) AS h;
    WITH told AS MATERIALIZED (
        -- In the target list, where it stays a hashed look-up: a join of two arrays may be planned
        -- as a loop in a loop.
        SELECT t.*, t.child_id IN (SELECT h.id FROM unnest(v_held) AS h (id)) AS is_held
        FROM unnest(apply_waits.children, apply_waits.ended, apply_waits.failed,
            apply_waits.doomed) AS t (child_id, ended, failed, doomed)
    ),
    left_for_later AS (
        INSERT INTO pgqueue.wait_deltas (child_id, ended, failed, doomed)
        SELECT t.child_id, t.ended, t.failed, t.doomed
        FROM told AS t
        WHERE NOT t.is_held
            AND EXISTS (SELECT FROM pgqueue.job_waits AS w WHERE w.job_id = t.child_id)
        RETURNING child_id
    ),
    decided AS MATERIALIZED (
        SELECT
            t.child_id, w.tid, b.tid AS blocked_tid, b.queue, b.priority, b.attempt,
            b.lost, b.crashes, b.flags, w.remaining - t.ended AS remaining,
            w.failed + t.failed AS failed,
            CASE
                WHEN w.run_if = 'succeeded' AND t.doomed THEN
                    CASE WHEN t.failed + w.failed > 0 THEN 'doomed' ELSE 'skipped' END
                WHEN w.remaining > t.ended THEN 'waits'
                WHEN w.run_if = 'failed' AND t.failed + w.failed = 0 THEN 'skipped'
                ELSE 'goes'
            END AS fate
        FROM told AS t
        CROSS JOIN LATERAL (
            SELECT k.ctid AS tid, k.* FROM pgqueue.job_waits AS k
            WHERE k.job_id = t.child_id
            OFFSET 0
        ) AS w
        CROSS JOIN LATERAL (
            SELECT k.ctid AS tid, k.* FROM pgqueue.blocked_jobs AS k
            WHERE k.job_id = t.child_id
            OFFSET 0
        ) AS b
        WHERE t.is_held
    ),
    counted AS (
        UPDATE pgqueue.job_waits AS w
        SET remaining = d.remaining, failed = d.failed
        FROM decided AS d
        WHERE w.job_id = d.child_id AND d.fate = 'waits'
    ),
    waited AS (
        DELETE FROM pgqueue.job_waits AS w
        WHERE w.ctid = ANY (ARRAY(SELECT d.tid FROM decided AS d WHERE d.fate = 'goes'))
    ),
    unblocked AS (
        DELETE FROM pgqueue.blocked_jobs AS b
        WHERE b.ctid = ANY (ARRAY(SELECT d.blocked_tid FROM decided AS d WHERE d.fate = 'goes'))
    ),
    free AS MATERIALIZED (
        SELECT d.*, j.run_at
        FROM decided AS d
        LEFT JOIN LATERAL (
            SELECT j.run_at FROM pgqueue.jobs AS j
            WHERE (d.flags & 8192) <> 0 AND j.id = d.child_id
            OFFSET 0
        ) AS j ON true
        WHERE d.fate = 'goes'
        ORDER BY d.child_id
    ),
    ready AS (
        INSERT INTO pgqueue.ready_jobs
            (queue, priority, seq, job_id, attempt, lost, crashes, flags)
        SELECT
            f.queue, f.priority, nextval('pgqueue.jobs_id_seq'), f.child_id, f.attempt, f.lost,
            f.crashes, f.flags
        FROM free AS f
        WHERE f.run_at IS NULL OR f.run_at <= apply_waits.at
        RETURNING queue
    ),
    later AS (
        INSERT INTO pgqueue.scheduled_jobs
            (job_id, run_at, queue, priority, attempt, lost, crashes, flags)
        SELECT
            f.child_id, f.run_at, f.queue, f.priority, f.attempt, f.lost, f.crashes, f.flags
        FROM free AS f
        WHERE f.run_at > apply_waits.at
        RETURNING run_at
    )
    SELECT
        (SELECT array_agg(DISTINCT r.queue) FROM ready AS r),
        (SELECT min(l.run_at) < apply_waits.at + interval '2 s' FROM later AS l)
            OR (NOT apply_waits.quiet AND EXISTS (SELECT FROM left_for_later)),
        (SELECT array_agg(d.child_id) FROM decided AS d WHERE d.fate = 'doomed'),
        (SELECT array_agg(d.child_id) FROM decided AS d WHERE d.fate = 'skipped'),
        (SELECT array_agg(f.child_id) FROM free AS f WHERE (f.flags & 48) <> 0)
    INTO v_queues, v_soon, v_doomed, v_skipped, v_keyed;
    IF v_keyed IS NOT NULL THEN
        PERFORM pgqueue.hold_back(v_keyed);
    END IF;
    PERFORM pgqueue.ring(v_queues);
    IF v_soon THEN
        PERFORM pgqueue.ring_leader();
    END IF;
    IF v_doomed IS NULL AND v_skipped IS NULL THEN
        RETURN;
    END IF;

    -- Those behind them that run only if all before succeed will never run either.
    WITH RECURSIVE lost (id, skipped) AS (
        SELECT d.id, d.skipped
        FROM (
            SELECT d.id, false FROM unnest(v_doomed) AS d (id)
            UNION ALL
            SELECT d.id, true FROM unnest(v_skipped) AS d (id)
        ) AS d (id, skipped)
        UNION
        SELECT e.child_id, l.skipped
        FROM lost AS l
        CROSS JOIN LATERAL (
            SELECT d.child_id FROM pgqueue.job_dependencies AS d WHERE d.parent_id = l.id
            OFFSET 0
        ) AS e
        CROSS JOIN LATERAL (
            SELECT FROM pgqueue.job_waits AS w
            WHERE w.job_id = e.child_id AND w.run_if = 'succeeded'
            OFFSET 0
        ) AS w
    )
    SELECT array_agg(l.id ORDER BY l.id), array_agg(l.id) FILTER (WHERE l.skipped)
    INTO v_doomed, v_skipped
    FROM (SELECT l.id, bool_and(l.skipped) AS skipped FROM lost AS l GROUP BY l.id) AS l;
    SELECT coalesce(array_agg(h.job_id), '{}') INTO v_held
    FROM (
        SELECT w.job_id
        FROM unnest(v_doomed) AS c (id)
        CROSS JOIN LATERAL (
            SELECT k.job_id FROM pgqueue.job_waits AS k WHERE k.job_id = c.id
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS w
        CROSS JOIN LATERAL (
            SELECT k.job_id FROM pgqueue.blocked_jobs AS k WHERE k.job_id = c.id
            OFFSET 0
            FOR UPDATE SKIP LOCKED
        ) AS b
    ) AS h;
    WITH waited AS (
        DELETE FROM pgqueue.job_waits AS w WHERE w.job_id = ANY (v_held)
    ),
    unblocked AS (
        DELETE FROM pgqueue.blocked_jobs AS b WHERE b.job_id = ANY (v_held) RETURNING b.*
    ),
    finished AS (
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
        SELECT
            u.job_id, 'cancelled', u.attempt, u.lost, u.crashes, apply_waits.at,
            CASE WHEN (u.flags & 1024) <> 0 THEN 'infinity'
                ELSE apply_waits.at + pgqueue.retention(u.queue, 'cancelled', u.flags) END,
            CASE WHEN u.job_id IN (SELECT s.id FROM unnest(v_skipped) AS s (id))
                THEN 'skipped: it runs only if a job before it fails, or after one that was skipped'
                ELSE 'cancelled: a job before it did not succeed' END
        FROM unblocked AS u
    )
    SELECT array_agg(u.job_id ORDER BY u.job_id), bit_or(u.flags)
    INTO apply_waits.over, apply_waits.features
    FROM unblocked AS u;
END
$$;

COMMENT ON FUNCTION pgqueue.apply_waits(
    bigint[], integer[], integer[], boolean[], timestamptz, boolean
) IS
'Count ends of jobs for those that run after them, and let these go where nothing remains. Internal.

Args: children: those that run after, each once; ended: how many of the jobs before it
did; failed: how many of them failed, expired or were cancelled; doomed: whether any did not
succeed; at: the time it is; quiet: the caller is the leader, who looks again a second later, so
that what was left for later does not wake it at once.
Returns: over: jobs that end since they will never run, or are not needed; features: their flags.
Locks: rows of job_waits and blocked_jobs, skipping those that others hold.';
