"""Whoever waits for the end of a job is told, whatever ends it; nobody else is."""

from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import AT, column, ok, one, tell
from tests.sql.sleeper import Connection

WAIT = "SELECT pgqueue.wait_for(%s)"
WAITERS = "SELECT count(*) FROM pgqueue.waiters"


class Ear:
    """A session that listens to the ends of jobs."""

    def __init__(self, db: Database) -> None:
        self.c = db.connect()
        self.c.execute("LISTEN pgqueue_finished")

    def heard(self) -> list[int]:
        """The ids that were told since the last call, up to a mark sent now."""
        self.c.execute("SELECT pg_notify('pgqueue_finished', 'mark')")
        found: list[int] = []
        for notify in self.c.notifies(timeout=60):
            if notify.payload == "mark":
                return sorted(found)
            found += map(int, notify.payload.split(","))
        raise AssertionError("the mark did not come")


@pytest.fixture
def ear(db: Database) -> Ear:
    return Ear(db)


def test_only_what_somebody_waits_for_is_told(c: Connection, ear: Ear) -> None:
    worker = factories.worker(c)
    ids = [factories.running(c, worker) for _ in range(4)]
    c.execute(WAIT, (ids[1:3],))
    ok(c, worker, *ids)
    assert ear.heard() == ids[1:3]
    assert one(c, WAITERS) == 0


@pytest.mark.parametrize(
    ("state", "over"),
    [("succeeded", True), ("failed", True), ("cancelled", True), ("retry", False),
     ("snoozed", False), ("unstarted", False)],
)  # fmt: skip
def test_an_outcome_that_ends_the_job_is_told(
    c: Connection, ear: Ear, state: str, over: bool
) -> None:
    worker = factories.worker(c)
    job = factories.running(c, worker)
    c.execute(WAIT, ([job],))
    tell(c, worker, job, state, delay=3600)
    assert ear.heard() == ([job] if over else [])
    assert one(c, WAITERS) == (0 if over else 1)


def _cancel(c: Connection) -> Any:
    job = factories.ready(c)
    return [job], f"SELECT pgqueue.cancel({job})"


def _expire(c: Connection) -> Any:
    jobs = [
        factories.ready(c, expires_at="2020-01-01"),
        factories.scheduled(c, expires_at="2020-01-01"),
    ]
    return jobs, "SELECT pgqueue.expire()"


def _take_too_late(c: Connection) -> Any:
    job = factories.ready(c, expires_at="2020-01-01")
    return [job], f"SELECT job_ids FROM pgqueue.work({factories.worker(c)}, 1, '{{*}}', 10)"


def _rescue(c: Connection) -> Any:
    job = factories.running(c, factories.worker(c, heartbeat_at="2020-01-01"))
    c.execute("SELECT pgqueue.cancel(%s)", (job,))
    return [job], "SELECT pgqueue.rescue()"


def _file(c: Connection) -> Any:
    return [factories.stray(c, args="7")], "SELECT pgqueue.file_strays()"


def _delete(c: Connection) -> Any:
    job = factories.ready(c)
    return [job], f"DELETE FROM pgqueue.jobs WHERE id = {job}"


@pytest.mark.parametrize("make", [_cancel, _expire, _take_too_late, _rescue, _file, _delete])
def test_every_other_end_is_told_too(c: Connection, ear: Ear, make: Any) -> None:
    jobs, end = make(c)
    c.execute(WAIT, (jobs,))
    assert ear.heard() == []
    c.execute(end)
    assert ear.heard() == jobs


def test_many_ends_are_told_in_few_notifications(c: Connection, ear: Ear) -> None:
    worker = factories.worker(c)
    ids = factories.jobs(c, 1000)
    c.execute(WAIT, (ids,))
    c.execute("SELECT pgqueue.work(%s, 1, '{*}', 1000)", (worker,))
    ok(c, worker, *ids)
    payloads = [notify.payload for notify in ear.c.notifies(timeout=60, stop_after=3)]
    assert len(payloads) == 3
    assert sorted(int(i) for p in payloads for i in p.split(",")) == ids
    assert ear.heard() == []


