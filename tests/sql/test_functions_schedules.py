"""Schedules in the database: made, changed, paused, fired, declared, pruned."""

import datetime as dt
import json
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT, column, one, refused
from tests.sql.sleeper import Connection

HOUR = dt.timedelta(hours=1)


def schedule(c: Connection, name: str = "s", at: dt.datetime = AT, **words: Any) -> int:
    """Make a schedule by name; every hour unless told otherwise."""
    given = {"name": name, "task": "task", "at": at, **words}
    if not {"every", "cron", "rrule", "run_at"} & words.keys():
        given["every"] = "1h"
    call = ", ".join(f"{word} => %({word})s" for word in given)
    row = c.execute(f"SELECT pgqueue.schedule({call})".encode(), given).fetchone()
    assert row is not None
    return int(row[0])


def row(c: Connection, name: str = "s") -> dict[str, Any]:
    """The row of a schedule."""
    found = one(c, "SELECT to_jsonb(s) FROM pgqueue.schedules AS s WHERE name = %s", name)
    assert isinstance(found, dict)
    return found


def due(c: Connection, at: dt.datetime = AT, most: int = 500) -> list[dict[str, Any]]:
    """What the leader gets."""
    found: list[dict[str, Any]] = one(c, "SELECT pgqueue.due_schedules(%s, %s)", most, at)[
        "schedules"
    ]
    return found


def planned(found: dict[str, Any], *slots: dt.datetime, **words: Any) -> dict[str, Any]:
    """A plan that runs these slots, the next being an hour after the last."""
    last = slots[-1] if slots else AT
    following = (last + HOUR).isoformat()
    return {
        "id": found["id"],
        "revision": found["revision"],
        "slots": [slot.isoformat() for slot in slots],
        "done_until": last.isoformat(),
        "next_slot": following,
        "next_run_at": following,
        **words,
    }


def fire(c: Connection, *plans: dict[str, Any], at: dt.datetime = AT) -> tuple[int, int]:
    """Carry plans out; gives how many jobs were made and schedules moved."""
    fired, moved = one(
        c, "SELECT fired, moved FROM pgqueue.fire_schedules(%s, %s)", json.dumps(plans), at
    )
    return fired, moved


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# Making


def test_a_new_schedule_waits_for_the_leader(c: Connection) -> None:
    assert c.execute("SELECT pgqueue.schedules_due_in()").fetchall() == [(None,)]
    found = schedule(c, cron="0 9 * * *", timezone="Europe/Berlin")
    assert one(c, "SELECT pgqueue.schedules_due_in(%s)", AT) == 0
    [asked] = due(c)
    assert asked["id"] == found
    assert (asked["kind"], asked["rule"]) == ("cron", "0 9 * * *")
    assert moment(asked["done_until"]) == AT
    assert one(c, "SELECT status FROM pgqueue.schedule_overview") == "active"


