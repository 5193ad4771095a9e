-- Purpose: one row a group: how far it is, for people.
-- Read by: the Python client, people. Reads groups, group_deltas, running_jobs, jobs.
-- Why the remaining time is so plain: what has ended since the group was made, as a rate.
CREATE VIEW pgqueue.group_overview AS
SELECT
    g.id,
    g.name,
    coalesce(g.state, CASE WHEN g.closed_at IS NULL THEN 'open' ELSE 'closed' END) AS state,
    g.parent_id,
    c.total,
    greatest(c.total - c.over - r.running, 0) AS waiting,
    r.running,
    c.succeeded,
    c.failed,
    c.cancelled,
    c.skipped,
    CASE WHEN c.total > 0 THEN c.over::float8 / c.total END AS fraction,
    CASE WHEN g.ended_at IS NULL AND c.over > 0 THEN
        extract(epoch FROM clock_timestamp() - g.created_at)::float8
            * (c.total - c.over) / c.over
    END AS remaining_seconds,
    g.meta,
    g.created_at,
    g.closed_at,
    g.ended_at
FROM pgqueue.groups AS g
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(d.total), 0)::integer AS total,
        coalesce(sum(d.succeeded), 0)::integer AS succeeded,
        coalesce(sum(d.failed), 0)::integer AS failed,
        coalesce(sum(d.cancelled), 0)::integer AS cancelled,
        coalesce(sum(d.skipped), 0)::integer AS skipped
    FROM pgqueue.group_deltas AS d
    WHERE d.group_id = g.id
) AS d
CROSS JOIN LATERAL (
    SELECT
        g.total + d.total AS total,
        g.succeeded + d.succeeded AS succeeded,
        g.failed + d.failed AS failed,
        g.cancelled + d.cancelled AS cancelled,
        g.skipped + d.skipped AS skipped,
        g.succeeded + d.succeeded + g.failed + d.failed + g.cancelled + d.cancelled + g.skipped
            + d.skipped AS over
) AS c
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS running
    FROM pgqueue.running_jobs AS u
    JOIN pgqueue.jobs AS j ON j.id = u.job_id
    WHERE j.group_id = g.id
) AS r;

COMMENT ON VIEW pgqueue.group_overview IS
'One row a group: state (open, closed, then succeeded, failed or cancelled), members by what became
of them, the part that is over, an estimate of the seconds that remain. A group inside another
counts there as one member.';
