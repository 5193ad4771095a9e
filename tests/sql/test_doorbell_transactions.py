"""The doorbell on a real server among transactions, strangers and accidents."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from pgqueue.db import schema
from tests import factories
from tests.fixtures.databases import Database, create_database, start_server
from tests.sql.sleeper import (
    INSERT,
    INSERT_INTO,
    SLEEP,
    WRITING,
    Connection,
    SleeperSession,
    apart,
    bucket,
    locks,
)

# Transactions


def test_a_rolled_back_savepoint_takes_its_ring_and_its_lock_along(
    db: Database, writer: Connection
) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    writer.execute("SAVEPOINT s")
    writer.execute(INSERT)
    assert locks(writer, WRITING) == {64, bucket(writer, "default")}
    writer.execute("ROLLBACK TO SAVEPOINT s")
    assert locks(writer, WRITING) == set()
    writer.commit()
    assert sleeper.heard() == []
    assert not sleeper.finds()


def test_a_rolled_back_writer_is_silent(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    writer.execute(INSERT)
    writer.rollback()
    assert sleeper.heard() == []


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_a_sleeper_waits_for_the_writers_it_met(db: Database, writer: Connection, end: str) -> None:
    writer.execute(INSERT)
    sleeper = SleeperSession(db)
    assert sleeper.arm()
    assert len(sleeper.writers) == 1
    # A later writer is none of its business: that one sees it and rings.
    db.connect().execute(INSERT)
    assert sleeper.heard() == ["default"]
    assert sleeper.must_wait()
    getattr(writer, end)()
    while sleeper.must_wait():
        pass
    assert sleeper.heard() == []


def test_a_sleeper_waits_for_the_writers_of_its_own_queues_only(
    db: Database, writer: Connection
) -> None:
    mail, video = apart(writer, 2)
    writer.execute(INSERT_INTO, (video,))
    sleeper = SleeperSession(db, mail)
    sleeper.arm()
    assert sleeper.writers == []
    assert not sleeper.must_wait()


def test_two_phase_commit_works_when_off(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    writer.execute("SET LOCAL pgqueue.notify = 'off'")
    writer.execute(INSERT)
    writer.execute("PREPARE TRANSACTION 'off'")
    writer.rollback()
    db.connect().execute("COMMIT PREPARED 'off'")
    assert sleeper.heard() == []
    assert sleeper.finds()


def test_a_prepared_transaction_that_has_rung_for_nobody_is_waited_for(
    db: Database, writer: Connection
) -> None:
    """Also when it was met before it was prepared."""
    writer.execute(INSERT)
    before, after = SleeperSession(db), SleeperSession(db)
    assert before.arm()
    writer.execute("PREPARE TRANSACTION 'silent'")
    writer.rollback()
    writer.close()
    assert after.arm()
    assert before.must_wait()
    assert after.must_wait()
    db.connect().execute("COMMIT PREPARED 'silent'")
    assert not before.must_wait()
    assert not after.must_wait()
    assert after.finds()


def test_a_transaction_that_has_rung_cannot_be_prepared(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    writer.execute(INSERT)
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        writer.execute("PREPARE TRANSACTION 'rung'")


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize(
    "take",
    [
        "SELECT pgqueue.dequeue(%(worker)s)",
        "SELECT pgqueue.cancel(%(id)s)",
        "SELECT pgqueue.delete_job(%(id)s)",
        "DELETE FROM pgqueue.jobs WHERE id = %(id)s",
        "SELECT FROM pgqueue.ready_jobs WHERE job_id = %(id)s FOR UPDATE",
    ],
)
def test_a_job_that_somebody_holds_keeps_the_sleeper_awake(
    db: Database, c: Connection, writer: Connection, take: str, end: str
) -> None:
    job_id, worker_id = factories.job(c), factories.worker(c)
    writer.execute(take, {"id": job_id, "worker": worker_id})
    sleeper = SleeperSession(db)
    sleeper.arm()
    assert not sleeper.must_wait()
    assert c.execute("SELECT pgqueue.dequeue(%s)", (factories.worker(c),)).fetchall() == []
    assert sleeper.finds()
    getattr(writer, end)()
    assert sleeper.finds() == (end == "rollback" or "FOR UPDATE" in take)


# Strangers and accidents


@pytest.mark.parametrize("key", [SLEEP, WRITING])
def test_a_stranger_with_the_locks_makes_rings_and_blocks_nobody(
    db: Database, c: Connection, writer: Connection, key: int
) -> None:
    listener = SleeperSession(db)
    for number in (bucket(c, "default"), 64, 65):
        writer.execute("SELECT pg_advisory_lock(%s, %s)", (key, number))
    c.execute("SET statement_timeout = '1 min'")
    c.execute(INSERT)
    assert listener.heard() == ["default"]
    c.execute("SELECT pgqueue.dequeue(%s)", (factories.worker(c),))
    assert listener.arm() == (key == WRITING)
    assert locks(c, SLEEP) == ({bucket(c, "default"), 64, 65} if key == SLEEP else {
        bucket(c, "default")})  # fmt: skip


def test_a_refused_arm_keeps_no_lock(db: Database, c: Connection, writer: Connection) -> None:
    first, second = apart(c, 2)
    last = max(first, second, key=lambda queue: bucket(c, queue))
    # As a writer does between the two halves of W2.
    writer.execute("SELECT pg_advisory_lock(%s, %s)", (SLEEP, bucket(c, last)))
    sleeper = SleeperSession(db, first, second)
    assert not sleeper.arm()
    assert locks(c, SLEEP) == {bucket(c, last)}
    writer.execute("SELECT pg_advisory_unlock_all()")
    assert sleeper.arm()


def test_a_sleeper_that_dies_sleeps_no_more(db: Database, c: Connection) -> None:
    sleeper, listener = SleeperSession(db), SleeperSession(db)
    sleeper.arm()
    c.execute("SELECT pg_terminate_backend(%s, 60000)", (sleeper.c.info.backend_pid,))
    c.execute(INSERT)
    assert listener.heard() == []


def test_disarm_gives_back_what_one_arm_took(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "mail", "*", leader=True)
    sleeper.arm()
    sleeper.arm()
    sleeper.disarm()
    assert locks(c, SLEEP) == {bucket(c, "mail"), 64, 65}
    sleeper.disarm()
    assert locks(c, SLEEP) == set()


def test_a_writer_leaves_no_lock_behind(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    c.execute(INSERT)
    with pytest.raises(psycopg.errors.RaiseException):
        c.execute(f"DO $$ BEGIN {INSERT}; RAISE EXCEPTION 'no'; END $$")
    sleeper.disarm()
    assert locks(c, SLEEP) | locks(c, WRITING) == set()


def test_twenty_thousand_queues_in_one_transaction(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    c.execute(
        "INSERT INTO pgqueue.jobs (task, queue) SELECT 'task', n FROM generate_series(1, 20000) n"
    )
    assert sleeper.heard() == [""]


def test_a_full_notification_queue_does_not_fail_a_commit(
    postgres_bin: str | None, db: Database
) -> None:
    """At half of it writers fall silent; older servers cannot be given a small one to fill."""
    can_be_small = db.server.major >= 17
    settings = {"max_notify_queue_pages": "64"} if can_be_small else {}
    with (
        start_server(postgres_bin, **settings) as server,
        contextlib.closing(create_database(server)) as database,
    ):
        c = database.connect()
        schema.upgrade(c)
        sleeper = SleeperSession(database)
        sleeper.arm()
        # Who listens and stays in a transaction keeps the queue from being emptied.
        lazy = database.connect(autocommit=False)
        lazy.execute("LISTEN pgqueue")
        lazy.commit()
        lazy.execute("SELECT 1")
        for number in range(60 if can_be_small else 1):
            with c.transaction():
                c.execute("SELECT pg_notify('noise', repeat('x', 7000) || %s)", (number,))
            c.execute(INSERT)
        usage = c.execute("SELECT pg_notification_queue_usage()").fetchone()
        assert usage is not None
        assert (usage[0] > 0.5) == can_be_small
        c.execute("SELECT pgqueue.cancel(%s)", (factories.running(c),))
        lazy.rollback()
        rings = len(sleeper.heard())
        assert 0 < rings < 60 if can_be_small else rings == 2


def test_nothing_notifies_without_looking_at_the_queue_first(c: Connection) -> None:
    query = """
        SELECT proname, prosrc FROM pg_proc
        WHERE pronamespace = 'pgqueue'::regnamespace AND prosrc LIKE '%%pg_notify(%%'
    """
    notifying = c.execute(query).fetchall()
    assert {name for name, _ in notifying} == {
        "ring",
        "ring_leader",
        "cancel",
        "cancel_group",
        "settle",
    }
    for name, source in notifying:
        guard, first = source.find("pg_notification_queue_usage()"), source.find("pg_notify(")
        assert 0 < guard < first, name


# Every interleaving of the steps that are statements


@pytest.mark.parametrize("queue", ["default", "*"])
def test_no_order_of_two_writers_and_a_sleeper_loses_a_job(db: Database, queue: str) -> None:
    """Each writer inserts and commits; the sleeper arms, waits, and looks."""
    writers = [db.connect(autocommit=False), db.connect(autocommit=False)]
    admin = db.connect()
    sleeper = SleeperSession(db, queue)
    for order in interleavings(2, 2, 3):
        seen = _walk(order, writers, sleeper)
        assert sleeper.heard() or seen == 2, order
        sleeper.disarm()
        admin.execute("DELETE FROM pgqueue.jobs")


def interleavings(*lengths: int) -> Iterator[tuple[int, ...]]:
    """Every order of so many steps of each, as who is next."""
    if not any(lengths):
        yield ()
    for who, length in enumerate(lengths):
        if length:
            rest = [n - (index == who) for index, n in enumerate(lengths)]
            for order in interleavings(*rest):
                yield (who, *order)


def _walk(order: tuple[int, ...], writers: list[Connection], sleeper: SleeperSession) -> int:
    """Do the steps; give how many jobs the sleeper's look saw."""
    todo = list(order)
    begun = [False, False]
    seen = -1

    def write(who: int) -> None:
        if begun[who]:
            writers[who].commit()
        else:
            writers[who].execute(INSERT)
            begun[who] = True

    sleeping = iter(("arm", "wait", "look"))
    while todo:
        who = todo.pop(0)
        if who < 2:
            write(who)
            continue
        step = next(sleeping)
        if step == "arm":
            assert sleeper.arm()
        elif step == "wait":
            # It cannot go on yet: the writers do, in their order.
            while sleeper.must_wait():
                other = next(one for one in todo if one < 2)
                todo.remove(other)
                write(other)
        else:
            row = sleeper.c.execute("SELECT count(*) FROM pgqueue.ready_jobs").fetchone()
            assert row is not None
            seen = row[0]
    return seen
