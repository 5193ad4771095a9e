-- Purpose: how many jobs of concurrency keys with a rate have started lately.
-- Written by: take_rates, one row a batch and key, never updated, so that nobody waits for anybody;
-- admit sums rows up where there are many. Deleted by admit and tidy. Read by: admit.
-- Why until and no time of start: who counts need not know the period that the job had; and it is
-- rounded up to 64ths of that, so that few rows stand for many starts. That costs at most 1.6 % of
-- the rate.
CREATE TABLE pgqueue.key_takes (
    key text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    n integer NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX key_takes_key_idx ON pgqueue.key_takes (key, until);
CREATE INDEX key_takes_until_idx ON pgqueue.key_takes (until);

COMMENT ON TABLE pgqueue.key_takes IS 'How many jobs of keys with a rate have started lately.';
COMMENT ON COLUMN pgqueue.key_takes.key IS 'The concurrency key.';
COMMENT ON COLUMN pgqueue.key_takes.until IS 'When they count no more.';
COMMENT ON COLUMN pgqueue.key_takes.n IS 'How many jobs started.';
