-- Purpose: the schema that holds everything, and the table that says which version of it is here.
-- Written by: the upgrader (python -m pgqueue schema upgrade), or psql -f of these files in order.
-- Why the name is fixed: a job is a row anybody may INSERT; `pgqueue.jobs` must mean the same in
-- every language and every project.
CREATE SCHEMA pgqueue;

COMMENT ON SCHEMA pgqueue IS
'A job queue. INSERT INTO pgqueue.jobs (task, args) to enqueue; SELECT * FROM pgqueue.job_overview
to look.';

CREATE TABLE pgqueue.schema_versions (
    version integer PRIMARY KEY,
    sha256 text NOT NULL,
    breaking boolean NOT NULL DEFAULT false,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    manifest jsonb
);

COMMENT ON TABLE pgqueue.schema_versions IS
'One row for each version folder that was applied to this database.';
COMMENT ON COLUMN pgqueue.schema_versions.version IS 'Number of the folder under sql/.';
COMMENT ON COLUMN pgqueue.schema_versions.sha256 IS
'Checksum of the folder that was applied, or "psql" where psql -f applied it.';
COMMENT ON COLUMN pgqueue.schema_versions.breaking IS
'True where a worker older than this version must not run any more.';
COMMENT ON COLUMN pgqueue.schema_versions.applied_at IS 'When it was applied.';
COMMENT ON COLUMN pgqueue.schema_versions.manifest IS
'The catalog as it stood right after, which "schema verify" compares with the catalog of today.';
