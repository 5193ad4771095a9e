"""A finish inside the transaction of the job's own writes: both or neither, whoever stands by."""

from typing import Any

import psycopg
import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import one, tell, work
from tests.sql.sleeper import Connection


@pytest.fixture
def effects(c: Connection) -> None:
    c.execute("CREATE TABLE effects (job bigint)")


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


@pytest.fixture
def child(db: Database) -> Connection:
    """The connection of an atomic task."""
    return db.connect(autocommit=False)


def finish(c: Connection, worker: int, job: int, batch_no: int = 1, attempt: int = 1) -> Any:
    query = "SELECT pgqueue.finish_atomic(%s, %s, %s, %s::integer, '{\"a\": 1}', 1000000)"
    return one(c, query, worker, batch_no, job, attempt)


def begin(child: Connection, job: int) -> None:
    child.execute("INSERT INTO effects VALUES (%s)", (job,))


def effects_of(c: Connection, job: int) -> int:
    return int(one(c, "SELECT count(*) FROM effects WHERE job = %s", job))


pytestmark = pytest.mark.usefixtures("effects")


def test_both_commit(c: Connection, child: Connection, worker: int) -> None:
    job = factories.running(c, worker, attempt=3, lost=1, crashes=1)
    begin(child, job)
    assert finish(child, worker, job, attempt=3) == "stored"
    assert factories.state(c, job) == "running"
    assert effects_of(c, job) == 0
    child.commit()
    over = factories.position(c, job)
    assert (over["state"], over["attempt"], over["lost"]) == ("succeeded", 3, 1)
    assert (over["result"], over["error"], over["worker_id"]) == ({"a": 1}, None, worker)
    assert effects_of(c, job) == 1


