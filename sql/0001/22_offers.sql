-- Purpose: what somebody should look at: a concurrency key whose line may go on, or a queue that
-- may start jobs again at a time, its rate permitting.
-- Written by: hold_back, release_slots, limit_key, resume; rest (a queue whose rate is used up) and
-- admit (a key whose rate is). Emptied by admit and promote.
-- Why: a key that is busy has no offer, so 5,000 jobs behind it cost a claim nothing.
-- Why also many keys in one row: an INSERT of 10,000 jobs, each with a key of its own, would write
-- as many rows, whose dead entries in the index each claim after it would walk past (8 of the 40
-- microseconds that such a job cost besides a plain one's).
CREATE TABLE pgqueue.offers (
    key text COLLATE "C",
    keys text[] COLLATE "C",
    queue text,
    at timestamptz,
    later_key text COLLATE "C"
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX offers_key_idx ON pgqueue.offers (key) WHERE at IS NULL;
CREATE INDEX offers_later_key_idx ON pgqueue.offers (later_key) WHERE later_key IS NOT NULL;
CREATE INDEX offers_at_idx ON pgqueue.offers (at) WHERE at IS NOT NULL;

COMMENT ON TABLE pgqueue.offers IS 'Keys and queues that somebody should look at.';
COMMENT ON COLUMN pgqueue.offers.key IS 'A concurrency key whose line may go on.';
COMMENT ON COLUMN pgqueue.offers.keys IS
'Up to 128 of them in one row, instead of the key; written by an INSERT of many jobs.';
COMMENT ON COLUMN pgqueue.offers.queue IS 'A queue whose rate is used up until at.';
COMMENT ON COLUMN pgqueue.offers.at IS 'When the queue, or the later_key, may start jobs again.';
COMMENT ON COLUMN pgqueue.offers.later_key IS
'A concurrency key whose line may go on at that time, its rate permitting.';