def test_the_same_again_changes_nothing_that_has_run(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    before = row(c)
    schedule(c, at=AT + 2 * HOUR)
    after = row(c)
    same = ("id", "done_until", "last_slot", "runs", "starts_at", "last_job_id")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["revision"] > before["revision"]
    assert after["next_run_at"] == "-infinity"


def test_another_rule_counts_from_now(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    schedule(c, every="5m", at=AT + 5 * HOUR)
    found = row(c)
    assert moment(found["done_until"]) == moment(found["starts_at"]) == AT + 5 * HOUR
    assert found["last_slot"] is None
    assert found["runs"] == 1


def test_a_start_that_lies_back_counts_as_missed(c: Connection) -> None:
    schedule(c, "past", starts_at=AT - 5 * HOUR)
    schedule(c, "once", run_at=AT - HOUR)
    assert moment(row(c, "past")["done_until"]) < AT - 5 * HOUR
    assert moment(row(c, "once")["done_until"]) < AT - HOUR


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": ""}, "name must be 1 to 200 bytes; got 0 bytes"),
        (
            {"every": "1h", "cron": "* * * * *"},
            "one of every, cron, rrule and run_at must be given, and only one",
        ),
        ({"every": ""}, "every must be 1 to 1,000 characters"),
        ({"repeats": 0}, "repeats must be 1 or more, or left out; got 0"),
        ({"jitter": "2 days"}, "jitter must be between 0 and 1 day; got 2 days"),
        ({"catch_up": "yes"}, "catch_up must be all, once or skip; got 'yes'"),
        ({"max_catch_up": 0}, "max_catch_up must be between 1 and 100000; got 0"),
        ({"overlap": "no"}, "overlap must be allow, skip or queue; got 'no'"),
        ({"task": ""}, "task must be a name of 1 to 500 bytes; got 0 bytes"),
        ({"args": '{"password": 1}'}, "args must be a JSON array; got object"),
        ({"queue": "*"}, 'queue must be a name of 1 to 200 bytes and not "*"; got "*"'),
        (
            {"starts_at": "infinity"},
            "starts_at and run_at must lie between the years 1900 and 9990",
        ),
        (
            {"priority": 99999},
            "priority must be between -32768 and 32767, max_attempts between 1 and 32767; "
            "got 99999 and null",
        ),
        ({"source": "me"}, "source must be api, code or sql"),
        ({"options": "[]"}, "options must be a JSON object, or left out; got array"),
        (
            {"options": '{"unique": 1, "rate": "5/s"}'},
            "options must have no keys but unique_key, unique_while, unique_for, on_duplicate, "
            "group_id, callbacks, concurrency_key, max_running, fair_key, rate; got 'unique'",
        ),
        (
            {"options": '{"concurrency_key": ""}'},
            "concurrency_key must be text of 1 to 1000 bytes; got 0 bytes",
        ),
    ],
)
def test_what_could_not_be_is_refused(c: Connection, words: dict[str, Any], message: str) -> None:
    with refused("PQ004", message):
        schedule(c, **words)
    assert column(c, "SELECT name FROM pgqueue.schedules") == []


# Firing


def test_the_job_is_what_the_schedule_says(c: Connection) -> None:
    schedule(
        c, task="report", args="[1]", kwargs='{"a": 2}', queue="slow", priority=7,
        expires="10 min", timeout="1 min", max_attempts=3, meta='{"mine": 1}',
        planned_kwarg="when",
    )  # fmt: skip
    slot = AT + HOUR
    assert fire(c, planned(due(c)[0], slot), at=slot) == (1, 1)
    job = one(c, "SELECT to_jsonb(o) FROM pgqueue.job_overview AS o")
    assert (job["task"], job["args"], job["queue"], job["priority"]) == ("report", [1], "slow", 7)
    assert job["kwargs"] == {
        "a": 2,
        "when": {"$t": "datetime", "v": "2040-01-01T01:00:00.000000+00:00"},
    }
    assert job["meta"] == {
        "mine": 1,
        "pgqueue": {"schedule": "s", "planned_at": "2040-01-01T01:00:00.000000+00:00"},
    }
    assert moment(job["expires_at"]) == slot + dt.timedelta(minutes=10)
    assert (job["timeout"], job["max_attempts"], job["state"]) == ("00:01:00", 3, "ready")
    found = row(c)
    assert found["last_job_id"] == job["id"]
    assert found["runs"] == 1
    assert moment(found["next_run_at"]) == slot + HOUR
    assert one(c, "SELECT pgqueue.schedules_due_in(%s)", slot) == 3600
    assert due(c, slot) == []


def test_of_two_leaders_one_fires(c: Connection) -> None:
    schedule(c)
    plan = planned(due(c)[0], AT + HOUR)
    assert fire(c, plan) == (1, 1)
    assert fire(c, plan) == (0, 0)
    assert column(c, "SELECT count(*) FROM pgqueue.jobs") == [1]


