-- Purpose: what became of tasks of django-q, as its model Task has it.
-- Written by: the facade pgqueue.compat.django_q, by its worker side and by people through the ORM.
-- Why a table of its own: there a result is a line of a log, not a state of the job: an attempt
-- that is tried again has one, a success may have none (save), labels are cleared, results are
-- saved by hand, and the newest are kept by number (save_limit), not by age.
-- Why these indexes: by id, name and group it is asked for, newest first it is listed, and the
-- oldest successes are dropped whenever one is added; two million failures slow none of that.
CREATE TABLE pgqueue.django_q_tasks (
    id text PRIMARY KEY,
    name text NOT NULL,
    func text NOT NULL,
    hook text,
    args jsonb,
    kwargs jsonb,
    result jsonb,
    "group" text,
    cluster text,
    started timestamptz NOT NULL,
    stopped timestamptz NOT NULL,
    success boolean NOT NULL DEFAULT true,
    attempt_count integer NOT NULL DEFAULT 0
);

CREATE INDEX django_q_tasks_stopped_idx ON pgqueue.django_q_tasks (stopped);
CREATE INDEX django_q_tasks_success_idx ON pgqueue.django_q_tasks (stopped) WHERE success;
CREATE INDEX django_q_tasks_failure_idx ON pgqueue.django_q_tasks (stopped) WHERE NOT success;
CREATE INDEX django_q_tasks_name_idx ON pgqueue.django_q_tasks (name, success, stopped);
CREATE INDEX django_q_tasks_func_idx ON pgqueue.django_q_tasks (func, success, stopped);
CREATE INDEX django_q_tasks_group_idx ON pgqueue.django_q_tasks ("group", success, stopped)
    WHERE "group" IS NOT NULL;

COMMENT ON TABLE pgqueue.django_q_tasks IS
'One row a task of django-q that was saved; the model django_q.Task. Free to be changed and
deleted.';
COMMENT ON COLUMN pgqueue.django_q_tasks.id IS '32 hexadecimal digits.';
COMMENT ON COLUMN pgqueue.django_q_tasks.name IS 'For people; mostly four words.';
COMMENT ON COLUMN pgqueue.django_q_tasks.func IS 'Dotted path of the function.';
COMMENT ON COLUMN pgqueue.django_q_tasks.hook IS
'Dotted path of what is called with the row after each save.';
COMMENT ON COLUMN pgqueue.django_q_tasks.args IS
'Positional arguments; tagged JSON, signed pickles in it.';
COMMENT ON COLUMN pgqueue.django_q_tasks.kwargs IS 'Keyword arguments, in the same form.';
COMMENT ON COLUMN pgqueue.django_q_tasks.result IS
'What the function returned, in the same form; of a failure, the error as text.';
COMMENT ON COLUMN pgqueue.django_q_tasks."group" IS 'A label that tasks share.';
COMMENT ON COLUMN pgqueue.django_q_tasks.cluster IS 'The queue whose worker ran it.';
COMMENT ON COLUMN pgqueue.django_q_tasks.started IS 'When it was enqueued.';
COMMENT ON COLUMN pgqueue.django_q_tasks.stopped IS 'When the attempt had ended.';
COMMENT ON COLUMN pgqueue.django_q_tasks.success IS 'Whether it returned.';
COMMENT ON COLUMN pgqueue.django_q_tasks.attempt_count IS 'Attempts that were saved.';
