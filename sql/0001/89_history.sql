-- Purpose: what became of jobs in the last minutes, hours or days, for charts.
-- Called by: the dashboard of Django's admin, people. Reads finished_jobs, queues, jobs; locks
-- nothing. Errors: PQ004.
-- Why by keep_until: an index on finished_at would cost every finish 0.7 microseconds and 66 bytes
-- of WAL. keep_until is finished_at and the retention of the job's queue, of which there are few
-- values, so for each of these the jobs that ended in a span of time are a range of its index.
-- Jobs whose retention was changed since they ended are not counted, nor those that are not kept.
-- Why a sample: a span holds as many rows as there were jobs. At most per_bin are read of each bin,
-- those that ended last, and the rate is theirs; so a chart of a day of 1,000 jobs a second costs
-- no more than one of five minutes.
CREATE FUNCTION pgqueue.history(
    since interval DEFAULT '5 min',
    bins integer DEFAULT 60,
    per_bin integer DEFAULT 200,
    at timestamptz DEFAULT clock_timestamp()
) RETURNS TABLE (
    begins timestamptz,
    seconds double precision,
    succeeded double precision,
    failed double precision,
    cancelled double precision,
    expired double precision,
    run_p50 double precision,
    run_p95 double precision,
    wait_p50 double precision,
    wait_p95 double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_width double precision := extract(epoch FROM history.since) / nullif(history.bins, 0);
    v_first double precision;
    v_keeps interval[];
BEGIN
    IF history.bins NOT BETWEEN 1 AND 1000 OR history.per_bin NOT BETWEEN 1 AND 10000
        OR v_width IS NULL OR v_width < 0.01 OR history.since > interval '366 days'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PQ004',
            MESSAGE = 'bins must be between 1 and 1000, per_bin between 1 and 10000, since at most '
                '366 days and a bin at least 10 ms';
    END IF;
    -- Bins begin at multiples of their width, so that they are the same in the next call.
    v_first := floor(extract(epoch FROM history.at) / v_width) - history.bins + 1;
    v_keeps := ARRAY(
        SELECT DISTINCT k.keep
        FROM (
            VALUES (interval '168 h'), (interval '720 h')
            UNION ALL
            SELECT interval '1 s' * extract(epoch FROM q.retention_succeeded)::float8
            FROM pgqueue.queues AS q
            UNION ALL
            SELECT interval '1 s' * extract(epoch FROM q.retention_other)::float8
            FROM pgqueue.queues AS q
            UNION ALL
            -- Of members of groups.
            SELECT interval '1 h'
            FROM pgqueue.queues AS q
            WHERE least(q.retention_succeeded, q.retention_other) < interval '1 h'
        ) AS k (keep)
        WHERE isfinite(k.keep)
    );
    RETURN QUERY
    WITH bin AS MATERIALIZED (
        SELECT
            n.n,
            to_timestamp((v_first + n.n) * v_width) AS start,
            least(to_timestamp((v_first + n.n + 1) * v_width), history.at) AS stop
        FROM generate_series(0, history.bins - 1) AS n (n)
    ),
    ended AS MATERIALIZED (
        SELECT b.n, k.keep, f.*
        FROM bin AS b
        CROSS JOIN unnest(v_keeps) AS k (keep)
        CROSS JOIN LATERAL (
            SELECT f.job_id, f.state, f.attempt, f.started_at, f.finished_at
            FROM pgqueue.finished_jobs AS f
            WHERE f.keep_until >= b.start + k.keep AND f.keep_until < b.stop + k.keep
                AND f.keep_until = f.finished_at + k.keep
            ORDER BY f.keep_until DESC
            LIMIT history.per_bin
        ) AS f
    ),
    rate AS (
        SELECT
            c.n,
            sum(c.succeeded / c.seconds) AS succeeded,
            sum(c.failed / c.seconds) AS failed,
            sum(c.cancelled / c.seconds) AS cancelled,
            sum(c.expired / c.seconds) AS expired
        FROM (
            SELECT
                e.n,
                greatest(0.001, extract(epoch FROM b.stop - CASE
                    WHEN count(*) >= history.per_bin THEN min(e.finished_at) ELSE b.start
                END)::float8) AS seconds,
                count(*) FILTER (WHERE e.state = 'succeeded') AS succeeded,
                count(*) FILTER (WHERE e.state = 'failed') AS failed,
                count(*) FILTER (WHERE e.state = 'cancelled') AS cancelled,
                count(*) FILTER (WHERE e.state = 'expired') AS expired
            FROM ended AS e
            JOIN bin AS b ON b.n = e.n
            GROUP BY e.n, e.keep, b.start, b.stop
        ) AS c
        GROUP BY c.n
    ),
    run AS (
        SELECT
            e.n,
            percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
                ORDER BY extract(epoch FROM e.finished_at - e.started_at)::float8) AS p
        FROM ended AS e
        WHERE e.started_at IS NOT NULL
        GROUP BY e.n
    ),
    -- How long a first attempt waited is known with the job's row, so of fewer.
    first AS (
        SELECT s.n, s.job_id, s.started_at
        FROM (
            SELECT
                e.n, e.job_id, e.started_at,
                row_number() OVER (PARTITION BY e.n ORDER BY e.job_id % 97, e.job_id) AS place
            FROM ended AS e
            WHERE e.attempt = 1 AND e.started_at IS NOT NULL
        ) AS s
        WHERE s.place <= 25
    ),
    wait AS (
        SELECT
            w.n,
            percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY greatest(
                0, extract(epoch FROM w.started_at - greatest(j.created_at, j.run_at))::float8
            )) AS p
        FROM first AS w
        CROSS JOIN LATERAL (
            SELECT j.created_at, j.run_at FROM pgqueue.jobs AS j WHERE j.id = w.job_id OFFSET 0
        ) AS j
        GROUP BY w.n
    )
    SELECT
        b.start,
        extract(epoch FROM b.stop - b.start)::float8,
        coalesce(r.succeeded, 0)::float8,
        coalesce(r.failed, 0)::float8,
        coalesce(r.cancelled, 0)::float8,
        coalesce(r.expired, 0)::float8,
        u.p[1],
        u.p[2],
        w.p[1],
        w.p[2]
    FROM bin AS b
    LEFT JOIN rate AS r ON r.n = b.n
    LEFT JOIN run AS u ON u.n = b.n
    LEFT JOIN wait AS w ON w.n = b.n
    ORDER BY b.n;
END
$$;

COMMENT ON FUNCTION pgqueue.history(interval, integer, integer, timestamptz) IS
'Tell what became of jobs lately, in bins of time, from what is kept of finished jobs. At most
per_bin rows of each bin and retention are read; where there were more, the figures are those of the
last ones.

Args: since: how long to look back; bins: into how many parts it is cut; per_bin: how many jobs are
read of each; at: the time it is.
Returns: a row a bin, the oldest first: begins; seconds: its length, less for the last one, which is
not over; succeeded, failed, cancelled, expired: jobs a second; run_p50, run_p95: seconds that half
and 95 % of the attempts took at most; wait_p50, wait_p95: seconds from when a job could start to
its first attempt.
Errors: PQ004 for values that cannot be.';