def test_a_finish_that_began_before_the_waiter_came_tells_it(db: Database, ear: Ear) -> None:
    """The look comes in a statement of its own, so that the waiter may commit beside the finish."""
    c, finisher = db.connect(), db.connect(autocommit=False)
    worker = factories.worker(c)
    job = factories.running(c, worker)
    finisher.execute("SELECT 1")
    c.execute(WAIT, ([job],))
    ok(finisher, worker, job)
    finisher.commit()
    assert ear.heard() == [job]


def test_a_waiter_that_comes_too_late_for_the_look_sees_the_end_itself(
    db: Database, ear: Ear
) -> None:
    c, finisher = db.connect(), db.connect(autocommit=False)
    worker = factories.worker(c)
    job = factories.running(c, worker)
    ok(finisher, worker, job)
    c.execute(WAIT, ([job],))
    finisher.commit()
    assert ear.heard() == []
    assert factories.state(c, job) == "succeeded"


def test_a_finish_waits_for_no_waiter(db: Database, ear: Ear) -> None:
    """Not for one that has not committed, and not for one whose row somebody holds."""
    c, slow, curious = db.connect(), db.connect(autocommit=False), db.connect(autocommit=False)
    worker = factories.worker(c)
    first, second = factories.running(c, worker), factories.running(c, worker)
    slow.execute(WAIT, ([first],))
    c.execute(WAIT, ([second],))
    curious.execute("SELECT FROM pgqueue.waiters FOR UPDATE")
    c.execute("SET lock_timeout = '5s'")
    ok(c, worker, first, second)
    assert ear.heard() == []
    slow.rollback()
    curious.rollback()


def test_what_somebody_waits_for_is_kept_though_its_queue_keeps_nothing(c: Connection) -> None:
    c.execute("SELECT pgqueue.configure_queue('default', retention_succeeded => '0')")
    worker = factories.worker(c)
    first, second = factories.running(c, worker), factories.running(c, worker)
    c.execute(WAIT, ([second],))
    ok(c, worker, first, second)
    assert [factories.state(c, job) for job in (first, second)] == [None, "succeeded"]
    assert one(c, "SELECT deleted FROM pgqueue.prune()") == 1


def test_waiters_that_went_away_are_tidied_up(c: Connection) -> None:
    c.execute("SELECT pgqueue.wait_for('{1,2,null}', 10, %s)", (AT,))
    c.execute("SELECT pgqueue.wait_for('{3}', 1e9, %s)", (AT,))
    assert column(c, "SELECT until - %s FROM pgqueue.waiters ORDER BY id", AT)[-1].seconds == 3600
    assert one(c, "SELECT pgqueue.tidy(%s)", AT) == 0
    assert one(c, "SELECT pgqueue.tidy(%s + interval '11 s')", AT) == 2
    assert one(c, "SELECT pgqueue.tidy(%s + interval '61 min')", AT) == 1


def test_two_who_tidy_up_do_not_wait_for_each_other(db: Database) -> None:
    c, other = db.connect(), db.connect(autocommit=False)
    c.execute("SELECT pgqueue.wait_for('{1,2}', 10, %s)", (AT,))
    later = "SELECT pgqueue.tidy(%s + interval '1 day')"
    assert one(other, later, AT) == 2
    c.execute("SET lock_timeout = '5s'")
    assert one(c, later, AT) == 0
    other.commit()
    eventually(lambda: one(c, WAITERS) == 0)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_finish_with_one_snapshot_heeds_no_waiter_who_went_away(
    db: Database, ear: Ear, isolation: str
) -> None:
    """As of an atomic task that ran for longer than somebody waited for it."""
    c, atomic = db.connect(), db.connect(autocommit=False)
    worker = factories.worker(c)
    job = factories.running(c, worker)
    c.execute("SELECT pgqueue.wait_for(%s, 10, %s)", ([job], AT))
    atomic.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    atomic.execute("SELECT FROM pgqueue.jobs")
    c.execute("SELECT pgqueue.tidy(%s + interval '11 s')", (AT,))
    finish = "SELECT pgqueue.finish_atomic(%s, 1, %s, 1)"
    assert one(atomic, finish, worker, job) == "stored"
    atomic.commit()
    assert ear.heard() == [job]
