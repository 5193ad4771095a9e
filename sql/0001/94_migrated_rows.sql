-- Purpose: which rows of the tables of older queues were moved here, and what became of each.
-- Written by: migrate-from, in the transaction that writes what the row becomes, so that each is
-- moved once however often the command is killed and started again.
CREATE TABLE pgqueue.migrated_rows (
    source text NOT NULL,
    id text NOT NULL,
    became text,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT migrated_rows_pkey PRIMARY KEY (source, id)
);

COMMENT ON TABLE pgqueue.migrated_rows IS
'One row for each row of an older queue''s tables that was moved. May be emptied when those tables
are gone.';
COMMENT ON COLUMN pgqueue.migrated_rows.source IS
'The old table, such as django_q_ormq; of another database than the queue''s after its alias, as in
old:django_q_ormq.';
COMMENT ON COLUMN pgqueue.migrated_rows.id IS 'Its key there.';
COMMENT ON COLUMN pgqueue.migrated_rows.became IS
'Its key here: of a job (pgqueue.jobs.id), a group, a schedule or a result.';
COMMENT ON COLUMN pgqueue.migrated_rows.moved_at IS 'When it was moved.';
