"""Limits: concurrency keys, queues with max_running, rate and max_pending."""

import datetime as dt
import json
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import column, ok, one, refused, tell, work

Connection = psycopg.Connection[Any]

AT = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)


def keyed(c: Connection, number: int = 1, key: str = "k", **columns: Any) -> list[int]:
    return factories.jobs(c, number, concurrency_key=key, **columns)


def states(c: Connection) -> dict[int, str]:
    return dict(c.execute("SELECT id, state FROM pgqueue.job_overview ORDER BY id").fetchall())


def limit(c: Connection, queue: str = "default", **limits: Any) -> None:
    c.execute("SELECT pgqueue.limit_queue(%s, %s)", (queue, json.dumps(limits)))


# Concurrency keys


def test_jobs_of_a_key_run_one_after_the_other(c: Connection) -> None:
    worker = factories.worker(c)
    ids = keyed(c, 3)
    plain = factories.job(c)
    assert set(work(c, worker).job_ids) == {plain, ids[0]}
    assert states(c)[ids[1]] == "blocked"
    for done, following in zip(ids, [*ids[1:], None], strict=True):
        ok(c, worker, done)
        assert work(c, worker).job_ids == ([following] if following else [])
    assert one(c, "SELECT count(*) FROM pgqueue.slots") == 0


def test_finish_and_the_next_one_are_one_call(c: Connection) -> None:
    worker = factories.worker(c)
    first, second = keyed(c, 2)
    hint = work(c, worker).hint_out
    answer = {"batch": 1, "ok": f"{{{first}}}", "us": "{5}"}
    assert work(c, worker, 2, answers=[answer], hint=hint).job_ids == [second]


def test_so_many_at_once(c: Connection) -> None:
    worker = factories.worker(c)
    ids = keyed(c, 5, max_running=3)
    assert work(c, worker).job_ids == ids[:3]
    ok(c, worker, ids[1])
    assert work(c, worker).job_ids == ids[3:4]
    assert work(c, worker).job_ids == []


def test_other_keys_are_not_blocked_and_priority_counts(c: Connection) -> None:
    worker = factories.worker(c)
    low = keyed(c, 2)
    (high,) = keyed(c, 1, priority=9)
    (other,) = keyed(c, 1, "other")
    assert work(c, worker).job_ids == [high, other]
    ok(c, worker, high)
    assert work(c, worker).job_ids == low[:1]


def test_who_comes_first_of_a_line_says_how_many(c: Connection) -> None:
    worker = factories.worker(c)
    first, *_ = keyed(c, 2)
    (wide,) = keyed(c, 1, max_running=2)
    assert work(c, worker).job_ids == [first]
    assert one(c, "SELECT pgqueue.set_priority(%s, 5)", wide) == "blocked"
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, worker).job_ids == [wide]


def test_a_limit_can_be_changed_while_they_wait(c: Connection) -> None:
    worker = factories.worker(c)
    ids = keyed(c, 4)
    c.execute("SELECT pgqueue.limit_key('k', 0)")
    assert work(c, worker).job_ids == []
    c.execute("SELECT pgqueue.limit_key('k', 3)")
    assert work(c, worker).job_ids == ids[:3]
    c.execute("SELECT pgqueue.limit_key('k', NULL)")
    ok(c, worker, *ids[:2])
    assert work(c, worker).job_ids == []
    ok(c, worker, ids[2])
    assert work(c, worker).job_ids == ids[3:]
    message = "max_running must be a whole number from 0 on, or null for what the jobs say; got -1"
    with refused("PQ004", message):
        c.execute("SELECT pgqueue.limit_key('k', -1)")


