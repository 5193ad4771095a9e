"""Rates of concurrency keys, and what a pause does to a line."""

import concurrent.futures
import datetime as dt
import itertools
import json
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import AT, column, ok, one, refused, tell, work

Connection = psycopg.Connection[Any]


def rated(c: Connection, number: int, rate: str = "10/m", key: str = "k", **more: Any) -> list[int]:
    return factories.jobs(c, number, concurrency_key=key, rate=rate, **more)


def after(seconds: float) -> dt.datetime:
    return AT + dt.timedelta(seconds=seconds)


def states(c: Connection) -> dict[int, str]:
    return dict(c.execute("SELECT id, state FROM pgqueue.job_overview ORDER BY id").fetchall())


def test_a_rate_of_a_key_is_never_exceeded_and_used_up(c: Connection) -> None:
    workers = [factories.worker(c) for _ in range(3)]
    rated(c, 200)
    started: list[float] = []
    # Workers that look often, and at odd times; the leader looks in between.
    for step in range(1500):
        at = step * 0.37
        one(c, "SELECT moved FROM pgqueue.promote(at => %s)", after(at))
        row = work(c, workers[step % 3], step + 1, max_jobs=1 + step % 4, at=after(at))
        started += [at] * len(row.job_ids)
    for begin in started:
        assert sum(begin <= at < begin + 60 for at in started) <= 10
    # 555 seconds: 9.25 periods.
    assert len(started) >= 0.95 * 10 * 9


def test_what_is_ready_but_has_not_started_counts(c: Connection) -> None:
    worker = factories.worker(c)
    rated(c, 25)
    # All that the rate permits go on; one of them starts at once, the others late.
    assert len(work(c, worker, 1, max_jobs=1, at=after(0)).job_ids) == 1
    one(c, "SELECT moved FROM pgqueue.promote(at => %s)", after(59))
    assert len(work(c, worker, 2, at=after(59)).job_ids) == 9
    one(c, "SELECT moved FROM pgqueue.promote(at => %s)", after(61.5))
    assert len(work(c, worker, 3, at=after(61.5)).job_ids) == 1
    one(c, "SELECT moved FROM pgqueue.promote(at => %s)", after(118))
    assert work(c, worker, 4, at=after(118)).job_ids == []
    one(c, "SELECT moved FROM pgqueue.promote(at => %s)", after(121))
    assert len(work(c, worker, 5, at=after(121)).job_ids) == 9


def test_who_waited_on_the_way_does_not_date_starts_back(db: Database) -> None:
    """Jobs that others let go meanwhile would start, by what is written, before they could."""
    c, holding, slow = db.connect(), db.connect(autocommit=False), db.connect()
    worker = factories.worker(c)
    jobs = rated(c, 3)
    holding.execute("LOCK pgqueue.queues")
    call = "SELECT job_ids FROM pgqueue.work(%s, 1, '{default}', 10)"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(lambda: one(slow, call, worker))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        eventually(lambda: one(c, waits) or working.done())
        let_go = one(c, "SELECT clock_timestamp()")
        holding.rollback()
        assert working.result() == jobs
    assert one(c, "SELECT min(started_at) FROM pgqueue.running_jobs") > let_go


def test_who_pauses_before_he_takes_does_not_date_starts_back(db: Database) -> None:
    """Also where nothing is waited for: between two lines any process may stand still."""
    c, holding, slow = db.connect(), db.connect(autocommit=False), db.connect()
    worker = factories.worker(c)
    jobs = rated(c, 3)
    c.execute("DELETE FROM pgqueue.offers")
    # What is left to be waited for is the table of ready jobs itself.
    holding.execute("LOCK pgqueue.ready_jobs")
    call = "SELECT job_ids FROM pgqueue.work(%s, 1, '{default}', 10)"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(lambda: one(slow, call, worker))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        eventually(lambda: one(c, waits) or working.done())
        holding.execute("SELECT pgqueue.admit('{k}', clock_timestamp())")
        let_go = one(holding, "SELECT clock_timestamp()")
        holding.commit()
        assert working.result() == jobs
    assert one(c, "SELECT min(started_at) FROM pgqueue.running_jobs") > let_go
    until = "SELECT min(until) >= %s + interval '1 min' FROM pgqueue.key_takes"
    assert one(c, until, let_go)


