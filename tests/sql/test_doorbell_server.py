"""Who rings on a real server, and who is silent."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT
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

# Who rings


def test_writers_are_silent_while_nobody_sleeps(db: Database, c: Connection) -> None:
    listener = SleeperSession(db)
    for _ in range(1000):
        c.execute(INSERT)
    assert listener.heard() == []


def test_every_commit_rings_once_while_somebody_sleeps(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    assert sleeper.arm()
    for _ in range(1000):
        c.execute(INSERT)
    assert sleeper.heard() == ["default"] * 1000


def test_one_ring_wakes_and_the_rest_is_silent(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    rings = 0
    for _ in range(100):
        c.execute(INSERT)
        heard = sleeper.heard()
        if heard:
            rings += len(heard)
            sleeper.disarm()
    assert rings == 1


def test_a_statement_rings_once_however_many_rows_it_has(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    factories.jobs(c, 5000)
    assert sleeper.heard() == ["default"]


def test_a_transaction_rings_once_for_many_statements(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    for _ in range(10):
        writer.execute(INSERT)
    assert sleeper.heard() == []
    writer.commit()
    assert sleeper.heard() == ["default"]


def test_only_the_queues_somebody_sleeps_on_ring(db: Database, c: Connection) -> None:
    mail, video = apart(c, 2)
    sleeper = SleeperSession(db, mail)
    sleeper.arm()
    c.execute(INSERT_INTO, (video,))
    assert sleeper.heard() == []
    c.execute(INSERT_INTO, (mail,))
    assert sleeper.heard() == [mail]


def test_a_sleeper_of_several_queues_hears_each(db: Database, c: Connection) -> None:
    queues = apart(c, 3)
    sleeper = SleeperSession(db, *queues)
    sleeper.arm()
    assert locks(c, SLEEP) == {bucket(c, queue) for queue in queues}
    for queue in queues:
        c.execute(INSERT_INTO, (queue,))
    assert sleeper.heard() == queues
    sleeper.disarm()
    assert locks(c, SLEEP) == set()


def test_a_sleeper_of_every_queue_hears_all(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    assert locks(c, SLEEP) == {64}
    for queue in ("mail", "video"):
        c.execute(INSERT_INTO, (queue,))
    assert sleeper.heard() == ["mail", "video"]


@pytest.mark.parametrize(("number", "rings"), [(16, 16), (17, 1)])
def test_more_than_sixteen_queues_ring_as_one(
    db: Database, c: Connection, number: int, rings: int
) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    names = [f"queue{n}" for n in range(number)]
    c.execute("INSERT INTO pgqueue.jobs (task, queue) SELECT 'task', unnest(%s::text[])", (names,))
    heard = sleeper.heard()
    assert len(heard) == rings
    assert sorted(heard) == (sorted(names) if rings > 1 else [""])


def test_a_queue_name_is_the_payload_whatever_is_in_it(db: Database, c: Connection) -> None:
    name = "Ünï 'quoted' \"x\" {a,b} \\ \n" + "é" * 80
    sleeper = SleeperSession(db, name)
    sleeper.arm()
    c.execute(INSERT_INTO, (name,))
    assert sleeper.heard() == [name]


def test_a_job_for_later_does_not_ring(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    factories.job(c, run_at="2999-01-01")
    assert sleeper.heard() == []


def test_an_insert_of_no_row_does_not_ring(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    sleeper.arm()
    factories.jobs(c, 0)
    assert sleeper.heard() == []


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_every_isolation_level_rings(db: Database, writer: Connection, level: str) -> None:
    sleeper = SleeperSession(db)
    writer.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    # Its snapshot is older than the sleeper; the locks it looks at are not.
    writer.execute("SELECT count(*) FROM pgqueue.jobs")
    sleeper.arm()
    writer.execute(INSERT)
    writer.commit()
    assert sleeper.heard() == ["default"]


def test_copy_rings(db: Database, c: Connection) -> None:
    sleeper = SleeperSession(db)
    sleeper.arm()
    with c.cursor() as cursor, cursor.copy("COPY pgqueue.jobs (task) FROM STDIN") as copy:
        for _ in range(100):
            copy.write_row(["task"])
    assert sleeper.heard() == ["default"]


def _unstarted(c: Connection, job_id: int) -> None:
    worker_id = factories.position(c, job_id)["worker_id"]
    c.execute(
        "SELECT pgqueue.finish(%s, ARRAY[%s::bigint], '{1}', '{unstarted}', batch_no => 1)",
        (worker_id, job_id),
    )


def _paused(c: Connection, **columns: Any) -> int:
    c.execute("SELECT pgqueue.pause('default')")
    return factories.ready(c, **columns)


def _resume_due(c: Connection, _job_id: int) -> None:
    c.execute("UPDATE pgqueue.queues SET resume_at = now()")
    c.execute("SELECT pgqueue.resume_due()")


MANY = "SELECT pgqueue.enqueue_many(jsonb_build_array(jsonb_build_object('task', 'task')))"


def _call(query: str) -> Callable[[Connection, int], None]:
    def call(c: Connection, job_id: int) -> None:
        c.execute(query, {"id": job_id})

    return call


@pytest.mark.parametrize(
    ("make", "act"),
    [
        pytest.param(make, act, id=name)
        for name, make, act in (
            ("retry", factories.finished, _call("SELECT pgqueue.retry(%(id)s)")),
            ("retry scheduled", factories.scheduled, _call("SELECT pgqueue.retry(%(id)s)")),
            (
                "promote",
                lambda c: factories.scheduled(c, "2020-01-01"),
                _call("SELECT pgqueue.promote()"),
            ),
            (
                "rescue",
                factories.running,
                _call("SELECT pgqueue.rescue(at => now() + interval '1 h')"),
            ),
            (
                "forget_worker",
                factories.running,
                _call("SELECT pgqueue.forget_worker(max(id)) FROM pgqueue.workers"),
            ),
            ("unstarted", factories.running, _unstarted),
            ("set_priority", factories.ready, _call("SELECT pgqueue.set_priority(%(id)s, 9)")),
            ("set_queue", factories.ready, _call("SELECT pgqueue.set_queue(%(id)s, 'default')")),
            ("file_strays", factories.stray, _call("SELECT pgqueue.file_strays()")),
            ("resume", _paused, _call("SELECT pgqueue.resume('default')")),
            ("resume_due", _paused, _resume_due),
            ("enqueue", lambda _: 0, _call("SELECT pgqueue.enqueue('task')")),
            ("enqueue_many", lambda _: 0, _call(MANY)),
        )
    ],
)  # fmt: skip
def test_whatever_makes_a_job_ready_rings(
    db: Database,
    c: Connection,
    make: Callable[[Connection], int],
    act: Callable[[Connection, int], None],
) -> None:
    job_id = make(c)
    sleeper = SleeperSession(db)
    sleeper.arm()
    act(c, job_id)
    assert sleeper.heard() == ["default"]
    assert sleeper.finds()


# Settings


def test_always_rings_for_those_who_only_listen(db: Database, c: Connection) -> None:
    listener = SleeperSession(db)
    c.execute("SET pgqueue.notify = 'always'")
    c.execute(INSERT)
    assert listener.heard() == ["default"]
    c.execute("SET pgqueue.notify = 'auto'")
    c.execute(INSERT)
    assert listener.heard() == []


def test_always_publishes_too(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db, "*")
    writer.execute("SET LOCAL pgqueue.notify = 'always'")
    writer.execute(INSERT)
    sleeper.arm()
    assert sleeper.must_wait()
    writer.commit()
    assert not sleeper.must_wait()


def test_off_is_silent_and_leaves_no_lock(db: Database, writer: Connection) -> None:
    sleeper = SleeperSession(db, "*", leader=True)
    sleeper.arm()
    writer.execute("SET LOCAL pgqueue.notify = 'off'")
    factories.job(writer)
    factories.job(writer, run_at=writer.execute("SELECT clock_timestamp() + '1 s'").fetchone()[0])  # type: ignore[index]
    assert locks(writer, WRITING) == set()
    writer.commit()
    assert sleeper.heard() == []
    assert sleeper.heard("pgqueue_control") == []
    assert sleeper.finds()


# The leader's timer


@pytest.mark.parametrize(("delay", "rings"), [("1.9 s", ["due"]), ("1 h", [])])
def test_a_job_that_falls_due_soon_rings_for_the_leader(
    db: Database, c: Connection, delay: str, rings: list[str]
) -> None:
    query = "INSERT INTO pgqueue.jobs (task, run_at) VALUES ('task', clock_timestamp() + %s)"
    leader = SleeperSession(db, leader=True)
    c.execute(query, (delay,))
    assert leader.heard("pgqueue_control") == []
    leader.arm()
    c.execute(query, (delay,))
    assert leader.heard("pgqueue_control") == rings
    assert leader.heard() == []


def test_a_retry_that_falls_due_soon_rings_for_the_leader(db: Database, c: Connection) -> None:
    leader = SleeperSession(db, leader=True)
    leader.arm()
    retry = "SELECT pgqueue.retry(%s, %s::timestamptz + '1 s', %s)"
    c.execute(retry, (factories.finished(c), AT, AT))
    job_id = factories.running(c)
    c.execute(
        "SELECT pgqueue.finish(%s, ARRAY[%s::bigint], '{1}', '{retry}', delays => '{1 s}',"
        " batch_no => 1)",
        (factories.position(c, job_id)["worker_id"], job_id),
    )
    assert leader.heard("pgqueue_control") == ["due", "due"]
