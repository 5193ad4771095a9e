"""The last job of a group: it runs when all others are over, whoever ends or adds what when."""

import threading

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import ok, one, refused, tell, work
from tests.sql.sleeper import Connection


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


def group(c: Connection) -> int:
    return int(one(c, "SELECT pgqueue.create_group(name => 'g')"))


def state(c: Connection, job_id: int) -> str:
    return str(one(c, "SELECT state FROM pgqueue.job_overview WHERE id = %s", job_id))


def take(c: Connection, worker: int, batch_no: int) -> list[int]:
    """The jobs that a worker is given."""
    return [line[0] for line in work(c, worker, batch_no).payload]


def test_it_waits_for_all_others_whatever_becomes_of_them(c: Connection, worker: int) -> None:
    of = group(c)
    good, bad, gone, last = (factories.job(c, group_id=of) for _ in range(4))
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    c.execute("SELECT pgqueue.close_group(%s)", (of,))
    assert (state(c, last), take(c, worker, 1)) == ("blocked", [good, bad, gone])
    assert one(c, "SELECT reason FROM pgqueue.job_overview WHERE id = %s", last) == "group"
    ok(c, worker, good)
    tell(c, worker, bad, "failed", kind="Oops", message="no")
    assert state(c, last) == "blocked"
    c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (gone,))
    c.execute("SELECT pgqueue.advance()")
    assert take(c, worker, 2) == [last]
    ok(c, worker, last, batch_no=2)
    assert one(c, "SELECT state FROM pgqueue.group_overview WHERE id = %s", of) == "failed"


def test_it_goes_when_the_others_are_over_already_and_waits_for_new_ones(
    c: Connection, worker: int
) -> None:
    of = group(c)
    first = factories.job(c, group_id=of)
    last = factories.job(c, group_id=of, run_at="2039-01-01")
    take(c, worker, 1)
    ok(c, worker, first)
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    assert state(c, last) == "blocked"  # more may come, as nobody has closed the group
    c.execute("SELECT pgqueue.close_group(%s)", (of,))
    assert state(c, last) == "scheduled"
    late = factories.job(c, group_id=of)
    assert state(c, last) == "blocked"
    c.execute("SELECT pgqueue.cancel(%s)", (late,))
    assert state(c, last) == "scheduled"


def test_another_may_take_its_place(c: Connection, worker: int) -> None:
    of = group(c)
    one_, two = (factories.job(c, group_id=of) for _ in range(2))
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, one_))
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, two))
    assert (state(c, one_), state(c, two)) == ("ready", "blocked")
    c.execute("SELECT pgqueue.set_last_job(%s, NULL)", (of,))
    assert state(c, two) == "ready"


@pytest.mark.parametrize("columns", [{"concurrency_key": "k"}, {"fair_key": "k"}])
def test_it_leaves_the_line_of_its_key(c: Connection, worker: int, columns: dict[str, str]) -> None:
    of = group(c)
    other, last = factories.job(c, group_id=of), factories.job(c, group_id=of, **columns)
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    c.execute("SELECT pgqueue.close_group(%s)", (of,))
    assert take(c, worker, 1) == [other]
    ok(c, worker, other)
    assert take(c, worker, 2) == [last]


@pytest.mark.parametrize("rate", [None, "1/h"])
def test_it_gives_its_slot_back(c: Connection, worker: int, rate: str | None) -> None:
    of = group(c)
    last = factories.job(c, group_id=of, concurrency_key="k", rate=rate)
    following = factories.job(c, group_id=of, concurrency_key="k", rate=None)
    c.execute("SELECT pgqueue.admit('{k}', clock_timestamp())")
    assert (state(c, last), state(c, following)) == ("ready", "blocked")
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    c.execute("SELECT pgqueue.close_group(%s)", (of,))
    assert take(c, worker, 1) == [following]
    ok(c, worker, following)
    assert take(c, worker, 2) == [last]


def test_one_that_runs_is_left_alone(c: Connection, worker: int) -> None:
    of = group(c)
    last = factories.job(c, group_id=of)
    assert take(c, worker, 1) == [last]
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    factories.job(c, group_id=of)
    assert state(c, last) == "running"
    ok(c, worker, last)


def test_it_must_be_a_member(c: Connection) -> None:
    of, stranger = group(c), factories.job(c)
    hint = "enqueue it with this group_id"
    message = f"the last job of group {of} must be a member of it; job {stranger} is not"
    with refused("PQ001", message, hint):
        c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, stranger))
    hint = "it may have been deleted, or pruned with its jobs"
    with refused("PQ002", "there is no group 77", hint):
        c.execute("SELECT pgqueue.set_last_job(77, %s)", (stranger,))


def test_a_retry_may_change_the_priority(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, priority=5)
    tell(c, worker, job, "retry", delay=60, priority=4, kind="Oops", message="no")
    assert one(c, "SELECT state, priority FROM pgqueue.job_overview") == ("scheduled", 4)
    same = factories.running(c, worker, priority=5)
    tell(c, worker, same, "retry", delay=60, kind="Oops", message="no")
    query = "SELECT state, priority FROM pgqueue.job_overview WHERE id = %s"
    assert one(c, query, same) == ("scheduled", 5)


def test_one_that_is_just_made_ready_waits_all_the_same(
    db: Database, c: Connection, writer: Connection, worker: int
) -> None:
    """It leaves the line of its key by a transaction that has not committed yet."""
    of = group(c)
    other, last = factories.job(c, group_id=of), factories.job(c, group_id=of, concurrency_key="k")
    writer.execute("SELECT pgqueue.admit('{k}', clock_timestamp())")
    setter = threading.Thread(
        target=db.execute, args=("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    )
    setter.start()
    waits = """
        SELECT count(*) FROM pg_stat_activity
        WHERE query LIKE 'SELECT pgqueue.set_last_job%%' AND wait_event_type = 'Lock'
            AND datname = current_database()
    """
    eventually(lambda: one(c, waits) == 1 or not setter.is_alive())
    writer.commit()
    setter.join()
    assert one(c, "SELECT reason FROM pgqueue.blocked_jobs WHERE job_id = %s", last) == "group"
    assert one(c, "SELECT count(*) FROM pgqueue.slots") == 0
    assert take(c, worker, 1) == [other]
    ok(c, worker, other)
    c.execute("SELECT pgqueue.close_group(%s)", (of,))
    assert take(c, worker, 2) == [last]
    ok(c, worker, last, batch_no=2)


def test_one_that_runs_after_others_cannot_be_the_last(c: Connection, worker: int) -> None:
    """It would run as soon as these are over, whatever is left of the group."""
    of = group(c)
    first, other = (factories.job(c, group_id=of) for _ in range(2))
    last = factories.job(c, group_id=of, after=[first])
    message = f"the last job of group {of} must not run after others; job {last} does"
    with refused("PQ001", message, "leave its after out: it runs after all others of the group"):
        c.execute("SELECT pgqueue.set_last_job(%s, %s)", (of, last))
    assert other