def test_two_leaders_at_the_same_moment(c: Connection, db: Database) -> None:
    for number in range(20):
        schedule(c, f"s{number:02}")
    plans = [planned(found, AT + HOUR) for found in due(c)]
    with db.connect(autocommit=False) as other:
        assert fire(other, *plans[:10]) == (10, 10)
        assert fire(c, *plans) == (10, 10)
        other.commit()
    assert fire(c, *plans) == (0, 0)
    slots = "SELECT count(*), count(DISTINCT schedule_id) FROM pgqueue.schedule_runs"
    assert one(c, slots) == (20, 20)
    assert column(c, "SELECT count(*) FROM pgqueue.jobs") == [20]


def test_a_leader_that_dies_in_between_leaves_nothing(c: Connection, db: Database) -> None:
    schedule(c)
    plan = planned(due(c)[0], AT + HOUR)
    other = db.connect(autocommit=False)
    assert fire(other, plan) == (1, 1)
    c.execute("SELECT pg_terminate_backend(%s, 60000)", (other.info.backend_pid,))
    assert column(c, "SELECT count(*) FROM pgqueue.jobs") == [0]
    assert fire(c, plan) == (1, 1)


def test_a_slot_runs_once_though_somebody_turns_it_back(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR))
    c.execute("UPDATE pgqueue.schedules SET done_until = %s, next_run_at = '-infinity'", (AT,))
    assert fire(c, planned(due(c)[0], AT + HOUR, AT + 2 * HOUR)) == (1, 1)
    assert row(c)["runs"] == 2


@pytest.mark.parametrize("change", ["pause_schedule('s')", "schedule('s', 'task', every => '1m')"])
def test_what_was_changed_meanwhile_is_planned_anew(c: Connection, change: str) -> None:
    schedule(c)
    plan = planned(due(c)[0], AT + HOUR)
    c.execute(f"SELECT pgqueue.{change}".encode())
    assert fire(c, plan) == (0, 0)


def test_one_that_is_refused_does_not_hold_up_the_others(c: Connection) -> None:
    for name in "abc":
        schedule(c, name)
    c.execute("UPDATE pgqueue.schedules SET args = '{}' WHERE name = 'b'")
    assert fire(c, *(planned(found, AT + HOUR) for found in due(c))) == (2, 3)
    errors = "SELECT name, error FROM pgqueue.schedule_overview WHERE status = 'error'"
    assert c.execute(errors).fetchall() == [("b", "args must be a JSON array; got object")]
    found = row(c, "b")
    assert moment(found["done_until"]) == AT
    assert moment(found["next_run_at"]) == AT + dt.timedelta(minutes=5)


def test_an_error_of_the_plan_is_kept_until_one_works(c: Connection) -> None:
    schedule(c)
    again = (AT + HOUR).isoformat()
    assert fire(c, planned(due(c)[0], error="no such zone", next_run_at=again)) == (0, 1)
    assert row(c)["error"] == "no such zone"
    assert due(c) == []
    assert fire(c, planned(due(c, AT + HOUR)[0], AT + HOUR), at=AT + HOUR) == (1, 1)
    assert row(c)["error"] is None


def test_repeats_end_it(c: Connection) -> None:
    schedule(c, repeats=2)
    fire(c, planned(due(c)[0], AT + HOUR, AT + 2 * HOUR))
    found = row(c)
    assert (found["runs"], found["next_slot"], found["next_run_at"]) == (2, None, None)
    assert one(c, "SELECT status FROM pgqueue.schedule_overview") == "ended"


