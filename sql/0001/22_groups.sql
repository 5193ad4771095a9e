-- Purpose: jobs that belong together: how many, how far, what follows when all are over.
-- Written by: create_group, enqueue_flow, close_group, set_last_job, apply_counts, retry,
-- retry_group; deleted by delete_group and tidy.
-- Why counters here and group_deltas beside: whoever ends jobs adds to the counters once a batch,
-- if it can lock the row without waiting, and otherwise leaves a row of group_deltas that is added
-- up later (advance). So a transaction that is slow to commit never blocks a finish.
-- What is told of a group is always the sum of both.
CREATE TABLE pgqueue.groups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text,
    parent_id bigint,
    callbacks jsonb,
    meta jsonb,
    total integer NOT NULL DEFAULT 0,
    succeeded integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    ended_at timestamptz,
    state text,
    released boolean NOT NULL DEFAULT false,
    last_job_id bigint
) WITH (fillfactor = 50);

CREATE INDEX groups_name_idx ON pgqueue.groups (name, id) WHERE name IS NOT NULL;
CREATE INDEX groups_ended_at_idx ON pgqueue.groups (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX groups_parent_id_idx ON pgqueue.groups (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX groups_unreleased_idx ON pgqueue.groups (id)
    WHERE ended_at IS NOT NULL AND NOT released;

COMMENT ON TABLE pgqueue.groups IS
'Jobs that belong together. Look at group_overview, which also counts what waits in group_deltas.';
COMMENT ON COLUMN pgqueue.groups.id IS 'Number of the group; jobs name it as group_id.';
COMMENT ON COLUMN pgqueue.groups.name IS 'For people; need not be the only one of that name.';
COMMENT ON COLUMN pgqueue.groups.parent_id IS
'The group that this one is a member of, where it counts as one; null for none.';
COMMENT ON COLUMN pgqueue.groups.callbacks IS
'Jobs to enqueue when the group ends, in the form of pgqueue.jobs.callbacks.';
COMMENT ON COLUMN pgqueue.groups.meta IS 'A JSON object of the producer''s own.';
COMMENT ON COLUMN pgqueue.groups.total IS 'Members that were added.';
COMMENT ON COLUMN pgqueue.groups.succeeded IS 'Members that succeeded.';
COMMENT ON COLUMN pgqueue.groups.failed IS 'Members that failed or expired.';
COMMENT ON COLUMN pgqueue.groups.cancelled IS 'Members that were cancelled.';
COMMENT ON COLUMN pgqueue.groups.skipped IS
'Members that were not needed: they run only if others fail.';
COMMENT ON COLUMN pgqueue.groups.created_at IS 'When it was made.';
COMMENT ON COLUMN pgqueue.groups.closed_at IS
'Since when it ends as soon as all its members have; null while more are expected.';
COMMENT ON COLUMN pgqueue.groups.ended_at IS 'When its last member was over; null before.';
COMMENT ON COLUMN pgqueue.groups.released IS
'True once its jobs are kept no longer than others; until then their results may be needed.';
COMMENT ON COLUMN pgqueue.groups.state IS
'failed when a member failed or expired, else cancelled when one was, else succeeded; null before.';
COMMENT ON COLUMN pgqueue.groups.last_job_id IS
'The member that waits until all others are over (pgqueue.set_last_job); null for none. It may be
deleted since.';
