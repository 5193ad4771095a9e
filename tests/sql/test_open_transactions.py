"""An application may leave a transaction open for hours that has touched jobs, keys, queues. Those
who do the queue's work wait for none of it: neither a worker that writes outcomes down, nor the
leader."""

import json

import psycopg
import pytest

from tests import factories
from tests.sql.calls import column, ok, one, work
from tests.sql.sleeper import Connection

# What the leader asks for at each of its turns.
PROMOTE = (
    "SELECT p.moved, pgqueue.resume_due(), pgqueue.settle_unique_keys() FROM pgqueue.promote() AS p"
)


@pytest.fixture
def worker(c: Connection) -> int:
    """A worker; whoever waits for a lock from now on is told so."""
    c.execute("SET lock_timeout = '1 ms'")
    return factories.worker(c)


def state(c: Connection, job_id: int) -> str:
    return str(one(c, "SELECT state FROM pgqueue.job_overview WHERE id = %s", job_id))


def last_of_two(c: Connection) -> tuple[int, int]:
    """Both members of a closed group, the last job and the other."""
    group = one(c, "SELECT pgqueue.create_group()")
    other, last = (factories.job(c, group_id=group) for _ in range(2))
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (group, last))
    c.execute("SELECT pgqueue.close_group(%s)", (group,))
    return last, other


def test_a_finish_beside_somebody_who_moves_the_last_job(
    c: Connection, writer: Connection, worker: int
) -> None:
    last, other = last_of_two(c)
    assert work(c, worker).job_ids == [other]
    writer.execute("SELECT pgqueue.set_priority(%s, 5)", (last,))
    ok(c, worker, other)
    c.execute(PROMOTE)
    assert state(c, last) == "blocked"
    writer.commit()
    c.execute(PROMOTE)
    assert state(c, last) == "ready"


def test_a_finish_beside_somebody_who_cancels_the_last_job(
    c: Connection, writer: Connection, worker: int
) -> None:
    last, other = last_of_two(c)
    work(c, worker)
    writer.execute("SELECT pgqueue.cancel(%s)", (last,))
    ok(c, worker, other)
    writer.commit()
    c.execute(PROMOTE)
    assert state(c, last) == "cancelled"
    assert one(c, "SELECT state FROM pgqueue.group_overview") == "cancelled"


def test_a_finish_beside_somebody_who_limits_its_queue(
    c: Connection, writer: Connection, worker: int
) -> None:
    limit = "SELECT pgqueue.limit_queue('default', %s)"
    c.execute(limit, (json.dumps({"max_running": 1}),))
    job, following = factories.jobs(c, 2)
    assert work(c, worker).job_ids == [job]
    writer.execute(limit, (json.dumps({"max_running": None}),))
    ok(c, worker, job)
    writer.rollback()
    c.execute("SELECT pgqueue.tidy()")
    assert column(c, "SELECT job_id FROM pgqueue.slots") == []
    assert work(c, worker, 2).job_ids == [following]


def test_a_claim_beside_somebody_who_sets_the_limits_that_there_are(
    c: Connection, writer: Connection, worker: int
) -> None:
    """As programs do each time they are deployed."""
    limit = "SELECT pgqueue.limit_queue('default', %s)"
    c.execute(limit, (json.dumps({"max_running": 1, "rate": "100/m"}),))
    first, second, third = factories.jobs(c, 3)
    assert work(c, worker).job_ids == [first]
    writer.execute(limit, (json.dumps({"max_running": 2, "rate": "200/m"}),))
    ok(c, worker, first)
    assert work(c, worker, 2).job_ids == [second]
    writer.commit()
    assert work(c, worker, 3).job_ids == [third]
    assert column(c, "SELECT job_id FROM pgqueue.slots ORDER BY 1") == [second, third]