def test_skip_leaves_slots_out_while_the_last_job_lives(c: Connection) -> None:
    schedule(c, overlap="skip")
    assert fire(c, planned(due(c)[0], AT + HOUR, AT + 2 * HOUR)) == (1, 1)
    found = row(c)
    assert (found["runs"], found["skipped"]) == (1, 1)
    c.execute("UPDATE pgqueue.schedules SET next_run_at = '-infinity'")
    assert fire(c, planned(due(c)[0], AT + 3 * HOUR)) == (0, 1)
    assert moment(row(c)["last_slot"]) == AT + 3 * HOUR
    c.execute("SELECT pgqueue.cancel(%s)", (found["last_job_id"],))
    c.execute("UPDATE pgqueue.schedules SET next_run_at = '-infinity'")
    assert fire(c, planned(due(c)[0], AT + 4 * HOUR)) == (1, 1)
    runs = "SELECT job_id IS NULL FROM pgqueue.schedule_runs ORDER BY slot"
    assert column(c, runs) == [False, True, True, False]


def test_queue_waits_for_the_last_job(c: Connection) -> None:
    schedule(c, overlap="queue")
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    second = AT + 2 * HOUR
    assert fire(c, planned(due(c, second)[0], second), at=second) == (0, 1)
    found = row(c)
    assert moment(found["done_until"]) == AT + HOUR
    assert moment(found["next_slot"]) == second
    assert moment(found["next_run_at"]) == second + dt.timedelta(seconds=1)
    assert moment(found["held_slot"]) == second
    # A program that says the same again, and a pause that comes to nothing, change nothing of it.
    schedule(c, overlap="queue", at=second)
    c.execute("SELECT pgqueue.resume_schedule('s')")
    assert moment(row(c)["held_slot"]) == second
    c.execute("SELECT pgqueue.cancel(%s)", (found["last_job_id"],))
    later = second + dt.timedelta(seconds=1)
    (one,) = due(c, later)
    assert moment(one["held_slot"]) == second
    assert fire(c, planned(one, second), at=later) == (1, 1)
    assert row(c)["held_slot"] is None


def test_what_a_pause_held_is_dropped(c: Connection) -> None:
    schedule(c, overlap="queue")
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    second = AT + 2 * HOUR
    assert fire(c, planned(due(c, second)[0], second), at=second) == (0, 1)
    c.execute("SELECT pgqueue.pause_schedule('s')")
    c.execute("SELECT pgqueue.resume_schedule('s', %s)", (AT + 9 * HOUR,))
    assert row(c)["held_slot"] is None