@pytest.mark.parametrize("way", ["retry", "snoozed", "unknown_task", "crashed"])
def test_a_job_that_runs_later_does_not_hold_its_key(c: Connection, way: str) -> None:
    worker = factories.worker(c)
    first, second = keyed(c, 2)
    work(c, worker)
    tell(c, worker, first, way, delay=3600)
    assert work(c, worker).job_ids == [second]
    c.execute("SELECT pgqueue.promote(at => clock_timestamp() + interval '2 hours')")
    assert states(c) == {first: "blocked", second: "running"}
    ok(c, worker, second)
    assert work(c, worker).job_ids == [first]


def test_a_future_job_does_not_hold_its_key(c: Connection) -> None:
    worker = factories.worker(c)
    (later,) = keyed(c, 1, run_at=AT.isoformat())
    (now,) = keyed(c)
    assert work(c, worker).job_ids == [now]
    assert states(c)[later] == "scheduled"


@pytest.mark.parametrize("way", ["unstarted", "interrupted"])
def test_a_job_that_was_given_back_keeps_its_slot(c: Connection, way: str) -> None:
    worker = factories.worker(c)
    first, second = keyed(c, 2)
    work(c, worker)
    tell(c, worker, first, way)
    assert states(c) == {first: "ready", second: "blocked"}
    assert work(c, worker).job_ids == [first]


@pytest.mark.parametrize("loss", ["rescue", "forget_worker"])
def test_nothing_leaks_when_a_worker_dies(c: Connection, loss: str) -> None:
    lost, other = factories.worker(c), factories.worker(c)
    limit(c, max_running=1)
    first, second = keyed(c, 2)
    assert work(c, lost).job_ids == [first]
    if loss == "rescue":
        c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch' WHERE id = %s", (lost,))
        one(c, "SELECT * FROM pgqueue.rescue()")
    else:
        one(c, "SELECT pgqueue.forget_worker(%s)", lost)
    assert work(c, other).job_ids == [first]
    ok(c, other, first)
    assert work(c, other).job_ids == [second]


@pytest.mark.parametrize("end", ["cancel", "delete", "delete_job", "expire", "fail"])
def test_whoever_ends_a_job_gives_its_slot_back(c: Connection, end: str) -> None:
    worker = factories.worker(c)
    expires = "now" if end == "expire" else None
    (first,) = keyed(c, 1, expires_at=expires)
    (second,) = keyed(c)
    if end == "fail":
        work(c, worker)
        tell(c, worker, first, "failed")
    else:
        assert work(c, worker, max_jobs=1, at=AT if end == "x" else "epoch").job_ids == [first]
        tell(c, worker, first, "unstarted")
        assert states(c)[first] == "ready"
        if end == "cancel":
            one(c, "SELECT pgqueue.cancel(%s)", first)
        elif end == "delete":
            c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (first,))
        elif end == "delete_job":
            one(c, "SELECT pgqueue.delete_job(%s)", first)
        else:
            one(c, "SELECT expired FROM pgqueue.expire()")
    assert work(c, worker).job_ids == [second]


def test_truncate_leaves_nothing(c: Connection) -> None:
    worker = factories.worker(c)
    keyed(c, 2)
    work(c, worker)
    c.execute("TRUNCATE pgqueue.jobs")
    assert one(c, "SELECT (SELECT count(*) FROM pgqueue.slots)"
               " + (SELECT count(*) FROM pgqueue.offers)") == 0  # fmt: skip
    (job,) = keyed(c)
    assert work(c, worker).job_ids == [job]


def test_retry_and_reschedule_go_through_the_line(c: Connection) -> None:
    worker = factories.worker(c)
    first, second = keyed(c, 2)
    work(c, worker)
    ok(c, worker, first)
    assert one(c, "SELECT pgqueue.retry(%s)", first) == "blocked"
    assert work(c, worker).job_ids == [first] or states(c)[second] == "running"
    (late,) = keyed(c, 1, "u", unique_key="u", run_at=AT.isoformat())
    keyed(c, 1, "u", unique_key="u", on_duplicate="reschedule")
    assert states(c)[late] == "blocked"
    assert late in work(c, worker).job_ids


