"""Everything at once: many sessions move the same jobs, and each job stays in one place."""

import collections
import contextlib
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import column, ok, one, work
from tests.sql.sleeper import Connection

THREADS = 8


class Rollback(Exception):
    """What a business program raises in the middle of a transaction."""


def storm(db: Database, *runs: Callable[[Connection, random.Random], None]) -> None:
    """Run each in a thread and a session of its own; raise what any of them raised."""
    failures: list[BaseException] = []
    begin = threading.Barrier(len(runs))

    def run(number: int, body: Callable[[Connection, random.Random], None]) -> None:
        try:
            with psycopg.connect(db.dsn, autocommit=True) as c:
                begin.wait(60)
                body(c, random.Random(number))
        except BaseException as error:
            failures.append(error)
            begin.abort()

    threads = [threading.Thread(target=run, args=arguments) for arguments in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_every_job_is_taken_once(db: Database, c: Connection) -> None:
    """Also where every third claim rolls back."""
    ids = factories.jobs(c, 2000)
    taken: list[int] = []

    def take(c: Connection, random: random.Random) -> None:
        worker = factories.worker(c)
        hint = None
        for batch_no in itertools.count(1):
            try:
                with c.transaction():
                    row = work(c, worker, batch_no, max_jobs=random.choice((1, 7, 40)), hint=hint)
                    if random.random() < 0.3:
                        raise Rollback
            except Rollback:
                hint = None
                continue
            taken.extend(row.job_ids)
            if row.job_ids:
                hint = row.hint_out if random.random() < 0.9 else None
                assert ok(c, worker, *row.job_ids, batch_no=batch_no).refused is None
            elif hint is not None:
                hint = None
            elif not one(c, "SELECT pgqueue.waiting()"):
                break

    storm(db, *[take] * THREADS)
    assert sorted(taken) == ids
    states = column(c, "SELECT DISTINCT state FROM pgqueue.job_overview")
    assert states == ["succeeded"]


#: What people do to one job; these may wait for it, and may be told that it is gone or runs.
ON_A_JOB = (
    "SELECT pgqueue.cancel(%(id)s, 'storm')",
    "SELECT pgqueue.retry(%(id)s)",
    "SELECT pgqueue.retry(%(id)s, clock_timestamp() + interval '5 ms')",
    "SELECT pgqueue.set_priority(%(id)s, %(n)s::integer %% 3)",
    "SELECT pgqueue.set_progress(%(id)s, 0.5)",
    "SELECT pgqueue.delete_job(%(id)s)",
)

#: What the leader does; it must wait for nobody.
UPKEEP = (
    "SELECT pgqueue.promote(20)",
    "SELECT pgqueue.expire(20)",
    "SELECT pgqueue.rescue(20)",
    "SELECT pgqueue.apply_cancels()",
    "SELECT pgqueue.file_strays()",
)

PRUNE = "SELECT pgqueue.prune(5, older_than => '0')"

STATES = ("succeeded", "failed", "cancelled", "retry", "snoozed", "unknown_task", "crashed",
          "interrupted", "unstarted")  # fmt: skip


def meddle(c: Connection, random: random.Random) -> None:
    """Do what people do, to jobs picked at random."""
    for number in range(250):
        ids = column(c, "SELECT id FROM pgqueue.jobs LIMIT 40")
        if not ids:
            break
        try:
            c.execute(random.choice(ON_A_JOB), {"id": random.choice(ids), "n": number})
        except psycopg.Error as error:
            if error.sqlstate not in ("PQ002", "PQ003"):
                raise


def tend(c: Connection, random: random.Random) -> None:
    """Do what the leader does."""
    for _ in range(150):
        c.execute(random.choice((*UPKEEP, PRUNE)))


def tend_and_keep(c: Connection, random: random.Random) -> None:
    """Do what the leader does, but delete no job."""
    for _ in range(150):
        c.execute(random.choice(UPKEEP))


def produce(c: Connection, random: random.Random) -> None:
    """Enqueue jobs of every kind, some of them in transactions that roll back."""
    for _ in range(60):
        with c.transaction(force_rollback=random.random() < 0.2):
            factories.job(c, priority=random.choice((0, 1)))
            factories.job(
                c, expires_at=one(c, "SELECT clock_timestamp() + interval '20 ms'"), max_attempts=1
            )
            factories.job(c, run_at=one(c, "SELECT clock_timestamp() + interval '5 ms'"))


def labour(c: Connection, random: random.Random) -> None:
    """Take jobs and tell outcomes of every kind; die now and then, and roll back now and then."""
    worker = factories.worker(c)
    answers = None
    for batch_no in range(1, 150):
        if random.random() < 0.05:
            # Killed: what it held is rescued.
            c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch' WHERE id = %s", (worker,))
            worker, answers = factories.worker(c), None
        try:
            with c.transaction():
                row = work(c, worker, batch_no, max_jobs=random.randrange(6), answers=answers)
                if random.random() < 0.1:
                    raise Rollback
        except Rollback:
            continue
        assert row.again is None or set(row.again) <= told(answers)
        rest = [{"id": job, "state": random.choice(STATES), "us": 1} for job in row.job_ids or ()]
        answers = [{"batch": batch_no, "rest": rest}]
    c.execute("SELECT pgqueue.forget_worker(%s)", (worker,))


def told(answers: list[dict[str, Any]] | None) -> set[int]:
    return {outcome["id"] for answer in answers or () for outcome in answer["rest"]}


def settle(c: Connection) -> None:
    """Let the leader finish what was left for the next time."""
    c.execute("SELECT pgqueue.rescue(100000, 'infinity')")
    c.execute("SELECT pgqueue.apply_cancels()")


@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_everything_leaves_every_job_in_one_place(
    db: Database, c: Connection, seed: int
) -> None:
    factories.jobs(c, 100 * (seed + 1))
    storm(db, produce, labour, labour, meddle, meddle, meddle, tend, tend)
    settle(c)
    assert c.execute("SELECT * FROM pgqueue.check_invariants()").fetchall() == []
    assert column(c, "SELECT job_id FROM pgqueue.cancel_requests") == []


def test_a_storm_on_one_job(db: Database, c: Connection) -> None:
    """Every move, all of them on the same row."""
    job = factories.job(c)
    seen: collections.Counter[str] = collections.Counter()

    def move(query: str) -> Callable[[Connection, random.Random], None]:
        def run(c: Connection, random: random.Random) -> None:
            number = 0
            # Until it was let at least once, however long somebody has the job meanwhile.
            while number < 100 or not seen[query]:
                number += 1
                if number > 100:
                    # Whoever has it may have been killed when nobody looks any more.
                    c.execute("SELECT pgqueue.rescue()")
                try:
                    c.execute(query, {"id": job, "n": number})
                    seen[query] += 1
                except psycopg.Error as error:
                    if error.sqlstate not in ("PQ002", "PQ003"):
                        raise

        return run

    storm(db, labour, tend_and_keep, *map(move, ON_A_JOB[:5]))
    settle(c)
    assert all(seen.values())
    assert factories.position(c, job)


def test_deleting_while_everything_moves(db: Database, c: Connection) -> None:
    """Plain DELETEs of many jobs; the leader and the workers skip what these hold."""

    def delete(c: Connection, random: random.Random) -> None:
        for _ in range(40):
            c.execute(
                "DELETE FROM pgqueue.jobs WHERE id = ANY (%s)",
                (sorted(column(c, "SELECT id FROM pgqueue.jobs ORDER BY random() LIMIT 5")),),
            )

    factories.jobs(c, 200)
    storm(db, produce, produce, labour, labour, tend, tend, delete)
    settle(c)
    assert c.execute("SELECT * FROM pgqueue.check_invariants()").fetchall() == []


def test_deleting_jobs_that_people_move(db: Database, c: Connection) -> None:
    """All of them on one job after the other: no position outlives its job."""
    ids = factories.jobs(c, 400)
    left = list(ids)

    def delete(c: Connection, random: random.Random) -> None:
        while left:
            with contextlib.suppress(psycopg.Error):
                c.execute("SELECT pgqueue.delete_job(%s)", (left[-1],))
            left.pop()

    def move(c: Connection, random: random.Random) -> None:
        while left:
            for job in left[-1:]:
                query = random.choice(ON_A_JOB[1:4])
                try:
                    c.execute(query, {"id": job, "n": random.randrange(9)})
                except psycopg.Error as error:
                    if error.sqlstate not in ("PQ002", "PQ003"):
                        raise

    storm(db, delete, *[move] * 5)
    assert c.execute("SELECT * FROM pgqueue.check_invariants()").fetchall() == []


def test_deleting_strays_while_they_are_filed(db: Database, c: Connection) -> None:
    """No position outlives its job."""
    done = threading.Event()

    def stray(c: Connection, random: random.Random) -> None:
        for _ in range(300):
            with c.transaction():
                job = factories.job(c)
                c.execute("DELETE FROM pgqueue.ready_jobs WHERE job_id = %s", (job,))
        done.set()

    def repeat(query: str) -> Callable[[Connection, random.Random], None]:
        def run(c: Connection, random: random.Random) -> None:
            while not done.is_set():
                c.execute(query)

        return run

    delete = """
        DELETE FROM pgqueue.jobs
        WHERE id = ANY (ARRAY(SELECT id FROM pgqueue.jobs ORDER BY id DESC LIMIT 3))
    """
    file = "SELECT pgqueue.file_strays()"
    storm(db, stray, repeat(file), repeat(file), repeat(delete))
    c.execute(file)
    assert c.execute("SELECT * FROM pgqueue.check_invariants()").fetchall() == []