def test_a_task_that_nobody_knows_is_shown_and_not_piled_up(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    job = row(c)["last_job_id"]
    with c.transaction():
        c.execute("DELETE FROM pgqueue.ready_jobs")
        c.execute(
            "INSERT INTO pgqueue.scheduled_jobs (job_id, run_at, queue, priority, reason)"
            " VALUES (%s, 'infinity', 'default', 0, 'unknown_task')",
            (job,),
        )
    view = "SELECT status, error FROM pgqueue.schedule_overview"
    known = f"no worker knows the task task; job {job} waits for one"
    assert c.execute(view).fetchall() == [("error", known)]
    second = AT + 2 * HOUR
    assert fire(c, planned(due(c, second)[0], second), at=second) == (0, 1)
    found = row(c)
    assert found["error"] == known
    assert moment(found["done_until"]) == AT + HOUR
    c.execute("UPDATE pgqueue.scheduled_jobs SET reason = 'delayed'")
    later = second + dt.timedelta(seconds=15)
    assert fire(c, planned(due(c, later)[0], second), at=later) == (1, 1)
    assert row(c)["error"] is None


# People


def test_pause_and_resume(c: Connection) -> None:
    schedule(c)
    assert one(c, "SELECT pgqueue.pause_schedule('s', %s)", AT) is True
    assert one(c, "SELECT pgqueue.pause_schedule('s', %s)", AT) is False
    assert due(c) == []
    schedule(c, every="5m")
    assert due(c) == []
    assert one(c, "SELECT status FROM pgqueue.schedule_overview") == "paused"
    assert one(c, "SELECT pgqueue.resume_schedule('s', %s)", AT + 9 * HOUR) is True
    assert one(c, "SELECT pgqueue.resume_schedule('s', %s)", AT + 9 * HOUR) is False
    assert moment(due(c)[0]["done_until"]) == AT + 9 * HOUR


def test_once_that_was_paused_runs_late(c: Connection) -> None:
    schedule(c, run_at=AT + HOUR)
    c.execute("SELECT pgqueue.pause_schedule('s', %s)", (AT,))
    c.execute("SELECT pgqueue.resume_schedule('s', %s)", (AT + 9 * HOUR,))
    assert moment(due(c)[0]["done_until"]) < AT + HOUR


def test_run_now_is_beside_the_plan(c: Connection) -> None:
    schedule(c, kwargs='{"a": 1}')
    c.execute("SELECT pgqueue.pause_schedule('s')")
    job = one(c, "SELECT pgqueue.run_schedule_now('s', %s)", AT + HOUR)
    assert factories.state(c, job) == "ready"
    found = row(c)
    assert (found["runs"], found["last_job_id"], found["paused"]) == (0, job, True)
    assert one(c, "SELECT job_id, manual FROM pgqueue.schedule_runs") == (job, True)


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_run_now_hides_no_job_that_lives(c: Connection, overlap: str) -> None:
    """A job asked for is over while the one before it still lives: that one counts too."""
    schedule(c, overlap=overlap)
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    first = row(c)["last_job_id"]
    for minutes in (1, 2):
        asked = one(c, "SELECT pgqueue.run_schedule_now('s', %s)", AT + HOUR * (1 + minutes / 60))
        c.execute("SELECT pgqueue.cancel(%s)", (asked,))
    assert row(c)["earlier_job_ids"] == [first]
    second = AT + 2 * HOUR
    assert fire(c, planned(due(c, second)[0], second), at=second) == (0, 1)
    c.execute("SELECT pgqueue.cancel(%s)", (first,))
    c.execute("UPDATE pgqueue.schedules SET next_run_at = '-infinity'")
    third = AT + 3 * HOUR
    assert fire(c, planned(due(c, third)[0], third), at=third) == (1, 1)
    assert row(c)["earlier_job_ids"] == []


TIES = {
    "unique_key": "k",
    "unique_while": "waiting",
    "unique_for": "10 min",
    "on_duplicate": "replace",
    "callbacks": {"on_success": "after"},
    "concurrency_key": "line of {planned_at}",
    "max_running": 2,
    "rate": "100/m",
}


def test_jobs_have_keys_limits_and_callbacks(c: Connection) -> None:
    group = one(c, "SELECT pgqueue.create_group('g')")
    schedule(c, options=json.dumps({**TIES, "group_id": group}))
    fire(c, planned(due(c)[0], AT + HOUR), at=AT + HOUR)
    found = one(c, "SELECT to_jsonb(j) FROM pgqueue.jobs AS j")
    slot = (AT + HOUR).isoformat(timespec="microseconds")
    assert {name: found[name] for name in TIES} == {
        **TIES, "unique_for": "00:10:00", "concurrency_key": f"line of {slot}",
    }  # fmt: skip
    assert found["group_id"] == group
    assert one(c, "SELECT options ->> 'unique_for' FROM pgqueue.schedule_overview") == "600s"
    asked = one(c, "SELECT pgqueue.run_schedule_now('s', %s)", AT + 2 * HOUR)
    again = one(c, "SELECT to_jsonb(j) FROM pgqueue.jobs AS j WHERE id = %s", asked)
    assert (again["max_running"], again["unique_key"]) == (2, "k")
    # Said without them, it has none.
    schedule(c)
    assert row(c)["options"] is None


def test_jobs_of_one_line_run_one_at_a_time(c: Connection) -> None:
    schedule(c, options='{"concurrency_key": "line", "max_running": 1}', queue="q")
    slots = [AT + HOUR, AT + 2 * HOUR]
    assert fire(c, planned(due(c)[0], *slots), at=slots[-1]) == (2, 1)
    assert column(c, "SELECT reason FROM pgqueue.blocked_jobs") == ["concurrency"] * 2


def test_a_slot_whose_key_another_job_has_is_skipped(c: Connection) -> None:
    """And holds nobody up, whatever on_duplicate says; a repeat that made no job is still due."""
    ties = '{"unique_key": "k", "on_duplicate": "error"}'
    schedule(c, options=ties, repeats=2)
    schedule(c, "other")
    holder = one(c, "SELECT pgqueue.enqueue('task', unique_key => 'k')")
    plans = [planned(found, AT + HOUR) for found in due(c)]
    assert fire(c, *plans, at=AT + HOUR) == (1, 2)
    told = "SELECT job_id, duplicate_of FROM pgqueue.schedule_runs WHERE schedule_id = %s"
    assert c.execute(told, (row(c)["id"],)).fetchall() == [(None, holder)]
    found = row(c)
    assert (found["runs"], found["skipped"], found["last_job_id"]) == (0, 1, None)
    assert (found["last_fired_at"], moment(found["last_slot"])) == (None, AT + HOUR)
    c.execute("SELECT pgqueue.cancel(%s)", (holder,))
    # Of two slots of one firing the second is a duplicate of the first.
    slots = [AT + 2 * HOUR, AT + 3 * HOUR]
    [mine] = [one for one in due(c, slots[1]) if one["id"] == row(c)["id"]]
    assert fire(c, planned(mine, *slots), at=slots[1]) == (1, 1)
    found = row(c)
    first = found["last_job_id"]
    assert (found["runs"], found["skipped"]) == (1, 2)
    assert moment(found["next_run_at"]) == AT + 4 * HOUR
    assert c.execute(told + " ORDER BY slot", (found["id"],)).fetchall() == [
        (None, holder), (first, None), (None, first),
    ]  # fmt: skip
    # Asked for, too.
    assert one(c, "SELECT pgqueue.run_schedule_now('s', %s)", AT + 5 * HOUR) == first
    again = row(c)
    assert (again["runs"], again["skipped"], again["last_job_id"]) == (1, 2, first)
    assert c.execute(told + " AND manual", (found["id"],)).fetchall() == [(None, first)]
    c.execute("SELECT pgqueue.cancel(%s)", (first,))
    asked = one(c, "SELECT pgqueue.run_schedule_now('s', %s)", AT + 6 * HOUR)
    assert row(c)["last_job_id"] == asked != first


def test_a_group_that_is_gone_holds_nobody_else_up(c: Connection) -> None:
    group = one(c, "SELECT pgqueue.create_group('g')")
    schedule(c, options=json.dumps({"group_id": group}))
    schedule(c, "other")
    c.execute("SELECT pgqueue.delete_group(%s)", (group,))
    assert fire(c, *[planned(found, AT + HOUR) for found in due(c)], at=AT + HOUR) == (1, 2)
    assert row(c)["error"] == f"group_id must name a group that has not ended; got {group}"


def test_of_no_schedule(c: Connection) -> None:
    for call in ("pause_schedule", "resume_schedule", "run_schedule_now"):
        assert c.execute(f"SELECT pgqueue.{call}('none')".encode()).fetchall() in ([], [(None,)])
    assert one(c, "SELECT pgqueue.delete_schedule('none')") is False


def test_delete_keeps_the_jobs(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR))
    assert one(c, "SELECT pgqueue.delete_schedule('s')") is True
    assert column(c, "SELECT count(*) FROM pgqueue.schedule_runs") == [0]
    assert column(c, "SELECT count(*) FROM pgqueue.jobs") == [1]