def test_keys_have_rates_of_their_own_and_others_pay_nothing(c: Connection) -> None:
    worker = factories.worker(c)
    plain = factories.job(c)
    one_key, other = rated(c, 3, "1/h", "a"), rated(c, 3, "2/h", "b")
    assert set(work(c, worker).job_ids) == {plain, one_key[0], *other[:2]}
    ok(c, worker, plain, one_key[0], *other[:2])
    assert work(c, worker, 2).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is False
    assert one(c, "SELECT count(*) FROM pgqueue.slots") == 0
    # Nobody knew when those would start that had not; a look soon tells.
    assert 0 < one(c, "SELECT due_in FROM pgqueue.promote()") < 60
    soon = one(c, "SELECT due_in FROM pgqueue.promote(at => clock_timestamp() + interval '1 min')")
    assert 3500 < soon < 3700


def test_a_rate_and_max_running_hold_together(c: Connection) -> None:
    worker = factories.worker(c)
    ids = rated(c, 5, "3/h", max_running=2)
    assert work(c, worker).job_ids == ids[:2]
    ok(c, worker, ids[0])
    assert work(c, worker, 2).job_ids == ids[2:3]
    ok(c, worker, ids[1])
    ok(c, worker, ids[2], batch_no=2)
    assert work(c, worker, 3).job_ids == []


def test_a_rate_can_be_changed_while_they_wait(c: Connection) -> None:
    worker = factories.worker(c)
    ids = rated(c, 6, "1/h")
    assert work(c, worker).job_ids == ids[:1]
    c.execute("SELECT pgqueue.limit_key('k', NULL, '3/h')")
    assert work(c, worker, 2).job_ids == ids[1:3]
    c.execute("SELECT pgqueue.limit_key('k', 0, '100/h')")
    assert work(c, worker, 3).job_ids == []
    c.execute("SELECT pgqueue.limit_key('k', NULL)")
    assert work(c, worker, 4).job_ids == []
    # A key whose jobs say nothing.
    (first, _second) = factories.jobs(c, 2, concurrency_key="plain", max_running=5)
    c.execute("SELECT pgqueue.limit_key('plain', NULL, '1/h')")
    assert work(c, worker, 5).job_ids == [first]
    with refused("PQ004", "rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got '100'"):
        c.execute("SELECT pgqueue.limit_key('k', NULL, '100')")


@pytest.mark.parametrize("way", ["unstarted", "interrupted", "rescue", "retry"])
def test_a_start_counts_also_when_the_job_starts_again(c: Connection, way: str) -> None:
    worker, other = factories.worker(c), factories.worker(c)
    ids = rated(c, 4, "2/h")
    assert work(c, worker).job_ids == ids[:2]
    if way == "rescue":
        c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch' WHERE id = %s", (worker,))
        one(c, "SELECT * FROM pgqueue.rescue()")
    else:
        for job in ids[:2]:
            tell(c, worker, job, way, delay=0)
        one(c, "SELECT moved FROM pgqueue.promote(at => clock_timestamp() + interval '1 s')")
    assert set(states(c).values()) == {"blocked"}
    assert work(c, other, 2).job_ids == []
    at = "clock_timestamp() + interval '62 min'"
    one(c, f"SELECT moved FROM pgqueue.promote(at => {at})")
    later = one(c, f"SELECT {at}")
    # Those that were given back have waited their turn.
    assert work(c, other, 3, at=later).job_ids == (ids[2:] if way == "retry" else ids[:2])


@pytest.mark.parametrize("end", ["cancel", "delete", "expire"])
def test_a_job_that_ends_before_it_starts_gives_its_start_back(c: Connection, end: str) -> None:
    worker = factories.worker(c)
    ids = rated(c, 3, "2/h", **({"expires_at": after(0)} if end == "expire" else {}))
    one(c, "SELECT pgqueue.admit('{k}', clock_timestamp())")
    assert [states(c)[job] for job in ids] == ["ready", "ready", "blocked"]
    if end == "cancel":
        one(c, "SELECT pgqueue.cancel(%s)", ids[0])
    elif end == "delete":
        c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (ids[0],))
    else:
        one(c, "SELECT expired FROM pgqueue.expire(at => %s)", after(1))
        return
    assert work(c, worker).job_ids == ids[1:]


