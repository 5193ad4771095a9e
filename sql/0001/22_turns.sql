-- Purpose: whose turn it was last in a queue whose jobs have fair keys.
-- Written by: take_turns, once a batch, unless another is at it. Read by: take_turns.
-- Why nobody waits for this row: who does not get it begins where it says all the same.
CREATE TABLE pgqueue.turns (
    queue text PRIMARY KEY,
    key text COLLATE "C" NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

COMMENT ON TABLE pgqueue.turns IS 'Whose turn it was last in queues whose jobs have fair keys.';
COMMENT ON COLUMN pgqueue.turns.queue IS 'The queue.';
COMMENT ON COLUMN pgqueue.turns.key IS 'The fair key that was served last.';
