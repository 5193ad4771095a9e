-- Purpose: which job runs after which; the way down, the way up is jobs.after.
-- Written by: the insert trigger and enqueue_flow. Never changed; deleted with the job that others
-- run after.
-- Why only between jobs of one statement: those cannot be over before their edges are there. A job
-- that runs after older ones looks after them itself (job_waits.late).
CREATE TABLE pgqueue.job_dependencies (
    parent_id bigint NOT NULL,
    child_id bigint NOT NULL,
    PRIMARY KEY (parent_id, child_id)
);

COMMENT ON TABLE pgqueue.job_dependencies IS 'Which job runs after which.';
COMMENT ON COLUMN pgqueue.job_dependencies.parent_id IS
'The job that comes first (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.job_dependencies.child_id IS
'The job that runs after it (pgqueue.jobs.id); may be deleted since.';