# Code


def declare(c: Connection, module: str, *schedules: dict[str, Any], at: dt.datetime = AT) -> Any:
    return one(
        c,
        "SELECT changed, withdrawn FROM pgqueue.declare_schedules(%s, %s, %s)",
        [module, f"{module}.more"],
        json.dumps([{"module": module, **one} for one in schedules]),
        at,
    )


def test_what_code_declares(c: Connection) -> None:
    a = {"name": "a", "task": "t", "every": "1h", "jitter": 5}
    b = {"name": "b", "task": "t", "cron": "@daily"}
    assert declare(c, "shop", a, b) == (2, 0)
    assert declare(c, "shop", a, b) == (0, 0)
    assert declare(c, "other") == (0, 0)
    before = row(c, "a")["revision"]
    assert declare(c, "shop", a, at=AT + HOUR) == (0, 1)
    assert row(c, "a")["revision"] == before
    assert one(c, "SELECT status FROM pgqueue.schedule_overview WHERE name = 'b'") == "undeclared"
    assert [found["id"] for found in due(c)] == [row(c, "a")["id"]]
    assert declare(c, "shop", a, b, at=AT + 9 * HOUR) == (1, 0)
    assert moment(row(c, "b")["done_until"]) == AT + 9 * HOUR


def test_declarations_that_are_no_list(c: Connection) -> None:
    for told, got in (("{}", "object"), (None, "null")):
        with refused("PQ004", f"schedules must be a JSON array; got {got}"):
            c.execute("SELECT pgqueue.declare_schedules('{}', %s)", (told,))