def test_a_finish_that_keeps_nothing_beside_a_producer_of_the_same_key(
    c: Connection, writer: Connection, worker: int
) -> None:
    c.execute("SELECT pgqueue.configure_queue('default', retention_succeeded => '0')")
    job = factories.job(c, unique_key="k")
    work(c, worker)
    writer.execute(
        "INSERT INTO pgqueue.jobs (task, unique_key, on_duplicate) VALUES ('t', 'k', 'replace')"
    )
    ok(c, worker, job)
    assert column(c, "SELECT id FROM pgqueue.jobs") == []
    writer.commit()
    c.execute("SELECT pgqueue.sweep_unique_keys()")
    assert column(c, "SELECT key FROM pgqueue.unique_keys") == []


def test_the_leader_beside_a_producer_who_takes_a_key_that_was_left_open(
    c: Connection, writer: Connection, worker: int
) -> None:
    writer.execute("INSERT INTO pgqueue.jobs (task, unique_key) VALUES ('t', 'k')")
    left_open = factories.blocked(c, "unique_key", unique_key="other", flags=4)
    c.execute("UPDATE pgqueue.jobs SET unique_key = 'k' WHERE id = %s", (left_open,))
    c.execute("DELETE FROM pgqueue.unique_keys")
    decided = factories.blocked(c, "unique_key", unique_key="free", flags=4)
    c.execute("SET lock_timeout = '1 min'")
    c.execute("SET statement_timeout = '30 s'")
    c.execute(PROMOTE)
    assert (state(c, left_open), state(c, decided)) == ("blocked", "ready")
    writer.rollback()
    c.execute(PROMOTE)
    assert state(c, left_open) == "ready"


def test_the_leader_beside_somebody_who_holds_a_queue_whose_pause_is_over(
    c: Connection, writer: Connection, worker: int
) -> None:
    for queue in ("held", "free"):
        c.execute("SELECT pgqueue.pause(%s, '1 h', at => '2020-01-01')", (queue,))
    writer.execute("SELECT pgqueue.configure_queue('held', retention_other => '1 day')")
    c.execute(PROMOTE)
    paused = "SELECT name FROM pgqueue.queues WHERE paused"
    assert column(c, paused) == ["held"]
    writer.commit()
    c.execute(PROMOTE)
    assert column(c, paused) == []


def test_the_leader_beside_a_producer_who_takes_the_key_of_a_schedule(
    c: Connection, writer: Connection
) -> None:
    """It is told so at once, and does not hold up what its worker writes down meanwhile."""
    for name in ("a", "b"):
        options = json.dumps({"unique_key": name})
        c.execute(
            "SELECT pgqueue.schedule(%s, 't', every => '1 h', options => %s)", (name, options)
        )
    plans = one(
        c,
        "SELECT json_agg(json_build_object('id', id, 'revision', revision, 'slots',"
        " json_build_array(starts_at), 'done_until', starts_at)) FROM pgqueue.schedules",
    )
    writer.execute("INSERT INTO pgqueue.jobs (task, unique_key) VALUES ('t', 'a')")
    c.execute("SET lock_timeout = '1 min'")
    c.execute("SET statement_timeout = '30 s'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        c.execute("SELECT pgqueue.fire_schedules(%s)", (json.dumps(plans),))


def test_the_line_of_a_key_beside_somebody_who_cancels_a_job_of_it(
    c: Connection, writer: Connection, worker: int
) -> None:
    """Its key is not kept from the others until that transaction ends."""
    first, second, third = factories.jobs(c, 3, concurrency_key="k", max_running=2)
    assert work(c, worker).job_ids == [first, second]
    writer.execute("SELECT pgqueue.cancel(%s)", (third,))
    other = factories.job(c, concurrency_key="k", max_running=2)
    ok(c, worker, first)
    assert work(c, worker, 2).job_ids == [other]
    ready = factories.job(c, concurrency_key="k2")
    waits = factories.job(c, concurrency_key="k2")
    c.execute("SELECT pgqueue.admit('{k2}', clock_timestamp())")
    writer.commit()
    writer.execute("SELECT pgqueue.cancel(%s)", (ready,))
    c.execute("SELECT pgqueue.limit_key('k2', 2)")
    assert work(c, worker, 3).job_ids == [waits]
