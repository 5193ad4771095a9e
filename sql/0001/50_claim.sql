-- Purpose: take up to max_jobs ready jobs of one queue for a worker, and build the batch's text.
-- Called by: dequeue and work only (they check the worker and set the plan settings).
-- Reads jobs; deletes from ready_jobs; writes running_jobs, finished_jobs (expired ones);
-- deletes from unique_keys, and writes key_takes (take_rates), where flags say so.
-- Locks: the rows it takes, in (priority, seq) order, skipping those that others hold.
--
-- How it is written, and why:
--   * One statement. MATERIALIZED picks exactly once: in `WHERE id IN (SELECT … LIMIT n FOR UPDATE
--     SKIP LOCKED)` a nested loop may run the inner part again (989 rows were taken with LIMIT 1).
--   * The floor. Rows leave ready_jobs at the low end of the index, and their dead entries stay
--     until no snapshot is older. A scan from the first seq walks them all: with a report's
--     snapshot open for 120,000 jobs a claim fell from 46,600 to 5,500 jobs a second; starting
--     above the last seq taken it stayed at 49,100. `priorities` and `floors` say, highest first,
--     where this worker stands; for each the index is entered at (priority, floor), and the gaps
--     between the known priorities are looked at too. The hint is never a promise: rows that
--     committed late lie below the floor, so the worker also scans from zero (both arrays empty)
--     about once a second and always before it sleeps.
--   * Two range conditions per known priority instead of one: a btree can start in the middle of
--     (priority DESC, seq) only where priority is compared for equality.
--   * DELETE by ctid of rows this statement has locked: no second index descent.
--   * The batch is one text, a line a job: the worker's supervisor passes it on unopened, and a row
--     a job costs 24 to 28 microseconds against 10 to 15. jsonb never prints a raw newline, so one
--     bad line cannot spoil its neighbours.
--   * `clock` is read when the rows are there, so not earlier than others let these jobs go: who
--     paused before would date their starts back, and the rate they count for would be exceeded.
--   * max_bytes stops the batch early, after at least one job; meta that is compressed counts as
--     1 MiB, and so do compressed arguments, and the results of others that a job takes.
--     The line is written for the jobs of the batch only: written for all that were picked, 500
--     jobs of 1 MiB were printed to take 16 of them.
CREATE FUNCTION pgqueue.claim(
    worker_id bigint,
    batch_no bigint,
    queue text,
    max_jobs integer,
    max_bytes bigint,
    priorities integer[],
    floors bigint[],
    at timestamptz,
    ticks boolean,
    OUT job_ids bigint[],
    OUT attempts integer[],
    OUT payload text,
    OUT seen jsonb,
    OUT taken integer,
    OUT cut boolean,
    OUT started_at timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_queue_json text := to_json(claim.queue)::text;
    v_expired bigint[];
    v_flags integer;
BEGIN
    WITH picked AS MATERIALIZED (
        SELECT r.tid, r.priority, r.seq, r.job_id, r.attempt, r.lost, r.crashes, r.flags
        FROM (
            SELECT
                g.priority,
                g.floor,
                coalesce(lead(g.priority) OVER (ORDER BY g.n), -32769) AS below
            FROM unnest(32768 || claim.priorities, 0 || claim.floors)
                WITH ORDINALITY AS g (priority, floor, n)
            ORDER BY g.n
        ) AS s
        CROSS JOIN LATERAL (
            SELECT *
            FROM (
                SELECT
                    k.ctid AS tid, k.priority, k.seq, k.job_id, k.attempt, k.lost, k.crashes,
                    k.flags
                FROM pgqueue.ready_jobs AS k
                WHERE k.queue = claim.queue AND k.priority = s.priority AND k.seq > s.floor
                ORDER BY k.priority DESC, k.seq
                FOR UPDATE SKIP LOCKED
                LIMIT claim.max_jobs
            ) AS known
            UNION ALL
            SELECT *
            FROM (
                SELECT
                    k.ctid AS tid, k.priority, k.seq, k.job_id, k.attempt, k.lost, k.crashes,
                    k.flags
                FROM pgqueue.ready_jobs AS k
                WHERE k.queue = claim.queue AND k.priority < s.priority AND k.priority > s.below
                ORDER BY k.priority DESC, k.seq
                FOR UPDATE SKIP LOCKED
                LIMIT claim.max_jobs
            ) AS gap
        ) AS r
        LIMIT claim.max_jobs
    ),
    sized AS (
        SELECT
            p.*,
            j.id,
            j.task,
            j.args,
            j.kwargs,
            j.expires_at,
            j.timeout,
            j.max_attempts,
            j.meta,
            j.group_id,
            j.after,
            j.results_as,
            sum(
                CASE
                    WHEN (p.flags & 2048) = 0
                        AND pg_column_compression(j.args) IS NULL
                        AND pg_column_compression(j.kwargs) IS NULL
                    THEN pg_column_size(j.args) + pg_column_size(j.kwargs)
                    ELSE 1048576
                END + CASE
                    WHEN (p.flags & 2) = 0 OR j.meta IS NULL THEN 0
                    WHEN pg_column_compression(j.meta) IS NULL THEN pg_column_size(j.meta)
                    ELSE 1048576
                END
            ) OVER (ORDER BY p.priority DESC, p.seq ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY p.priority DESC, p.seq ROWS UNBOUNDED PRECEDING) AS n
        FROM picked AS p
        LEFT JOIN LATERAL (
            SELECT j.* FROM pgqueue.jobs AS j WHERE j.id = p.job_id OFFSET 0
        ) AS j ON true
    ),
    batch AS MATERIALIZED (
        SELECT
            s.tid, s.priority, s.seq, s.job_id, s.attempt, s.lost, s.crashes, s.flags, s.id,
            CASE WHEN (s.flags & 1) = 1 AND s.expires_at <= claim.at THEN NULL ELSE
            concat(
                '[', s.job_id, ',', s.attempt + 1, ',', s.lost, ',', to_json(s.task), ',', s.args,
                ',', s.kwargs, ',', v_queue_json, ',', s.priority, ',',
                CASE WHEN (s.flags & 2306) = 0 THEN 'null'
                WHEN (s.flags & 2304) = 0 THEN json_build_object(
                    'timeout', extract(epoch FROM s.timeout)::float8,
                    'max_attempts', s.max_attempts,
                    'meta', s.meta
                )::text
                WHEN (s.flags & 2050) = 0 THEN concat('{"group_id":', s.group_id, '}')
                ELSE json_build_object(
                    'timeout', extract(epoch FROM s.timeout)::float8,
                    'max_attempts', s.max_attempts,
                    'meta', s.meta,
                    'group_id', s.group_id,
                    'results_as', s.results_as,
                    'results', CASE WHEN (s.flags & 2048) <> 0 THEN
                        pgqueue.parent_results(s.after)::json END
                )::text END,
                ']'
            ) END AS line
        FROM sized AS s
        WHERE s.n = 1 OR s.bytes <= claim.max_bytes
    ),
    clock AS MATERIALIZED (
        SELECT CASE WHEN claim.ticks THEN clock_timestamp() ELSE claim.at END AS now
        WHERE (SELECT count(*) FROM batch) >= 0
    ),
    gone AS (
        DELETE FROM pgqueue.ready_jobs AS r WHERE r.ctid = ANY (ARRAY(SELECT b.tid FROM batch AS b))
    ),
    running AS (
        INSERT INTO pgqueue.running_jobs
            (job_id, worker_id, batch_no, queue, priority, attempt, lost, crashes, flags,
            started_at)
        SELECT
            b.job_id, claim.worker_id, claim.batch_no, claim.queue, b.priority, b.attempt + 1,
            b.lost, b.crashes,
            -- 8 goes, and takes 4 along: the key is given back below.
            b.flags & ~((b.flags & 8) + (b.flags & 8) / 2), c.now
        FROM batch AS b
        CROSS JOIN clock AS c
        WHERE b.line IS NOT NULL AND b.id IS NOT NULL
    ),
    expired AS (
        INSERT INTO pgqueue.finished_jobs
            (job_id, state, attempt, lost, crashes, finished_at, keep_until, error)
        SELECT
            b.job_id, 'expired', b.attempt, b.lost, b.crashes, claim.at,
            claim.at + pgqueue.retention(claim.queue, 'expired'), 'expired before it could start'
        FROM batch AS b
        WHERE b.line IS NULL AND b.id IS NOT NULL
    )
    SELECT
        array_agg(b.job_id) FILTER (WHERE b.line IS NOT NULL AND b.id IS NOT NULL),
        array_agg(b.attempt + 1) FILTER (WHERE b.line IS NOT NULL AND b.id IS NOT NULL),
        string_agg(b.line, E'\n') FILTER (WHERE b.id IS NOT NULL),
        count(*),
        (
            SELECT jsonb_object_agg(t.priority, t.seq)
            FROM (SELECT c.priority, max(c.seq) AS seq FROM batch AS c GROUP BY c.priority) AS t
        ),
        count(*) < (SELECT count(*) FROM picked),
        array_agg(b.job_id) FILTER (WHERE b.line IS NULL AND b.id IS NOT NULL),
        bit_or(b.flags),
        (SELECT c.now FROM clock AS c)
    INTO
        claim.job_ids, claim.attempts, claim.payload, claim.taken, claim.seen, claim.cut,
        v_expired, v_flags, claim.started_at
    FROM batch AS b;
    IF (v_flags & 8) <> 0 THEN
        -- They are unique only while they wait.
        PERFORM pgqueue.release_unique_keys(
            ARRAY(
                SELECT u.job_id
                FROM unnest(claim.job_ids) AS i (id)
                CROSS JOIN LATERAL (
                    SELECT u.job_id
                    FROM pgqueue.unique_keys AS u
                    WHERE u.job_id = i.id AND u.while_waiting
                    OFFSET 0
                ) AS u
            ),
            claim.at
        );
    END IF;
    IF (v_flags & 64) <> 0 THEN
        PERFORM pgqueue.take_rates(claim.job_ids, claim.started_at);
    END IF;
    IF v_expired IS NOT NULL THEN
        PERFORM pgqueue.settle(v_expired, v_expired, -1, claim.at);
    END IF;
END
$$;

COMMENT ON FUNCTION pgqueue.claim(
    bigint, bigint, text, integer, bigint, integer[], bigint[], timestamptz, boolean
) IS
'Take ready jobs of one queue for a worker. Internal: call pgqueue.dequeue or pgqueue.work.

Args: worker_id, batch_no: what a finish must name later; queue; max_jobs; max_bytes: bound of the
payload; priorities, floors: where the worker stands, highest priority first, or two empty arrays
for a scan from zero; at: the time it is; ticks: whether the clock is read again for started_at.
Returns: job_ids and attempts in the order of the payload; payload: one line a job,
[id, attempt, lost, task, args, kwargs, queue, priority, options or null]; seen: the last seq taken
of each priority; taken: rows taken, expired ones included; cut: whether max_bytes ended the batch;
started_at: of these jobs.
Locks: ready_jobs rows it takes.';
