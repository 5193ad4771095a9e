-- Purpose: what recurs: one row a schedule, with the job it makes, its rule and where it stands.
-- Written by: pgqueue.schedule, declare_schedules, pause_schedule and the like; fire_schedules.
-- Why the rule is text: next slots are computed in one place only, the leading worker (Python), so
-- that a wall-clock time that a zone repeats means the same everywhere; and from done_until and the
-- rule each time, so that a change of the zone's rules counts and nothing adds up.
-- Why one index on next_run_at, null where nothing is to come: "is anything due?" is one descent,
-- however many schedules have ended, are paused or no longer declared.
-- Why revision: every change counts it up, and a firing names the one it was planned for.
CREATE TABLE pgqueue.schedules (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    task text NOT NULL,
    args jsonb NOT NULL DEFAULT '[]',
    kwargs jsonb NOT NULL DEFAULT '{}',
    queue text NOT NULL DEFAULT 'default',
    priority smallint NOT NULL DEFAULT 0,
    expires interval,
    timeout interval,
    max_attempts smallint,
    meta jsonb,
    options jsonb,
    planned_kwarg text,
    kind text NOT NULL,
    rule text NOT NULL DEFAULT '',
    timezone text NOT NULL DEFAULT 'UTC',
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    repeats integer,
    sticky boolean NOT NULL DEFAULT false,
    jitter interval NOT NULL DEFAULT '0',
    catch_up text NOT NULL DEFAULT 'once',
    max_catch_up integer NOT NULL DEFAULT 1000,
    overlap text NOT NULL DEFAULT 'allow',
    source text NOT NULL DEFAULT 'sql',
    declared boolean NOT NULL DEFAULT true,
    declared_by text,
    declaration jsonb,
    paused boolean NOT NULL DEFAULT false,
    done_until timestamptz NOT NULL,
    next_slot timestamptz,
    next_run_at timestamptz,
    held_slot timestamptz,
    runs integer NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    last_slot timestamptz,
    last_job_id bigint,
    earlier_job_ids bigint[] NOT NULL DEFAULT '{}',
    last_fired_at timestamptz,
    error text,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);

CREATE INDEX schedules_next_run_at_idx ON pgqueue.schedules (next_run_at)
    WHERE next_run_at IS NOT NULL;