def test_two_workers_do_not_count_the_same_free_slot(c: Connection, writer: Connection) -> None:
    one_worker, other = factories.worker(c), factories.worker(c)
    first, second = keyed(c, 2)
    assert work(writer, one_worker).job_ids == [first]
    # The line is being looked at by a transaction that has not ended.
    assert work(c, other).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is True
    writer.commit()
    assert work(c, other).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is False
    ok(c, one_worker, first)
    assert work(c, other).job_ids == [second]


def test_a_slot_that_is_given_back_while_others_look_is_not_forgotten(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    first, second = keyed(c, 2)
    work(c, worker)
    writer.execute("SELECT pgqueue.admit('{k}', clock_timestamp())")
    ok(c, worker, first)
    assert states(c)[second] == "blocked"
    writer.commit()
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, worker).job_ids == [second]


def test_an_offer_that_another_has_taken_already_is_left_anew(
    c: Connection, writer: Connection
) -> None:
    worker, other = factories.worker(c), factories.worker(c)
    (first,) = keyed(c)
    work(c, worker)
    (second,) = keyed(c)
    # It has deleted the offer of the second and counted the first one's slot.
    assert work(writer, other).job_ids == []
    ok(c, worker, first)
    writer.commit()
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, worker).job_ids == [second]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_who_does_not_see_the_line_leaves_an_offer(
    c: Connection, writer: Connection, isolation: str
) -> None:
    worker = factories.worker(c)
    (first,) = keyed(c)
    work(c, worker)
    writer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    writer.execute("SELECT FROM pgqueue.jobs")
    (second,) = keyed(c)
    assert work(c, worker, 2).job_ids == []
    assert one(writer, "SELECT pgqueue.finish_atomic(%s, 1, %s, 1)", worker, first) == "stored"
    writer.commit()
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, worker, 3).job_ids == [second]


def test_a_job_whose_row_is_held_is_looked_at_again(c: Connection, writer: Connection) -> None:
    worker = factories.worker(c)
    (first,) = keyed(c)
    writer.execute("SELECT FROM pgqueue.blocked_jobs FOR UPDATE")
    assert work(c, worker).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is True
    writer.rollback()
    assert work(c, worker).job_ids == [first]


def test_a_producer_that_has_not_committed_blocks_nobody(c: Connection, writer: Connection) -> None:
    worker = factories.worker(c)
    keyed(writer, 1)
    (mine,) = keyed(c)
    assert work(c, worker).job_ids == [mine]
    ok(c, worker, mine)
    writer.commit()
    assert len(work(c, worker).job_ids) == 1