def test_many_starts_are_summed_up(c: Connection) -> None:
    worker = factories.worker(c)
    rated(c, 700, "600/h")
    for number, at in zip(range(300), itertools.count(0, 0.01), strict=False):
        work(c, worker, number + 1, max_jobs=2, at=after(at))
    assert one(c, "SELECT sum(n) FROM pgqueue.key_takes") == 600
    one(c, "SELECT pgqueue.rest_keys('{k}', %s)", after(10))
    assert one(c, "SELECT count(*) FROM pgqueue.key_takes") <= 3
    assert one(c, "SELECT sum(n) FROM pgqueue.key_takes") == 600
    one(c, "SELECT pgqueue.tidy(%s)", after(3700))
    assert one(c, "SELECT count(*) FROM pgqueue.key_takes") == 0


def test_two_workers_do_not_take_the_same_start(c: Connection, writer: Connection) -> None:
    first, second = factories.worker(c), factories.worker(c)
    ids = rated(c, 5, "3/h")
    # Ready for both; the first takes one and has not committed, the key is looked at meanwhile.
    one(c, "SELECT pgqueue.admit('{k}', clock_timestamp())")
    assert work(writer, first, max_jobs=1).job_ids == ids[:1]
    c.execute("INSERT INTO pgqueue.offers (key) VALUES ('k')")
    assert work(c, second).job_ids == ids[1:3]
    writer.commit()
    c.execute("INSERT INTO pgqueue.offers (key) VALUES ('k')")
    assert work(c, second, 2).job_ids == []


def test_a_long_line_goes_on_in_pieces(c: Connection) -> None:
    worker = factories.worker(c)
    rated(c, 1500, "5000/m")
    assert len(work(c, worker, max_jobs=10).job_ids) == 10
    assert one(c, "SELECT count(*) FROM pgqueue.ready_jobs") == 990
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert len(work(c, worker, 2, max_jobs=2000).job_ids) == 1490


@pytest.mark.parametrize(
    ("columns", "got"),
    [({"rate": "10"}, "'10'"), ({"rate": "1/s", "concurrency_key": None}, "'1/s'")],
)
def test_bad_rates_are_refused(c: Connection, columns: dict[str, Any], got: str) -> None:
    message = (
        "rate must be text such as 100/m, 5/s, 1000/2h or 10/d, given with a concurrency_key; got "
    )
    hint = "see COMMENT ON COLUMN pgqueue.jobs for what each column takes"
    with refused("PQ001", message + got, hint):
        factories.job(c, **{"concurrency_key": "k", **columns})


# Pauses


def test_a_paused_queue_holds_no_key(c: Connection) -> None:
    worker = factories.worker(c)
    (slow,) = factories.jobs(c, 1, concurrency_key="k", queue="slow")
    (fast,) = factories.jobs(c, 1, concurrency_key="k", queue="fast")
    one(c, "SELECT pgqueue.admit('{k}', clock_timestamp())")
    assert states(c)[slow] == "ready"
    c.execute("SELECT pgqueue.pause('slow')")
    # Left to whoever takes jobs next: the pause may be in a transaction that stays open.
    assert states(c) == {slow: "blocked", fast: "blocked"}
    assert work(c, worker).job_ids == [fast]
    ok(c, worker, fast)
    assert work(c, worker, 2).job_ids == []
    assert one(c, "SELECT pgqueue.waiting()") is False
    one(c, "SELECT pgqueue.resume('slow')")
    assert one(c, "SELECT pgqueue.waiting()") is True
    assert work(c, worker, 3).job_ids == [slow]


@pytest.mark.parametrize("how", ["unstarted", "lost"])
def test_a_job_that_comes_back_into_a_paused_queue_holds_no_key(c: Connection, how: str) -> None:
    worker = factories.worker(c)
    (slow,) = factories.jobs(c, 1, concurrency_key="k", queue="slow")
    (fast,) = factories.jobs(c, 1, concurrency_key="k", queue="fast")
    assert work(c, worker).job_ids == [slow]
    c.execute("SELECT pgqueue.pause('slow')")
    if how == "lost":
        c.execute("SELECT pgqueue.rescue(at => clock_timestamp() + interval '1 min')")
        worker = factories.worker(c)
    else:
        tell(c, worker, slow, how)
    assert work(c, worker, 2).job_ids == [fast]
    ok(c, worker, fast, batch_no=2)
    one(c, "SELECT pgqueue.resume('slow')")
    assert work(c, worker, 3).job_ids == [slow]