def test_changes_in_the_database_stay_until_the_code_says_something_else(c: Connection) -> None:
    a = {"name": "a", "task": "t", "every": "1h"}
    declare(c, "shop", a)
    c.execute("UPDATE pgqueue.schedules SET priority = 9")
    c.execute("SELECT pgqueue.pause_schedule('a')")
    assert declare(c, "shop", a) == (0, 0)
    assert (row(c, "a")["priority"], row(c, "a")["paused"]) == (9, True)
    assert declare(c, "shop", {**a, "every": "2h"}) == (1, 0)
    found = row(c, "a")
    assert (found["priority"], found["paused"], found["rule"]) == (0, True, "2h")
    assert due(c) == []


def test_code_that_moves_to_another_module(c: Connection) -> None:
    a = {"name": "a", "task": "t", "every": "1h"}
    declare(c, "shop", a)
    c.execute("UPDATE pgqueue.schedules SET priority = 9")
    assert declare(c, "shop.more", a) == (1, 0)
    assert declare(c, "other") == (0, 0)
    assert (row(c, "a")["declared_by"], row(c, "a")["priority"]) == ("shop.more", 9)
    assert declare(c, "shop") == (0, 1)


def test_code_and_people_take_a_schedule_over(c: Connection) -> None:
    declare(c, "shop", {"name": "s", "task": "t", "every": "1h"})
    schedule(c, source="api")
    assert declare(c, "shop") == (0, 0)
    assert row(c)["source"] == "api"


# Upkeep


def test_old_runs_are_forgotten(c: Connection) -> None:
    schedule(c)
    fire(c, planned(due(c)[0], AT + HOUR, AT + 2 * HOUR), at=AT)
    call = "SELECT pgqueue.prune_schedule_runs(1, '1 day', %s)"
    assert one(c, call, AT) == 0
    late = AT + dt.timedelta(days=2)
    assert [one(c, call, late) for _ in range(3)] == [1, 1, 0]


def test_what_is_due_is_one_descent_of_an_index(c: Connection) -> None:
    c.execute(
        "INSERT INTO pgqueue.schedules (name, task, kind, rule, starts_at, done_until, next_run_at)"
        " SELECT 's' || n, 't', 'every', '1h', now(), now(), now() + make_interval(secs => n)"
        " FROM generate_series(1, 20000) AS n"
    )
    c.execute("ANALYZE pgqueue.schedules")
    with c.transaction():
        c.execute("SET LOCAL enable_seqscan = off")
        plan = c.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT next_run_at FROM pgqueue.schedules"
            " WHERE next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1"
        ).fetchone()
    assert plan is not None
    node = plan[0][0]["Plan"]
    assert node["Shared Hit Blocks"] + node["Shared Read Blocks"] <= 5


def test_an_error_does_not_print_arguments(c: Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        schedule(c, args='{"password": "hunter2"}')
    assert "hunter2" not in str(caught.value)