def test_keys_of_one_insert_are_offered_together_and_in_its_order(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    query = """
        INSERT INTO pgqueue.jobs (task, concurrency_key)
        SELECT 't', k.key FROM unnest(%s::text[]) AS k (key)
    """
    keys = [f"k{7 * n % 300:03}" for n in range(300)]
    c.execute(query, (keys,))
    assert one(c, "SELECT count(*) FROM pgqueue.offers") == 3
    # Of one of them somebody else has the lock.
    lock = "SELECT pg_advisory_xact_lock(70677106, (hashtextextended(%s, 0) & 2147483647)::int)"
    writer.execute(lock, (keys[5],))
    ids = column(c, "SELECT id FROM pgqueue.jobs ORDER BY id")
    held = ids.pop(5)
    assert work(c, worker, max_jobs=500).job_ids == ids[:127]
    assert states(c)[held] == "blocked"
    assert work(c, worker, 2, max_jobs=500).job_ids == ids[127:255]
    writer.rollback()
    assert work(c, worker, 3, max_jobs=500).job_ids == [*ids[255:], held]
    assert one(c, "SELECT count(*) FROM pgqueue.offers") == 0


def test_a_job_that_becomes_ready_while_its_queue_is_paused_keeps_no_key(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (paused,), (other,) = keyed(c, queue="a"), keyed(c, queue="b")
    writer.execute("SELECT pgqueue.admit('{k}', clock_timestamp())")
    c.execute("SELECT pgqueue.pause('a')")
    writer.commit()
    assert states(c) == {paused: "ready", other: "blocked"}
    assert one(c, "SELECT pgqueue.tidy()") == 1
    assert states(c) == {paused: "blocked", other: "ready"}
    assert work(c, worker).job_ids == [other]
    ok(c, worker, other)
    c.execute("SELECT pgqueue.resume('a')")
    assert work(c, worker, 2).job_ids == [paused]
    assert one(c, "SELECT pgqueue.tidy()") == 0


def test_faults_are_found(c: Connection) -> None:
    worker = factories.worker(c)
    with c.transaction(force_rollback=True):
        keyed(c, 2)
        keyed(c, 1, "other")
        work(c, worker)
        c.execute("UPDATE pgqueue.slots SET job_id = 99 WHERE key = 'k:k'")
        c.execute("DELETE FROM pgqueue.slots WHERE key = 'k:other'")
        found = column(c, "SELECT problem FROM pgqueue.check_invariants() ORDER BY 1")
        assert found == [
            "job that counts without its slot",
            "job that counts without its slot",
            "slot without a job that counts",
        ]
    with c.transaction(force_rollback=True):
        keyed(c, 1)
        c.execute("DELETE FROM pgqueue.offers")
        found = column(c, "SELECT problem FROM pgqueue.check_invariants()")
        assert found == ["line that nobody looks at"]


# Queues


def test_a_queue_runs_so_many_at_once_of_all_workers(c: Connection) -> None:
    first, second = factories.worker(c), factories.worker(c)
    ids = factories.jobs(c, 6)
    limit(c, max_running=3)
    assert work(c, first, max_jobs=2).job_ids == ids[:2]
    assert work(c, second).job_ids == ids[2:3]
    assert work(c, second, 2).job_ids == []
    # At its limit it is no reason to stay awake.
    assert one(c, "SELECT pgqueue.waiting()") is False
    ok(c, first, ids[0])
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, second, 3).job_ids == ids[3:4]
    limit(c, max_running=None)
    assert work(c, second, 4).job_ids == ids[4:]
    assert one(c, "SELECT count(*) FROM pgqueue.slots") == 0


def test_jobs_that_run_already_count_against_a_new_limit(c: Connection) -> None:
    worker = factories.worker(c)
    ids = factories.jobs(c, 5)
    work(c, worker, max_jobs=2)
    limit(c, max_running=3)
    assert work(c, worker, 2).job_ids == ids[2:3]
    tell(c, worker, ids[0], "failed")
    tell(c, worker, ids[1], "retry", delay=60)
    assert work(c, worker, 3).job_ids == ids[3:]


def test_a_job_that_ends_while_a_limit_is_set_counts_no_longer(
    c: Connection, writer: Connection
) -> None:
    worker = factories.worker(c)
    (first,) = factories.jobs(c, 1)
    assert work(c, worker).job_ids == [first]
    ok(writer, worker, first)
    limit(c, max_running=1)
    writer.commit()
    (second,) = factories.jobs(c, 1)
    assert one(c, "SELECT pgqueue.tidy()") == 1
    assert work(c, worker, 2).job_ids == [second]
    # What runs keeps its slot.
    assert one(c, "SELECT pgqueue.tidy()") == 0
    assert one(c, "SELECT count(*) FROM pgqueue.slots") == 1


def test_two_claims_of_a_limited_queue_do_not_overrun(c: Connection, writer: Connection) -> None:
    first, second = factories.worker(c), factories.worker(c)
    limit(c, max_running=1)
    ids = factories.jobs(c, 2)
    assert work(writer, first).job_ids == ids[:1]
    assert work(c, second).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is True
    writer.rollback()
    assert work(c, second).job_ids == ids[:1]


def test_a_rate_is_never_exceeded_in_any_stretch_of_its_length(c: Connection) -> None:
    worker = factories.worker(c)
    limit(c, rate="10/m")
    factories.jobs(c, 200)
    started: list[float] = []
    # A worker that looks often, and at odd times.
    for step in range(1500):
        at = step * 0.37
        row = work(c, worker, step + 1, max_jobs=1 + step % 4, at=AT + dt.timedelta(seconds=at))
        started += [at] * len(row.job_ids)
    for begin in started:
        assert sum(begin <= at < begin + 60 for at in started) <= 10
    # 555 seconds: 9.25 periods.
    assert len(started) >= 0.95 * 10 * 9


def test_when_a_rate_is_used_up_the_leader_is_told_when_to_look_again(c: Connection) -> None:
    worker = factories.worker(c)
    limit(c, rate="5/10s")
    ids = factories.jobs(c, 8)
    assert work(c, worker, at=AT).job_ids == ids[:5]
    assert one(c, "SELECT pgqueue.waiting(at => %s)", AT) is False
    (at,) = column(c, "SELECT at FROM pgqueue.offers")
    assert dt.timedelta(seconds=10) <= at - AT <= dt.timedelta(seconds=10.2)
    assert work(c, worker, 2, at=at - dt.timedelta(milliseconds=1)).job_ids == []
    assert one(c, "SELECT count(*) FROM pgqueue.offers") == 1
    one(c, "SELECT moved FROM pgqueue.promote(at => %s)", at)
    assert one(c, "SELECT count(*) FROM pgqueue.offers") == 0
    assert work(c, worker, 3, at=at).job_ids == ids[5:]
    limit(c, rate=None)
    factories.jobs(c, 20)
    assert len(work(c, worker, 4, at=at).job_ids) == 20


def test_setting_a_rate_again_forgets_no_start(c: Connection) -> None:
    worker = factories.worker(c)
    limit(c, rate="2/h")
    ids = factories.jobs(c, 4)
    assert work(c, worker, at=AT).job_ids == ids[:2]
    limit(c, rate="2/h")
    assert work(c, worker, 2, at=AT).job_ids == []
    limit(c, rate="3/h")
    assert work(c, worker, 3, at=AT).job_ids == ids[2:3]
    limit(c, rate="1/2h")
    assert work(c, worker, 4, at=AT).job_ids == ids[3:]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ('{"max_run": 1}', "limits must be max_running, rate and max_pending; got 'max_run'"),
        ('{"max_running": -1}', "max_running must be a whole number from 0 on, or null for no"
         " limit; got -1"),
        ('{"max_pending": "x"}', "max_pending must be a whole number from 0 on, or null for no"
         " limit; got x"),
        ('{"rate": "0/m"}', "rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got '0/m'"),
        ('{"rate": "1/x"}', "rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got '1/x'"),
    ],
)  # fmt: skip
def test_bad_limits_are_refused(c: Connection, limits: str, message: str) -> None:
    with refused("PQ004", message):
        c.execute("SELECT pgqueue.limit_queue('q', %s)", (limits,))