def test_a_pause_that_ends_by_itself_lets_the_line_go_on(c: Connection) -> None:
    worker = factories.worker(c)
    c.execute("SELECT pgqueue.pause('slow', '1 hour')")
    (slow,) = factories.jobs(c, 1, concurrency_key="k", queue="slow")
    assert work(c, worker).job_ids == []
    one(c, "SELECT pgqueue.resume_due(clock_timestamp() + interval '2 hours')")
    assert work(c, worker, 2).job_ids == [slow]


def test_who_is_moved_out_of_a_paused_queue_goes_on(c: Connection) -> None:
    worker = factories.worker(c)
    c.execute("SELECT pgqueue.pause('slow')")
    (job,) = factories.jobs(c, 1, concurrency_key="k", queue="slow")
    assert work(c, worker).job_ids == []
    assert one(c, "SELECT pgqueue.set_queue(%s, 'fast')", job) == "blocked"
    one(c, "SELECT pgqueue.admit('{k}', clock_timestamp())")
    assert one(c, "SELECT pgqueue.set_queue(%s, 'slow')", job) == "ready"
    assert states(c)[job] == "blocked"
    assert column(c, "SELECT key FROM pgqueue.slots") == []


# Callbacks and flows


def test_callbacks_and_members_of_flows_wait_in_line(c: Connection) -> None:
    worker = factories.worker(c)
    callbacks = """{"on_success": {"task": "next", "concurrency_key": "k", "max_running": 1},
        "on_finish": {"task": "next", "concurrency_key": "k", "rate": "1/h"}}"""
    ids = factories.jobs(c, 2, callbacks=callbacks)
    flow = c.execute(
        "SELECT job_ids FROM pgqueue.enqueue_flow(%s)",
        (
            """[{"task": "a"},
            {"task": "b", "after": [0], "concurrency_key": "k", "max_running": 1},
            {"task": "b", "after": [0], "fair_key": "f", "queue": "mail"}]""",
        ),
    ).fetchone()
    assert flow is not None
    assert set(work(c, worker).job_ids) == {*ids, flow[0][0]}
    ok(c, worker, flow[0][0])
    reasons = "SELECT job_id, reason, key FROM pgqueue.blocked_jobs WHERE job_id = ANY (%s)"
    assert c.execute(reasons + " ORDER BY 1", (flow[0],)).fetchall() == [
        (flow[0][1], "concurrency", "k"), (flow[0][2], "fair", "f"),
    ]  # fmt: skip
    ok(c, worker, *ids)
    found = one(c, "SELECT array_agg(id) FROM pgqueue.jobs WHERE concurrency_key = 'k'")
    assert len(found) == 5
    taken = work(c, worker, 2).job_ids
    assert set(taken) == {flow[0][1], flow[0][2]}


@pytest.mark.parametrize(
    ("callback", "why"),
    [
        ({"max_running": 2}, "max_running must be at least 1 and given with a concurrency_key"),
        ({"concurrency_key": "k", "max_running": 0}, "max_running must be at least 1"),
        ({"concurrency_key": "k", "max_running": [1]}, "max_running must be at least 1"),
        ({"concurrency_key": "k", "rate": "1"}, "rate must be text such as 100/m"),
        ({"concurrency_key": "k", "fair_key": "f"}, "fair_key must not be given with a"),
    ],
)
def test_callbacks_that_could_never_run_are_refused(
    c: Connection, callback: dict[str, Any], why: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        factories.job(c, callbacks=json.dumps({"on_finish": {"task": "t", **callback}}))
    assert caught.value.sqlstate == "PQ001"
    assert str(caught.value).startswith(f"on_finish: {why}")


# Jobs that run after older ones


def test_the_end_of_an_older_job_is_told_to_who_came_later(db: Any) -> None:
    with db.connect() as c, db.connect() as leader:
        leader.execute("LISTEN pgqueue_control")
        worker = factories.worker(c)
        first = factories.job(c)
        work(c, worker)
        (second,) = factories.jobs(c, 1, after=[first])
        list(leader.notifies(timeout=0.1))
        # The leader sleeps.
        one(leader, "SELECT pg_try_advisory_lock_shared(70677101, 65)")
        ok(c, worker, first)
        told = [note.payload for note in leader.notifies(timeout=60, stop_after=1)]
        assert told == ["due"]
        leader.execute("SELECT pg_advisory_unlock_all()")
        one(c, "SELECT moved FROM pgqueue.promote()")
        assert states(c)[second] == "ready"
        assert column(c, "SELECT job_id FROM pgqueue.waiters") == []
