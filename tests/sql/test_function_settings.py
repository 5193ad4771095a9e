"""What every function pins, whatever the session that calls it has set."""

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

#: Called within others only, which pin what they need; or inlined, which a setting would prevent.
INTERNAL = {
    "bucket": "a single expression, bound when it was created; called for every queue of a ring",
    "claim": "called by work, a setting more costs every batch",
    "fair_keys": "called by take_turns",
    "hold_back": "called by what makes jobs ready",
    "queue_room": "inlined into work and waiting",
    "rate_jobs": "a single expression, called by limit_queue",
    "rate_seconds": "a single expression, called by limit_queue",
    "release_slots": "called by settle, store_outcomes and others",
    "rest": "called by work",
    "take_slots": "called by work",
    "take_rates": "called by claim",
    "park": "called by pause and set_queue",
    "park_paused": "called by store_outcomes and rescue",
    "unpark": "called by resume and resume_due",
    "is_left": "inlined into sweep_unique_keys",
    "is_live": "inlined into what asks for it",
    "left_over": "called by store_outcomes",
    "release_unique_keys": "called by settle and claim",
    "refusal": "inlined into the statements of jobs_file and file_strays",
    "job_flags": "inlined into the statements of jobs_file, file_strays and retry",
    "apply_counts": "called by settle_features and end_groups",
    "apply_waits": "called by follow and advance",
    "call_back": "called by settle_features",
    "callback_jobs": "inlined into call_back and apply_counts",
    "callbacks_refusal": "called by refusal, create_group and enqueue_flow",
    "end_groups": "called by close_group, cancel_group and advance",
    "flow_refusal": "called by refusal",
    "follow": "called by settle_features",
    "parent_results": "called by claim",
    "reopen_groups": "called by retry and retry_group",
    "settle": "called by whatever ends jobs",
    "store_notes": "called by store_outcomes",
    "unique_refusal": "inlined into refusal",
    "schedule_job": "called twice a slot, by fire_schedules and run_schedule_now",
    "store_outcomes": "called by work, finish and forget_worker",
}


def settings(c: Connection) -> dict[str, set[str]]:
    """The settings of each function."""
    query = """
        SELECT p.proname, coalesce(p.proconfig, '{}') FROM pg_proc AS p
        WHERE p.pronamespace = 'pgqueue'::regnamespace
    """
    return {name: set(pinned) for name, pinned in c.execute(query)}


def test_all_but_the_internal_ones_pin_their_search_path(c: Connection) -> None:
    pinned = "search_path=pg_catalog, pgqueue, pg_temp"
    assert {name for name, found in settings(c).items() if pinned not in found} == set(INTERNAL)


def test_the_internal_ones_have_the_rights_of_their_caller(c: Connection) -> None:
    query = """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = 'pgqueue'::regnamespace AND p.prosecdef AND p.proname = ANY (%s)
    """
    assert c.execute(query, (list(INTERNAL),)).fetchall() == []


def test_no_plan_that_is_forced_is_compiled(c: Connection) -> None:
    """A plan with something switched off costs ten thousand million: 40 ms of compiling a beat."""
    forced = {"enable_seqscan=off", "plan_cache_mode=force_generic_plan"}
    compiled = [
        name for name, found in settings(c).items() if found & forced and "jit=off" not in found
    ]
    assert compiled == []


def test_a_search_path_of_the_callers_changes_nothing(c: Connection) -> None:
    """Operators and functions of the same names stand before those of the server."""
    c.execute("CREATE SCHEMA hostile")
    c.execute("CREATE FUNCTION hostile.now() RETURNS timestamptz RETURN NULL::timestamptz")
    c.execute("CREATE FUNCTION hostile.wrong(bigint, bigint) RETURNS boolean RETURN false")
    c.execute("CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint,"
              " FUNCTION = hostile.wrong)")  # fmt: skip
    c.execute("CREATE TABLE hostile.ready_jobs (n integer)")
    c.execute("SET search_path = hostile, pg_catalog")
    c.execute("INSERT INTO pgqueue.jobs (task) VALUES ('task')")
    row = c.execute("SELECT pgqueue.register_worker('worker')").fetchone()
    assert row is not None
    taken = c.execute("SELECT job_id, attempt FROM pgqueue.dequeue(%s)", row).fetchall()
    assert len(taken) == 1
    finish = "SELECT pgqueue.finish(%s::bigint, ARRAY[%s::bigint], '{1}')"
    assert c.execute(finish, (row[0], taken[0][0])).fetchone() == ([],)
    assert c.execute("SELECT pgqueue.retry(%s)", (taken[0][0],)).fetchone() == ("ready",)