def test_a_full_queue_refuses_more(c: Connection) -> None:
    worker = factories.worker(c)
    limit(c, "mail", max_pending=3)
    factories.jobs(c, 3, queue="mail")
    message = "queue 'mail' must have at most 3 jobs waiting; with these it would have more"
    hint = "enqueue later, or fewer at once, or raise its max_pending"
    with refused("PQ007", message, hint):
        factories.job(c, queue="mail")
    factories.job(c)
    work(c, worker, queues=("mail",), max_jobs=2)
    copying = "COPY pgqueue.jobs (task, queue) FROM STDIN"
    with refused("PQ007", message, hint), c.cursor() as cursor, cursor.copy(copying) as copy:
        for _ in range(3):
            copy.write_row(("t", "mail"))
    factories.jobs(c, 2, queue="mail", concurrency_key="k")
    with refused("PQ007", message, hint):
        c.execute("SELECT pgqueue.enqueue('t', queue => 'mail')")
    # What is due later does not wait yet.
    factories.job(c, queue="mail", run_at=AT)


def test_duplicates_find_room_in_a_full_queue(c: Connection) -> None:
    limit(c, "mail", max_pending=1)
    factories.job(c, queue="mail", unique_key="k")
    assert one(c, "SELECT pgqueue.enqueue('t', queue => 'mail', unique_key => 'k')") == 1