COMMENT ON TABLE pgqueue.schedules IS
'What recurs: one row a schedule. Change it by pgqueue.schedule and the functions beside it.';
COMMENT ON COLUMN pgqueue.schedules.id IS 'Given by the database.';
COMMENT ON COLUMN pgqueue.schedules.name IS 'What people call it, 1 to 200 bytes, unique.';
COMMENT ON COLUMN pgqueue.schedules.task IS 'Task of its jobs.';
COMMENT ON COLUMN pgqueue.schedules.args IS 'Positional arguments of its jobs, a JSON array.';
COMMENT ON COLUMN pgqueue.schedules.kwargs IS 'Keyword arguments of its jobs, a JSON object.';
COMMENT ON COLUMN pgqueue.schedules.queue IS 'Where its jobs wait.';
COMMENT ON COLUMN pgqueue.schedules.priority IS 'Priority of its jobs, higher first.';
COMMENT ON COLUMN pgqueue.schedules.expires IS
'Latest start of its jobs, counted from the moment they are enqueued. Null means never.';
COMMENT ON COLUMN pgqueue.schedules.timeout IS 'As of jobs.';
COMMENT ON COLUMN pgqueue.schedules.max_attempts IS 'As of jobs.';
COMMENT ON COLUMN pgqueue.schedules.meta IS
'As of jobs; the key "pgqueue" is added, with the name of the schedule and the planned instant.';
COMMENT ON COLUMN pgqueue.schedules.options IS
'What else its jobs have: an object of the columns unique_key, unique_while, unique_for,
on_duplicate, group_id, callbacks, concurrency_key, max_running, fair_key and rate of pgqueue.jobs;
null for nothing. In a key {planned_at} stands for the planned instant.';
COMMENT ON COLUMN pgqueue.schedules.planned_kwarg IS
'Name of the keyword argument that gets the planned instant; null for none.';
COMMENT ON COLUMN pgqueue.schedules.kind IS 'once, every, cron or rrule.';
COMMENT ON COLUMN pgqueue.schedules.rule IS
'The interval, the cron expression or the RRULE; empty for once.';
COMMENT ON COLUMN pgqueue.schedules.timezone IS
'Whose clocks, an IANA name such as Europe/Berlin.';
COMMENT ON COLUMN pgqueue.schedules.starts_at IS
'The first slot of once and every, what intervals are counted from; no slot of others is earlier.';
COMMENT ON COLUMN pgqueue.schedules.ends_at IS 'No slot is later; null for no end.';
COMMENT ON COLUMN pgqueue.schedules.repeats IS 'Runs after which it ends; null for no end.';
COMMENT ON COLUMN pgqueue.schedules.sticky IS
'Whether a month that was too short shortens what follows: 31 Jan, 28 Feb, 28 Mar.';
COMMENT ON COLUMN pgqueue.schedules.jitter IS
'Each run is up to so much later than its slot, always the same for the same slot.';
COMMENT ON COLUMN pgqueue.schedules.catch_up IS
'What becomes of slots that were missed: all run in order, once for all of them, or skip.';
COMMENT ON COLUMN pgqueue.schedules.max_catch_up IS
'The most missed slots that are run with catch_up = all: the newest ones.';
COMMENT ON COLUMN pgqueue.schedules.overlap IS
'When its last job still lives: allow another, skip the slot, or queue: wait for the end.';
COMMENT ON COLUMN pgqueue.schedules.source IS 'Where it came from: api, code or sql.';
COMMENT ON COLUMN pgqueue.schedules.declared IS
'False when the code that declared it does so no more; it does not run then.';
COMMENT ON COLUMN pgqueue.schedules.declared_by IS
'The module whose code declares it, for source = code.';
COMMENT ON COLUMN pgqueue.schedules.declaration IS
'What the code said last; while it says the same, changes made here stay.';
COMMENT ON COLUMN pgqueue.schedules.paused IS 'True while it makes no jobs.';
COMMENT ON COLUMN pgqueue.schedules.done_until IS
'All slots up to this instant are dealt with; the next one is the first after it.';
COMMENT ON COLUMN pgqueue.schedules.next_slot IS 'The next planned instant.';
COMMENT ON COLUMN pgqueue.schedules.next_run_at IS
'When the leader looks at it next: the slot and its jitter; -infinity for at once, null for never.';
COMMENT ON COLUMN pgqueue.schedules.held_slot IS
'The slot that waits for the end of the last job, with overlap = queue: however late, not missed.';
COMMENT ON COLUMN pgqueue.schedules.runs IS 'Jobs made by plan.';
COMMENT ON COLUMN pgqueue.schedules.skipped IS
'Slots left out since the last job still lived, or another had their unique key.';
COMMENT ON COLUMN pgqueue.schedules.last_slot IS 'The last slot dealt with.';
COMMENT ON COLUMN pgqueue.schedules.last_job_id IS 'Its last job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.schedules.earlier_job_ids IS
'Jobs before the last one that still lived when somebody asked for that; overlap minds them too.';
COMMENT ON COLUMN pgqueue.schedules.last_fired_at IS 'When that was made.';
COMMENT ON COLUMN pgqueue.schedules.error IS
'Why it cannot run; null when all is well. The leader tries again every few minutes.';
COMMENT ON COLUMN pgqueue.schedules.revision IS 'Counted up with every change.';
COMMENT ON COLUMN pgqueue.schedules.created_at IS 'When it was made.';
COMMENT ON COLUMN pgqueue.schedules.updated_at IS 'When somebody changed what it says.';
