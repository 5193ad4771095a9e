-- Purpose: the doorbell's bucket of a queue, 0 to 63. Bucket 64 stands for workers that take every
-- queue, bucket 65 for the leader's timer.
-- Called by: ring, sleep_buckets. Touches no table.
-- Why buckets: one advisory lock a queue would let 20,000 queues in one transaction exhaust the
-- lock table; with 66 buckets that cannot happen, and two queues that share one ring for each
-- other.
CREATE FUNCTION pgqueue.bucket(queue text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtext(queue) & 63;

COMMENT ON FUNCTION pgqueue.bucket(text) IS
'The doorbell''s bucket of a queue.

Args: queue: its name.
Returns: 0 to 63.';