def test_a_busy_worker_of_another_queue_rings_for_what_it_admits(db: Database) -> None:
    """Who finishes a job of a key need not be who takes the next one."""
    c, sleeper = db.connect(), db.connect()
    worker = factories.worker(c)
    first, _second = keyed(c, 1, queue="a") + keyed(c, 1, queue="b")
    assert work(c, worker, queues=("a",)).job_ids == [first]
    sleeper.execute("LISTEN pgqueue")
    assert one(sleeper, "SELECT armed FROM pgqueue.arm('{b}')") is True
    ok(c, worker, first)
    assert [n.payload for n in sleeper.notifies(timeout=60, stop_after=1)] == ["b"]


# Fair keys


def served(c: Connection, worker: int, calls: int, most: int = 1) -> list[str]:
    """Whose jobs so many calls take, in order."""
    found: list[str] = []
    for number in range(calls):
        row = work(c, worker, number + 1, max_jobs=most)
        query = "SELECT coalesce(fair_key, '-') FROM pgqueue.jobs WHERE id = %s"
        found += [one(c, query, job) for job in row.job_ids]
    return found


def test_fair_keys_are_served_in_turn(c: Connection) -> None:
    worker = factories.worker(c)
    factories.jobs(c, 20, fair_key="a")
    factories.jobs(c, 3, fair_key="b")
    assert served(c, worker, 2) == ["a", "b"]
    factories.jobs(c, 2, fair_key="c")
    assert served(c, worker, 5) == ["c", "a", "b", "c", "a"]
    assert served(c, worker, 1, most=4) == ["b", "a", "a", "a"]
    assert one(c, "SELECT pgqueue.waiting('{default}')") is True
    assert one(c, "SELECT pgqueue.waiting('{other}')") is False


def test_jobs_without_a_fair_key_go_first_and_priority_counts_within_one(c: Connection) -> None:
    worker = factories.worker(c)
    (low,) = factories.jobs(c, 1, fair_key="a")
    (high,) = factories.jobs(c, 1, fair_key="a", priority=5)
    plain = factories.job(c)
    assert work(c, worker, max_jobs=1).job_ids == [plain]
    assert work(c, worker, max_jobs=1, queues=("default",)).job_ids == [high]
    assert one(c, "SELECT pgqueue.set_priority(%s, 9)", low) == "blocked"
    assert work(c, worker, max_jobs=1).job_ids == [low]


def test_fair_jobs_that_come_back_have_had_their_turn(c: Connection) -> None:
    worker = factories.worker(c)
    (job, other) = factories.jobs(c, 2, fair_key="a")
    work(c, worker, max_jobs=1)
    tell(c, worker, job, "unstarted")
    assert states(c) == {job: "ready", other: "blocked"}
    work(c, worker, max_jobs=1)
    tell(c, worker, job, "retry", delay=0)
    one(c, "SELECT moved FROM pgqueue.promote()")
    assert states(c)[job] == "blocked"
    assert one(c, "SELECT pgqueue.cancel(%s)", job) == "cancelled"
    assert work(c, worker).job_ids == [other]


def test_fair_jobs_wake_who_sleeps_and_paused_ones_do_not(c: Connection) -> None:
    c.execute("SELECT pgqueue.pause('mail')")
    factories.jobs(c, 1, fair_key="a", queue="mail")
    assert one(c, "SELECT pgqueue.waiting()") is False
    assert work(c, factories.worker(c)).job_ids == []
    c.execute("SELECT pgqueue.resume('mail')")
    assert one(c, "SELECT pgqueue.waiting()") is True


