-- Purpose: the order in which the jobs of a flow can run; or the circle that they run in.
-- Called by: enqueue_flow. Touches no table.
-- Why the first look: most flows are written in an order already.
CREATE FUNCTION pgqueue.flow_order(size integer, parents integer[], children integer[])
RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pgqueue, pg_temp
AS $$
DECLARE
    v_edges integer := coalesce(cardinality(flow_order.parents), 0);
    v_waits integer[] := array_fill(0, ARRAY[flow_order.size]);
    v_first integer[] := array_fill(0, ARRAY[flow_order.size + 1]);
    v_places integer[] := array_fill(0, ARRAY[flow_order.size]);
    v_queue integer[] := array_fill(0, ARRAY[flow_order.size]);
    v_before integer[];
    v_head integer := 1;
    v_tail integer := 0;
    v_one integer;
    v_path integer[];
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(flow_order.parents, flow_order.children) AS e (parent, child)
        WHERE e.parent >= e.child
    ) THEN
        RETURN ARRAY(SELECT n FROM generate_series(1, flow_order.size) AS n);
    END IF;
    -- v_first: where the edges of a job begin; they are sorted by parent.
    FOR v_edge IN REVERSE v_edges..1 LOOP
        v_first[flow_order.parents[v_edge]] := v_edge;
        v_one := flow_order.children[v_edge];
        v_waits[v_one] := v_waits[v_one] + 1;
    END LOOP;
    FOR v_job IN 1..flow_order.size LOOP
        IF v_waits[v_job] = 0 THEN
            v_tail := v_tail + 1;
            v_queue[v_tail] := v_job;
        END IF;
    END LOOP;
    WHILE v_head <= v_tail LOOP
        v_one := v_queue[v_head];
        v_places[v_one] := v_head;
        v_head := v_head + 1;
        IF v_first[v_one] > 0 THEN
            FOR v_edge IN v_first[v_one]..v_edges LOOP
                EXIT WHEN flow_order.parents[v_edge] <> v_one;
                v_waits[flow_order.children[v_edge]] := v_waits[flow_order.children[v_edge]] - 1;
                IF v_waits[flow_order.children[v_edge]] = 0 THEN
                    v_tail := v_tail + 1;
                    v_queue[v_tail] := flow_order.children[v_edge];
                END IF;
            END LOOP;
        END IF;
    END LOOP;
    IF v_tail = flow_order.size THEN
        RETURN v_places;
    END IF;
    -- Each that is left waits for one that is left: whoever follows that must come back.
    v_before := array_fill(0, ARRAY[flow_order.size]);
    FOR v_edge IN 1..v_edges LOOP
        IF v_waits[flow_order.parents[v_edge]] > 0 AND v_waits[flow_order.children[v_edge]] > 0 THEN
            v_before[flow_order.children[v_edge]] := flow_order.parents[v_edge];
            v_one := flow_order.children[v_edge];
        END IF;
    END LOOP;
    v_first := array_fill(0, ARRAY[flow_order.size]);
    WHILE v_first[v_one] = 0 LOOP
        v_first[v_one] := 1;
        v_one := v_before[v_one];
    END LOOP;
    v_path := ARRAY[-v_one];
    v_head := v_before[v_one];
    WHILE v_head <> v_one AND cardinality(v_path) < 20 LOOP
        v_path := v_path || -v_head;
        v_head := v_before[v_head];
    END LOOP;
    RETURN v_path || -v_one;
END
$$;

COMMENT ON FUNCTION pgqueue.flow_order(integer, integer[], integer[]) IS
'The order in which the jobs of a flow can run. Internal.

Args: size: how many jobs; parents, children: one pair for each job that runs after another, as
numbers from 1, sorted by parent.
Returns: the place of each job, from 1; or, all negative, the jobs of a circle, each after the next,
the first also the last, at most 20 of them.';
