"""What the views of pgqueue.compat.django_async do beside others."""

import concurrent.futures

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import one, refused, tell, work

DRAWN = """
    SELECT count(DISTINCT nextval('pgqueue.jobs_id_seq')) FROM generate_series(1, %s)
"""
GIVEN = """
    SELECT count(pgqueue.async_pass('pgqueue.jobs_id_seq', s.last_value + %s)::text)
    FROM generate_series(1, %s) AS g
    CROSS JOIN LATERAL (SELECT last_value + 0 * g.g AS last_value FROM pgqueue.jobs_id_seq) AS s
"""


@pytest.mark.parametrize("ahead", [-1000, 0, 3])
def test_a_given_id_takes_no_number_back_that_others_draw_meanwhile(
    db: Database, ahead: int
) -> None:
    db.execute("SELECT setval('pgqueue.jobs_id_seq', 5000)")
    giver, other = db.connect(), db.connect()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(lambda: other.execute(DRAWN, [100_000]).fetchone())
        giver.execute(GIVEN, [ahead, 20_000])
        found = drawn.result()
    assert found is not None
    assert found[0] == 100_000


def test_a_job_changes_its_group_while_a_worker_takes_it(db: Database) -> None:
    """Either it is moved, and taken as a member, or it runs already and stays where it is."""
    c, taking = db.connect(), db.connect(autocommit=False)
    worker = factories.worker(c)
    job = one(c, "INSERT INTO pgqueue.async_jobs (name) VALUES ('m.f') RETURNING id")
    group = one(c, "INSERT INTO pgqueue.async_groups (reference) VALUES ('g') RETURNING id")
    assert work(taking, worker).job_ids == [job]
    moving = db.connect()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        move = "UPDATE pgqueue.async_jobs SET group_id = %s WHERE id = %s"
        moved = pool.submit(lambda: moving.execute(move, (group, job)))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        eventually(lambda: one(c, waits) or moved.done())
        taking.commit()
        with pytest.raises(psycopg.Error, match="must not be running to change its group"):
            moved.result()
    assert one(c, "SELECT group_id FROM pgqueue.jobs WHERE id = %s", job) is None


@pytest.mark.parametrize("view", ["async_jobs (name, id)", "async_groups (reference, id)"])
def test_an_id_that_would_use_up_the_numbers_is_refused(db: Database, view: str) -> None:
    c = db.connect()
    message = "an id must be at most 100000000000000; got 9223372036854775807"
    with refused("PQ004", message):
        c.execute(f"INSERT INTO pgqueue.{view} VALUES ('m.f', 9223372036854775807)")
    one(c, "INSERT INTO pgqueue.jobs (task) VALUES ('t') RETURNING id")
    one(c, "SELECT pgqueue.create_group('g')")


@pytest.mark.parametrize("change", ["UPDATE pgqueue.async_errors SET traceback = 'x'",
                                    "DELETE FROM pgqueue.async_errors"])  # fmt: skip
def test_who_changes_a_failure_does_not_hold_up_the_leader(db: Database, change: str) -> None:
    c, slow = db.connect(), db.connect(autocommit=False)
    worker = factories.worker(c)
    job = one(c, "INSERT INTO pgqueue.async_jobs (name) VALUES ('m.f') RETURNING id")
    work(c, worker)
    tell(c, worker, job, "failed", kind="E", message="no")
    slow.execute(change)
    c.execute("SET lock_timeout = '1 ms'")
    prune = "SELECT deleted FROM pgqueue.prune(older_than => '-1 day')"
    assert one(c, prune) == 0
    slow.commit()
    assert one(c, prune) == 1
