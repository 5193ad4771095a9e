-- Purpose: say what is wrong with what a job says about the jobs it runs after.
-- Called by: refusal, for jobs that say anything about it. Touches no table.
-- Why a job may only name older ones: so no job can wait for itself, however far around.
CREATE FUNCTION pgqueue.flow_refusal(
    id bigint,
    after bigint[],
    run_if text,
    results_as text
) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN coalesce(cardinality(after), 0) = 0 THEN
            CASE WHEN run_if IS NOT NULL OR results_as IS NOT NULL THEN
                'run_if and results_as must be given with after; got no jobs to run after' END
        WHEN array_ndims(after) <> 1 OR cardinality(after) > 100000 THEN concat(
            'after must be a plain array of at most 100000 ids; got ', array_ndims(after),
            ' dimensions and ', cardinality(after), ' ids')
        WHEN EXISTS (SELECT FROM unnest(after) AS a (id) WHERE a.id IS NULL) THEN
            'after must be an array of ids; got null among them'
        WHEN EXISTS (SELECT FROM unnest(after) AS a (id) WHERE a.id >= flow_refusal.id) THEN concat(
            'after must name jobs that were enqueued before; got ',
            (SELECT max(a.id) FROM unnest(after) AS a (id)), ' for job ', id)
        WHEN run_if NOT IN ('succeeded', 'finished', 'failed') THEN concat(
            'run_if must be succeeded, finished or failed; got ', quote_literal(left(run_if, 60)))
        WHEN results_as NOT IN ('args', 'list') THEN concat(
            'results_as must be args or list; got ', quote_literal(left(results_as, 60)))
    END
$$;

COMMENT ON FUNCTION pgqueue.flow_refusal(bigint, bigint[], text, text) IS
'Say what is wrong with what a job says about the jobs it runs after. Internal.

Args: columns of pgqueue.jobs.
Returns: a sentence; null when all is well.';
