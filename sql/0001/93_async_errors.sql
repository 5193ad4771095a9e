-- Purpose: failures as django-async had them, with the columns of its model Error.
-- Read and written by: the model of pgqueue.compat.django_async, and anybody; see
-- 93_async_errors_write.sql. They are the rows of job_errors whose job is one of async_jobs; one
-- that was written through the view has no kind.
-- Why the id is worked out: job_errors has none, and one row for each attempt that failed.
-- Why the text is put together: job_errors keeps the class and the message of an exception, and for
-- nearly all of them that is what Python prints.
CREATE VIEW pgqueue.async_errors AS
SELECT
    e.job_id * 65536 + e.attempt AS id,
    e.job_id,
    e.at AS executed,
    CASE
        WHEN e.kind = '' THEN e.message
        WHEN e.message = '' THEN concat(k.name, '()')
        WHEN strpos(e.message, '''') > 0 AND strpos(e.message, '"') = 0
        THEN concat(k.name, '("', k.message, '")')
        ELSE concat(k.name, '(''', replace(k.message, '''', '\'''), ''')')
    END AS exception,
    coalesce(e.traceback, '') AS traceback
FROM pgqueue.job_errors AS e
JOIN pgqueue.jobs AS j ON j.id = e.job_id
CROSS JOIN LATERAL (
    SELECT
        regexp_replace(e.kind, '^.*\.', '') AS name,
        replace(replace(e.message, '\', '\\'), E'\n', '\n') AS message
) AS k
WHERE j.meta ? 'async';

COMMENT ON VIEW pgqueue.async_errors IS
'Failures of jobs as django-async had them; INSERT, UPDATE and DELETE work.';
