-- Purpose: what is still to be added to the counters of groups.
-- Written by: the insert trigger, for new members; apply_counts, where somebody else holds the
-- group's row; jobs_forget. Emptied by apply_counts, under the lock of the group's row.
CREATE TABLE pgqueue.group_deltas (
    group_id bigint NOT NULL,
    total integer NOT NULL DEFAULT 0,
    succeeded integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX group_deltas_group_id_idx ON pgqueue.group_deltas (group_id);

COMMENT ON TABLE pgqueue.group_deltas IS 'What is still to be added to the counters of groups.';
COMMENT ON COLUMN pgqueue.group_deltas.group_id IS 'The group (pgqueue.groups.id).';
COMMENT ON COLUMN pgqueue.group_deltas.total IS 'Members more.';
COMMENT ON COLUMN pgqueue.group_deltas.succeeded IS 'Members that succeeded.';
COMMENT ON COLUMN pgqueue.group_deltas.failed IS 'Members that failed or expired.';
COMMENT ON COLUMN pgqueue.group_deltas.cancelled IS 'Members that were cancelled.';
COMMENT ON COLUMN pgqueue.group_deltas.skipped IS 'Members that were not needed.';
