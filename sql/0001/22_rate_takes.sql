-- Purpose: how many jobs a queue with a rate has started lately, in 64ths of its period.
-- Written by: take_slots, one row a 64th of a period and queue, however many jobs start in it; old
-- rows are deleted there too. Read by: queue_room.
-- Why a sliding window and no bucket that fills: a bucket of 100 lets 199 start within a minute
-- that begins when it is full. The oldest 64th counts as a whole, which costs at most 1.6 % of the
-- rate.
CREATE TABLE pgqueue.rate_takes (
    queue text NOT NULL,
    part bigint NOT NULL,
    n integer NOT NULL,
    PRIMARY KEY (queue, part)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

COMMENT ON TABLE pgqueue.rate_takes IS 'How many jobs queues with a rate have started lately.';
COMMENT ON COLUMN pgqueue.rate_takes.queue IS 'The queue.';
COMMENT ON COLUMN pgqueue.rate_takes.part IS
'Number of the 64th of the period, counted from 1970.';
COMMENT ON COLUMN pgqueue.rate_takes.n IS 'How many jobs started in it.';
