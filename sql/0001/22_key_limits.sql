-- Purpose: limits of concurrency keys that were set by hand, over what their jobs say.
-- Written by: limit_key. Read by: admit.
CREATE TABLE pgqueue.key_limits (
    key text COLLATE "C" PRIMARY KEY,
    max_running integer,
    rate text
);

COMMENT ON TABLE pgqueue.key_limits IS 'Limits of concurrency keys that were set by hand.';
COMMENT ON COLUMN pgqueue.key_limits.key IS 'The key.';
COMMENT ON COLUMN pgqueue.key_limits.max_running IS
'How many of its jobs may run at once; 0 holds it, null means what they say.';
COMMENT ON COLUMN pgqueue.key_limits.rate IS
'How many of its jobs may start in a time, as 100/m; null means what they say.';