def test_both_roll_back(c: Connection, child: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    begin(child, job)
    assert finish(child, worker, job) == "stored"
    child.rollback()
    assert factories.state(c, job) == "running"
    assert effects_of(c, job) == 0


def test_no_result_and_the_time_since_the_claim(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, started_at="2026-01-01")
    query = "SELECT pgqueue.finish_atomic(%s, 1, %s, 1, 'null', NULL, '2026-01-01 00:01')"
    assert one(c, query, worker, job) == "stored"
    query = """
        SELECT result IS NULL, finished_at - started_at = '1 min' FROM pgqueue.finished_jobs
    """
    assert one(c, query) == (True, True)


@pytest.mark.parametrize(
    "wrong", [{"worker": 9999}, {"batch_no": 2}, {"attempt": 2}, {"job": 9999}]
)
def test_the_fence(c: Connection, worker: int, wrong: dict[str, int]) -> None:
    job = factories.running(c, worker)
    assert finish(c, **{"worker": worker, "job": job, **wrong}) == "lost"
    assert factories.state(c, job) == "running"


def test_twice_is_once(c: Connection, child: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    assert finish(child, worker, job) == "stored"
    assert finish(child, worker, job) == "lost"
    child.commit()
    assert finish(c, worker, job) == "lost"
    assert factories.state(c, job) == "succeeded"


def test_what_the_supervisor_tells_meanwhile(c: Connection, child: Connection, worker: int) -> None:
    """It believes that the child is dead: told again and again until the transaction has ended."""
    done, undone = (factories.running(c, worker) for _ in "ab")
    begin(child, done)
    assert finish(child, worker, done) == "stored"
    assert tell(c, worker, done, "interrupted") == (None, [done])
    assert one(c, "SELECT array_agg(job_id) FROM pgqueue.held(%s)", worker) == [done, undone]
    child.commit()
    assert tell(c, worker, done, "interrupted") == ([done], None)
    assert factories.state(c, done) == "succeeded"

    begin(child, undone)
    assert finish(child, worker, undone) == "stored"
    assert tell(c, worker, undone, "interrupted") == (None, [undone])
    child.rollback()
    assert tell(c, worker, undone, "interrupted") == (None, None)
    assert factories.state(c, undone) == "ready"
    assert (effects_of(c, done), effects_of(c, undone)) == (1, 0)


def test_the_supervisor_is_not_held_up(c: Connection, child: Connection, worker: int) -> None:
    job, other = (factories.running(c, worker) for _ in "ab")
    factories.ready(c)
    assert finish(child, worker, job) == "stored"
    c.execute("SET lock_timeout = '5s'")
    assert tell(c, worker, other, "failed", kind="E", message="m") == (None, None)
    assert len(work(c, worker, 5).payload) == 1
    assert one(c, "SELECT known FROM pgqueue.beat(%s)", worker) is True
    child.commit()


@pytest.mark.parametrize("commits", [True, False])
def test_rescue_beside_it(c: Connection, child: Connection, worker: int, commits: bool) -> None:
    job = factories.running(c, worker)
    begin(child, job)
    assert finish(child, worker, job) == "stored"
    c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch'")
    assert one(c, "SELECT * FROM pgqueue.rescue()") == (0, 0)
    assert one(c, "SELECT count(*) FROM pgqueue.workers") == 1
    if commits:
        child.commit()
        assert one(c, "SELECT * FROM pgqueue.rescue()") == (1, 0)
        assert factories.state(c, job) == "succeeded"
    else:
        child.rollback()
        assert one(c, "SELECT * FROM pgqueue.rescue()") == (1, 1)
        assert factories.state(c, job) == "ready"
        assert finish(child, worker, job) == "lost"
    assert effects_of(c, job) == commits


def test_forget_worker_beside_it(c: Connection, child: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    assert finish(child, worker, job) == "stored"
    assert one(c, "SELECT pgqueue.forget_worker(%s)", worker) == 0
    child.commit()
    assert one(c, "SELECT * FROM pgqueue.rescue()") == (1, 0)


def test_it_comes_second(c: Connection, db: Database, child: Connection, worker: int) -> None:
    """The rescue has the row, and has not committed."""
    job = factories.running(c, worker)
    c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch'")
    rescuer = db.connect(autocommit=False)
    assert one(rescuer, "SELECT * FROM pgqueue.rescue()") == (1, 1)
    begin(child, job)
    assert finish(child, worker, job) == "again"
    rescuer.commit()
    assert finish(child, worker, job) == "lost"
    child.rollback()
    assert factories.state(c, job) == "ready"
    assert effects_of(c, job) == 0


def test_a_wish_to_cancel_came_too_late(c: Connection, child: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    assert one(c, "SELECT pgqueue.cancel(%s)", job) == "running"
    assert finish(child, worker, job) == "stored"
    child.commit()
    assert factories.state(c, job) == "succeeded"
    assert one(c, "SELECT count(*) FROM pgqueue.cancel_requests") == 0


def test_a_queue_that_keeps_nothing(c: Connection, child: Connection, worker: int) -> None:
    c.execute("SELECT pgqueue.configure_queue('brief', retention_succeeded => '0')")
    job = factories.running(c, worker, queue="brief")
    assert finish(child, worker, job) == "stored"
    child.commit()
    assert factories.state(c, job) is None


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_other_isolation(c: Connection, child: Connection, worker: int, isolation: str) -> None:
    done, gone = (factories.running(c, worker) for _ in "ab")
    for job in (done, gone):
        child.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        begin(child, job)
        if job == done:
            assert finish(child, worker, job) == "stored"
            child.commit()
            continue
        tell(c, worker, gone, "interrupted")
        with pytest.raises(psycopg.errors.SerializationFailure):
            finish(child, worker, job)
        child.rollback()
    assert (effects_of(c, done), effects_of(c, gone)) == (1, 0)


def test_who_freezes_before_the_commit_is_thrown_out(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    show = "SELECT current_setting('idle_in_transaction_session_timeout')"
    with c.transaction():
        assert finish(c, worker, job) == "stored"
        assert one(c, show) == "10s"
    assert one(c, show) == "0"
