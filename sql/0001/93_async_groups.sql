-- Purpose: groups as django-async had them, with the columns of its model Group.
-- Read and written by: the model of pgqueue.compat.django_async, and anybody; see
-- 93_async_groups_write.sql. A group is one of these if its meta has the key async.
CREATE VIEW pgqueue.async_groups AS
SELECT
    g.id,
    g.name AS reference,
    g.meta -> 'async' ->> 'description' AS description,
    g.created_at AS created,
    -- It may be gone.
    (SELECT j.id FROM pgqueue.jobs AS j WHERE j.id = g.last_job_id) AS final_id
FROM pgqueue.groups AS g
WHERE g.meta ? 'async';

COMMENT ON VIEW pgqueue.async_groups IS
'Groups as django-async had them; INSERT, UPDATE and DELETE work. final_id is the job that runs when
the others are over.';
