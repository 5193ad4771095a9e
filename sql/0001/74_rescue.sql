-- Purpose: give the jobs of lost workers back.
-- Called by: the leader at each heartbeat; idempotent, anybody may. Moves running_jobs to
-- ready_jobs (or, where a cancel was asked, to finished_jobs); writes job_errors; deletes from
-- workers.
-- Locks: advisory (70677105, worker) tried, never waited for, so that it cannot run beside work()
-- of that worker; advisory (70677103, worker) tried to see whether its session lives; its row of
-- workers and its running rows by job id, skipping those that others hold.
-- A worker is lost when its heartbeat is older than its lease; or, where it holds a liveness lock,
-- when that lock is free, its heartbeat is older than 8 s and this session is older than 10 s, or
-- that of another worker which is heard of (so that after a restart of the server, or of what lies
-- before it, everyone has had time to come back); or when it has no row of workers, somebody having
-- deleted that.
-- Why 8 s: a worker that cannot give a sign of life kills its children a second before, since it
-- cannot know whether its lock is free. With 6 s every stall of the server of three seconds did
-- that.
-- Why the second look at the heartbeat: a beat may have come between the first look and the lock.
CREATE FUNCTION pgqueue.rescue(
    max_jobs integer DEFAULT 1000,
    at timestamptz DEFAULT clock_timestamp(),
    OUT workers_lost integer,
    OUT jobs_rescued integer
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgqueue, pg_temp
SET jit = off
AS $$
DECLARE
    v_worker record;
    v_queues text[];
    v_count integer;
    v_ended bigint[];
    v_featured bigint[];
    v_features integer;
    v_all bigint[];
    v_rated bigint[];
    v_limited boolean := EXISTS (
        SELECT FROM pgqueue.queues AS q WHERE q.max_running IS NOT NULL);
    v_old_enough boolean := (
        SELECT a.backend_start < rescue.at - interval '10 s'
        FROM pg_stat_get_activity(pg_backend_pid()) AS a
    );
BEGIN
    IF NOT v_old_enough THEN
        -- A leader that has just come may go by others that were there before it.
        v_old_enough := EXISTS (
            SELECT
            FROM pg_locks AS l
            JOIN pg_stat_get_activity(NULL) AS a ON a.pid = l.pid
            JOIN pgqueue.workers AS w ON (w.id % 2147483647)::oid = l.objid
            WHERE l.locktype = 'advisory'
                AND l.classid = 70677103
                AND l.database = (SELECT d.oid FROM pg_database AS d
                    WHERE d.datname = current_database())
                AND l.granted
                AND a.backend_start < rescue.at - interval '10 s'
                AND w.heartbeat_at > rescue.at - interval '4 s'
        );
    END IF;
    rescue.workers_lost := 0;
    rescue.jobs_rescued := 0;
    FOR v_worker IN
        SELECT w.id, w.name, w.heartbeat_at, (w.id % 2147483647)::integer AS lock_id
        FROM pgqueue.workers AS w
        WHERE w.heartbeat_at < rescue.at - w.lease
            OR (
                w.has_lock
                AND v_old_enough
                AND w.heartbeat_at < rescue.at - interval '8 s'
                AND CASE
                    WHEN pg_try_advisory_lock(70677103, (w.id % 2147483647)::integer)
                    THEN pg_advisory_unlock(70677103, (w.id % 2147483647)::integer)
                    ELSE false
                END
            )
        UNION ALL
        SELECT DISTINCT
            r.worker_id, 'unknown', NULL::timestamptz, (r.worker_id % 2147483647)::integer
        FROM pgqueue.running_jobs AS r
        WHERE NOT EXISTS (SELECT FROM pgqueue.workers AS w WHERE w.id = r.worker_id)
        ORDER BY 1
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(70677105, v_worker.lock_id);
        IF v_worker.heartbeat_at IS NOT NULL THEN
            PERFORM FROM pgqueue.workers AS w
            WHERE w.id = v_worker.id AND w.heartbeat_at = v_worker.heartbeat_at
            FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
        END IF;
        WITH picked AS MATERIALIZED (
            SELECT
                r.ctid AS tid, r.*,
                c.job_id IS NOT NULL AS cancelled,
                c.reason AS why
            FROM pgqueue.running_jobs AS r
            LEFT JOIN pgqueue.cancel_requests AS c ON c.job_id = r.job_id
            WHERE r.worker_id = v_worker.id
            ORDER BY r.job_id
            LIMIT rescue.max_jobs - rescue.jobs_rescued
            FOR UPDATE OF r SKIP LOCKED
        ),
        gone AS (
            DELETE FROM pgqueue.running_jobs AS r
            WHERE r.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))
        ),
        errors AS (
            INSERT INTO pgqueue.job_errors (job_id, attempt, at, kind, message)
            SELECT
                p.job_id, p.attempt, rescue.at, 'lost',
                format('worker %s (%s) gave no sign of life any more', v_worker.id, v_worker.name)
            FROM picked AS p
        ),
        cancelled AS (
            INSERT INTO pgqueue.finished_jobs (
                job_id, state, attempt, lost, crashes, worker_id, started_at, finished_at,
                keep_until, error
            )
            SELECT
                p.job_id, 'cancelled', p.attempt, p.lost + 1, p.crashes, v_worker.id, p.started_at,
                rescue.at, rescue.at + pgqueue.retention(p.queue, 'cancelled', p.flags),
                concat_ws(': ', 'cancelled', p.why)
            FROM picked AS p
            WHERE p.cancelled
        ),
        back AS (
            INSERT INTO pgqueue.ready_jobs
                (queue, priority, seq, job_id, attempt, lost, crashes, flags)
            SELECT
                p.queue, p.priority, p.job_id, p.job_id, p.attempt, p.lost + 1, p.crashes, p.flags
            FROM picked AS p
            WHERE NOT p.cancelled
            RETURNING queue
        )
        SELECT
            count(*), (SELECT array_agg(DISTINCT b.queue) FROM back AS b),
            array_agg(p.job_id) FILTER (WHERE p.cancelled),
            array_agg(p.job_id) FILTER (WHERE p.cancelled AND p.flags > 3),
            coalesce(bit_or(p.flags) FILTER (WHERE p.cancelled), 0),
            array_agg(p.job_id),
            array_agg(p.job_id) FILTER (WHERE NOT p.cancelled AND (p.flags & 64) <> 0)
        INTO v_count, v_queues, v_ended, v_featured, v_features, v_all, v_rated
        FROM picked AS p;
        IF v_limited THEN
            PERFORM pgqueue.release_slots(v_all, 'q', rescue.at);
        END IF;
        IF v_rated IS NOT NULL THEN
            -- They start once more, which the rates of their keys must permit.
            PERFORM pgqueue.hold_back(v_rated),
                pgqueue.release_slots(v_rated, 'k', rescue.at);
        END IF;
        PERFORM pgqueue.settle(v_ended, v_featured, v_features, rescue.at);
        IF v_queues IS NOT NULL THEN
            PERFORM pgqueue.park_paused(v_queues, rescue.at);
            PERFORM pgqueue.ring(v_queues);
        END IF;
        rescue.jobs_rescued := rescue.jobs_rescued + v_count;
        IF NOT EXISTS (
            SELECT FROM pgqueue.running_jobs AS r WHERE r.worker_id = v_worker.id
        ) THEN
            DELETE FROM pgqueue.workers AS w WHERE w.id = v_worker.id;
            rescue.workers_lost := rescue.workers_lost + 1;
        END IF;
        EXIT WHEN rescue.jobs_rescued >= rescue.max_jobs;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgqueue.rescue(integer, timestamptz) IS
'Give the jobs of lost workers back, and forget those workers.

Args: max_jobs: the most to move in one call; at: the time it is.
Returns: workers_lost, jobs_rescued. Their attempt is counted in lost, so that it costs the job
nothing.
Locks: advisory (70677105, worker), tried; rows of lost workers, skipping those that others hold.';
