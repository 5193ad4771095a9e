-- Purpose: which slot of which schedule became which job; what makes a slot run once at most.
-- Written by: fire_schedules, in the statement that inserts the job, note_duplicates and
-- run_schedule_now; emptied by prune_schedule_runs. Rows go with their schedule.
CREATE TABLE pgqueue.schedule_runs (
    schedule_id bigint NOT NULL REFERENCES pgqueue.schedules (id) ON DELETE CASCADE,
    slot timestamptz NOT NULL,
    job_id bigint,
    fired_at timestamptz NOT NULL,
    manual boolean NOT NULL DEFAULT false,
    duplicate_of bigint,
    PRIMARY KEY (schedule_id, slot)
);

CREATE INDEX schedule_runs_fired_at_idx ON pgqueue.schedule_runs (fired_at);

COMMENT ON TABLE pgqueue.schedule_runs IS 'History: one row a slot of a schedule.';
COMMENT ON COLUMN pgqueue.schedule_runs.schedule_id IS 'The schedule (pgqueue.schedules.id).';
COMMENT ON COLUMN pgqueue.schedule_runs.slot IS 'The planned instant.';
COMMENT ON COLUMN pgqueue.schedule_runs.job_id IS
'The job (pgqueue.jobs.id), which may have been pruned; null for a slot that was skipped.';
COMMENT ON COLUMN pgqueue.schedule_runs.fired_at IS 'When that was decided.';
COMMENT ON COLUMN pgqueue.schedule_runs.manual IS 'True when somebody asked for it.';
COMMENT ON COLUMN pgqueue.schedule_runs.duplicate_of IS
'The job that had the unique key, so that the slot was skipped; null for another reason.';