def test_two_workers_serve_one_queue(c: Connection, writer: Connection) -> None:
    first, second = factories.worker(c), factories.worker(c)
    for key in ("a", "b", "c"):
        factories.jobs(c, 2, fair_key=key)
    assert served(writer, first, 1, most=2) == ["a", "b"]
    assert len(work(c, second, max_jobs=9).job_ids) == 4
    writer.rollback()
    assert len(work(c, second, 2, max_jobs=9).job_ids) == 2


def test_who_finds_the_first_of_each_key_held_takes_the_second(
    c: Connection, writer: Connection
) -> None:
    first, second = factories.worker(c), factories.worker(c)
    for key in ("a", "b", "c"):
        factories.jobs(c, 2, fair_key=key)
    assert served(writer, first, 1, most=3) == ["a", "b", "c"]
    assert served(c, second, 1, most=3) == ["a", "b", "c"]
    writer.commit()


def test_a_limited_queue_is_served_in_turn(c: Connection) -> None:
    worker = factories.worker(c)
    limit(c, max_running=2)
    factories.jobs(c, 5, fair_key="a")
    factories.jobs(c, 5, fair_key="b")
    assert served(c, worker, 1, most=9) == ["a", "b"]
    assert work(c, worker, 2).job_ids == []
    assert one(c, "SELECT count(*) FROM pgqueue.ready_jobs") == 0


# Cancel by match


def test_jobs_are_cancelled_by_what_they_are(c: Connection) -> None:
    worker = factories.worker(c)
    running = factories.job(c, "a", args='[1, {"x": 1, "y": [2]}]')
    work(c, worker)
    same = [
        factories.job(c, "a", args='[1,{"y":[2],"x":1}]'),
        factories.job(c, "a", args='[1, {"x": 1, "y": [2]}]', run_at=AT),
    ]
    other = factories.job(c, "a", args="[2]", kwargs='{"k": 1}', queue="mail", unique_key="u")
    blocked = factories.jobs(c, 2, "b", concurrency_key="k")
    match = "SELECT * FROM pgqueue.cancel_matching"
    found = one(c, match + "(task => 'a', args => '[1, {\"x\": 1, \"y\": [2]}]', reason => 'no')")
    assert found == (2, 1)
    assert [states(c)[job] for job in (*same, other, running)] == [
        "cancelled", "cancelled", "ready", "running",
    ]  # fmt: skip
    assert column(c, "SELECT job_id FROM pgqueue.cancel_requests") == [running]
    assert column(c, "SELECT DISTINCT error FROM pgqueue.finished_jobs") == ["cancelled: no"]
    assert one(c, match + "(queue => 'mail', kwargs => '{\"k\":1}', unique_key => 'x')") == (0, 0)
    assert one(c, match + "(older_than => '1 hour')") == (0, 0)
    assert one(c, match + "(unique_key => 'u')") == (1, 0)
    assert one(c, match + "(concurrency_key => 'k')") == (2, 0)
    assert set(blocked) < set(states(c))
    assert one(c, match + "(task => 'a', older_than => '0')") == (0, 1)
    message = (
        "cancel_matching must be told what to match: task, args, kwargs, queue, unique_key,"
        " concurrency_key, older_than or group_id"
    )
    with refused("PQ004", message):
        one(c, match + "(reason => 'all of them')")
    for bad, message in (
        ("args => '{\"a\": 1}'", "args must be a JSON array; got object"),
        ("kwargs => '[]'", "kwargs must be a JSON object; got array"),
        ("older_than => '-1 day'", "older_than must not be negative; got -1 days"),
    ):
        with refused("PQ004", message):
            one(c, f"{match}({bad})")
