-- Purpose: what running jobs have written down for people, line by line.
-- Written by: store_notes, add_log. Deleted with its job. Read by people only.
-- Why n is given by the writer: a batch of lines whose reply was lost is sent again, and must not
-- stand there twice.
CREATE TABLE pgqueue.job_logs (
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    n integer NOT NULL,
    at timestamptz NOT NULL,
    level text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (job_id, attempt, n)
);

COMMENT ON TABLE pgqueue.job_logs IS
'What jobs have logged: at most 500 lines an attempt, of the last 10 attempts.';
COMMENT ON COLUMN pgqueue.job_logs.job_id IS 'The job (pgqueue.jobs.id).';
COMMENT ON COLUMN pgqueue.job_logs.attempt IS 'Number of the attempt.';
COMMENT ON COLUMN pgqueue.job_logs.n IS 'Number of the line within the attempt, 1 is the first.';
COMMENT ON COLUMN pgqueue.job_logs.at IS 'When it was written down, within about a second.';
COMMENT ON COLUMN pgqueue.job_logs.level IS 'debug, info, warning or error.';
COMMENT ON COLUMN pgqueue.job_logs.message IS 'The line, shortened to 4 KiB.';
