"""Atomic tasks: effects are there exactly once, whatever breaks and whenever."""

import contextlib
import os
import random
import signal
import time
from typing import Any

import pytest

from tests.acceptance.support import Jobs, children, closed_gate, presume_lost, stop
from tests.acceptance.tasks import GATE
from tests.fixtures.databases import Database
from tests.fixtures.pgbouncer import StartPooler
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually

APP = "tests.acceptance.atomic_tasks"


class Effects:
    """The jobs of a test, and what they have written."""

    def __init__(self, jobs: Jobs, worker: StartWorker) -> None:
        self.jobs = jobs
        self._worker = worker
        jobs.make_notes()
        jobs.query("CREATE TABLE effects (job bigint, attempt integer)")
        jobs.query("CREATE TABLE wholes (id bigint PRIMARY KEY)")
        jobs.query(
            "CREATE TABLE parts (whole bigint REFERENCES wholes DEFERRABLE INITIALLY DEFERRED)"
        )

    def start(self, *options: str, **more: Any) -> RunningWorker:
        return self._worker("--processes", "1", *options, app=APP, **more)

    def add(self, task: str, *args: object, **columns: object) -> int:
        return self.jobs.add(f"{APP}.{task}", *args, **columns)

    def add_many(self, count: int, task: str, *args: object) -> list[int]:
        return self.jobs.add_many(count, f"{APP}.{task}", *args)

    def of(self, job: int) -> int:
        return int(self.jobs.value("SELECT count(*) FROM effects WHERE job = %s", job))

    def wrong(self) -> list[dict[str, Any]]:
        """Jobs whose effects are not there exactly if they have succeeded."""
        return self.jobs.query(
            "SELECT f.job_id, f.state, f.error, count(e.job) AS effects"
            " FROM pgqueue.finished_jobs AS f LEFT JOIN effects AS e ON e.job = f.job_id"
            " GROUP BY 1, 2, 3 HAVING count(e.job) <> (f.state = 'succeeded')::integer"
        )

    def finishing(self, job: int) -> bool:
        """Whether a transaction that has not committed has finished the job."""
        free = self.jobs.query(
            "SELECT FROM pgqueue.running_jobs WHERE job_id = %s FOR UPDATE SKIP LOCKED", job
        )
        return self.jobs.state(job) == "running" and not free


@pytest.fixture
def effects(jobs: Jobs, worker: StartWorker) -> Effects:
    return Effects(jobs, worker)


def test_what_comes_of_it(db: Database, jobs: Jobs, effects: Effects) -> None:
    running = effects.start("--threads", "2")

    for task in ("effect", "aeffect"):
        plain, told = effects.add(task), effects.add(task, {"a": [1]})
        assert jobs.wait(plain)["result"] is None
        found = jobs.wait(told)
        assert (found["result"], found["attempt"]) == ({"a": [1]}, 1)
        assert (effects.of(plain), effects.of(told)) == (1, 1)

    for how in ("raise", "retry", "snooze"):
        job = effects.add("fail_twice", how)
        found = jobs.wait(job)
        assert found["result"] == 3
        assert effects.of(job) == 1
        assert [row["attempt"] for row in jobs.query("SELECT * FROM effects WHERE job = %s", job)]

    for task, args, state, error in (
        ("cancel_itself", (), "cancelled", "cancelled: enough"),
        ("too_long", ("server",), "failed", "JobTimeout"),
        ("too_long", ("here",), "failed", "JobTimeout"),
        ("atoo_long", (), "failed", "JobTimeout"),
        ("return_object", (), "failed", "ResultNotSerializable"),
        ("swallow", (), "failed", "pgqueue.TransactionFailed"),
        ("end_it", ("commit",), "failed", "psycopg.ProgrammingError"),
        ("end_it", ("rollback",), "failed", "psycopg.ProgrammingError"),
        ("end_it", ("close",), "failed", "psycopg.ProgrammingError"),
        ("end_it", ("ROLLBACK",), "failed", "pgqueue.TransactionEnded"),
        ("end_it", ("ROLLBACK;BEGIN",), "failed", "pgqueue.TransactionEnded"),
        ("deferred", (), "failed", "psycopg.errors.ForeignKeyViolation"),
    ):
        job = effects.add(task, *args)
        found = jobs.wait(job, state)
        assert error in found["error"], (task, args)
        assert effects.of(job) == 0, (task, args)

    # What it has committed by itself is there, so it is not tried again.
    job = effects.add("end_it", "COMMIT;BEGIN", max_attempts=5)
    assert jobs.wait(job, "failed")["attempt"] == 1
    assert effects.of(job) == 1

    job = effects.add("savepoint")
    assert jobs.wait(job)["result"] == "went on"
    assert effects.of(job) == 1

    effects.add("litter")
    found = [jobs.wait(effects.add("settings"))["result"] for _ in range(4)]
    assert {tuple(one[:3]) for one in found} == {("0", '"$user", public', "read committed")}
    assert len({one[3] for one in found}) <= 2
    assert jobs.wait(effects.add("serializable"))["result"] == "serializable"
    assert "only an atomic task has a connection" in jobs.wait(effects.add("not_atomic"))["result"]

    total = jobs.value("SELECT count(*) FROM pgqueue.finished_jobs")
    figures = stop(running)
    # Each job once, and the attempts that came before.
    assert figures["jobs"] == total + 6
    assert figures["lost_leases"] == 0
    assert "lease lost" not in running.log()
    assert "transaction" not in running.log()


def test_jobs_it_enqueues_are_part_of_it(jobs: Jobs, effects: Effects) -> None:
    effects.start()
    jobs.wait(effects.add("enqueue_and_fail", True), "failed")
    assert jobs.value("SELECT count(*) FROM pgqueue.jobs") == 1
    jobs.wait(effects.add("enqueue_and_fail", False))
    jobs.wait(effects.add("aenqueue"))
    eventually(lambda: jobs.value("SELECT count(*) FROM effects") == 2)
    assert jobs.value("SELECT count(*) FROM pgqueue.jobs") == 5


@pytest.mark.parametrize("place", ["atomic_before_commit", "atomic_after_commit"])
def test_the_child_is_killed(place: str, jobs: Jobs, effects: Effects) -> None:
    running = effects.start(env={"PGQUEUE_FAILPOINTS": f"{place}=kill9:0.3"})
    ids = effects.add_many(5, "effect") + effects.add_many(5, "aeffect")
    eventually(lambda: set(jobs.states(ids)) <= {"succeeded", "failed"})
    assert effects.wrong() == []
    if place == "atomic_after_commit":
        # It was done, and nobody had heard of it.
        assert jobs.states(ids) == {"succeeded": 10}
        assert jobs.query("SELECT * FROM pgqueue.job_errors") == []
    assert "lease lost" not in running.log()
    assert stop(running)["lost_leases"] == 0


def test_the_reply_of_the_commit_is_lost(jobs: Jobs, effects: Effects) -> None:
    """The child reports the job as interrupted, which it was not; nobody takes fright."""
    running = effects.start(env={"PGQUEUE_FAILPOINTS": "atomic_after_commit=drop:0.5"})
    ids = effects.add_many(20, "effect") + effects.add_many(20, "aeffect")
    jobs.wait_all(ids)
    assert effects.wrong() == []
    assert jobs.query("SELECT * FROM pgqueue.job_errors") == []
    assert jobs.query("SELECT DISTINCT attempt FROM pgqueue.finished_jobs") == [{"attempt": 1}]
    figures = stop(running)
    assert (figures["jobs"], figures["lost_leases"]) == (40, 0)
    assert "lease lost" not in running.log()


def test_the_connection_is_lost_before_the_commit(jobs: Jobs, effects: Effects) -> None:
    # Eleven times in a row would be the end of a job: that is left to no chance worth a thought.
    running = effects.start(env={"PGQUEUE_FAILPOINTS": "atomic_before_commit=drop:0.25"})
    ids = effects.add_many(60, "effect")
    jobs.wait_all(ids)
    assert effects.wrong() == []
    kinds = jobs.query("SELECT DISTINCT kind FROM pgqueue.job_errors")
    assert kinds == [{"kind": "pgqueue.core.failpoints.DropConnection"}]
    rows = jobs.query("SELECT * FROM pgqueue.finished_jobs WHERE attempt <> lost + 1")
    assert rows == []
    stop(running)


@pytest.mark.parametrize("task", ["effect_and_gate", "aeffect_and_gate"])
def test_the_server_ends_the_connection(
    task: str, db: Database, jobs: Jobs, effects: Effects
) -> None:
    running = effects.start()
    with closed_gate(db, 1) as gate:
        job = effects.add(task, 1)
        jobs.wait_at_gate(1)
        # And waits until it is gone.
        assert jobs.value("SELECT pg_terminate_backend(%s, 60000)", int(jobs.notes()[0]))
        gate.open()
        found = jobs.wait(job)
    # The task was not to blame, though it has one attempt only.
    assert (found["attempt"], found["lost"]) == (2, 1)
    assert [error["kind"] for error in jobs.errors(job)] == ["psycopg.errors.AdminShutdown"]
    assert effects.of(job) == 1
    stop(running)


def test_the_server_ends_the_connection_each_time(jobs: Jobs, effects: Effects) -> None:
    job = effects.add("shoot_the_server")
    jobs.query("UPDATE pgqueue.ready_jobs SET attempt = 10, lost = 10")
    effects.start()
    found = jobs.wait(job, "failed")
    assert (found["attempt"], found["lost"]) == (11, 10)
    assert effects.of(job) == 0


#: A commit that waits for a gate, after all that was said before it.
_SLOW_COMMIT = f"""
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({GATE}, 1);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
"""


def test_it_ends_between_finish_and_commit(db: Database, jobs: Jobs, effects: Effects) -> None:
    jobs.query(_SLOW_COMMIT)
    running = effects.start()
    with closed_gate(db, 1):
        job = effects.add("effect")
        jobs.wait_at_gate(1)
        assert effects.finishing(job)
        assert jobs.value(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND classid = %s AND NOT granted",
            GATE,
        )
    found = jobs.wait(job)
    assert (found["attempt"], found["lost"]) == (2, 1)
    assert effects.of(job) == 1
    assert stop(running)["lost_leases"] == 0


def test_the_supervisor_is_killed(jobs: Jobs, effects: Effects) -> None:
    """While its child has finished the job and not committed."""
    first = effects.start(env={"PGQUEUE_FAILPOINTS": "atomic_before_commit=sleep:600"})
    job = effects.add("effect")
    eventually(lambda: effects.finishing(job))
    first.kill()
    presume_lost(jobs, first)
    effects.start()
    found = jobs.wait(job)
    assert (found["attempt"], found["lost"]) == (2, 1)
    assert effects.of(job) == 1


def test_the_lease_was_lost(db: Database, jobs: Jobs, effects: Effects) -> None:
    running = effects.start("--threads", "2")
    with closed_gate(db, 1) as gate:
        job = effects.add("effect_and_gate", 1)
        jobs.wait_at_gate(1)
        # As a rescue would, which has mistaken the worker for a lost one.
        jobs.query(
            "SELECT pgqueue.finish(worker_id, ARRAY[job_id], ARRAY[attempt], '{interrupted}',"
            " batch_no => batch_no) FROM pgqueue.running_jobs"
        )
        jobs.wait_at_gate(1, 2)
        gate.open()
        found = jobs.wait(job)
    assert (found["attempt"], found["lost"]) == (2, 1)
    eventually(lambda: "lease lost" in running.log())
    assert jobs.query("SELECT * FROM effects") == [{"job": job, "attempt": 2}]
    assert stop(running)["lost_leases"] == 1


def test_a_frozen_worker(db: Database, jobs: Jobs, effects: Effects) -> None:
    frozen = effects.start()
    with closed_gate(db, 1) as gate:
        job = effects.add("effect_and_gate", 1)
        jobs.wait_at_gate(1)
        below = children(frozen)
        for pid in (frozen.pid, *below):
            os.kill(pid, signal.SIGSTOP)
        presume_lost(jobs, frozen)
        other = effects.start()
        try:
            eventually(lambda: jobs.look(job)["lost"] == 1 and jobs.state(job) == "running")
            gate.open()
            found = jobs.wait(job)
        finally:
            # The child first, so that it still has a chance to do harm.
            for pid in (*below, frozen.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
    assert found["attempt"] == 2
    jobs.wait_all(effects.add_many(20, "effect"))
    assert jobs.query("SELECT attempt FROM effects WHERE job = %s", job) == [{"attempt": 2}]
    assert effects.wrong() == []
    stop(other)
    stop(frozen)


def test_it_is_cancelled(jobs: Jobs, effects: Effects) -> None:
    running = effects.start()
    job = effects.add("until_cancelled")
    jobs.wait(job, "running")
    jobs.query("SELECT pgqueue.cancel(%s, 'enough')", job)
    jobs.wait(job, "cancelled")
    assert effects.of(job) == 0
    assert jobs.query("SELECT * FROM pgqueue.cancel_requests") == []
    stop(running)


def test_behind_a_transaction_pooler(
    db: Database, jobs: Jobs, effects: Effects, pooler: StartPooler
) -> None:
    """Few server connections for all: what one task sets must not come to another."""
    dsn = pooler(pool_mode="transaction", default_pool_size="4").dsn(db.name)
    running = effects.start("--threads", "2", dsn=dsn)
    for _ in range(3):
        jobs.wait(effects.add("litter"))
        found = jobs.wait(effects.add("settings"))["result"]
        assert found[:3] == ["0", '"$user", public', "read committed"]
    ids = effects.add_many(50, "effect") + effects.add_many(50, "aeffect")
    jobs.wait_all(ids)
    assert jobs.value("SELECT count(DISTINCT job) FROM effects") == 100
    assert jobs.value("SELECT count(*) FROM effects") == 100
    assert stop(running)["lost_leases"] == 0


def test_kills_at_random(jobs: Jobs, effects: Effects) -> None:
    """Children killed, connections ended, jobs cancelled, all at once."""
    chance = random.Random(17)
    running = effects.start("--processes", "2", "--threads", "2")
    ids = effects.add_many(300, "slow_effect") + effects.add_many(100, "aeffect")
    kills, ends = 0, time.monotonic() + 100
    while jobs.states(ids).keys() & {"ready", "scheduled", "running"}:
        assert time.monotonic() < ends, jobs.states(ids)
        if kills < 30:
            kills += 1
            match chance.randrange(3):
                case 0:
                    if pids := children(running):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(chance.choice(pids), signal.SIGKILL)
                case 1:
                    jobs.query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid ="
                        " (SELECT pid FROM pg_stat_activity WHERE xact_start IS NOT NULL"
                        " AND datname = current_database() AND pid <> pg_backend_pid() LIMIT 1)"
                    )
                case _:
                    jobs.query("SELECT pgqueue.cancel(%s)", chance.choice(ids))
        done = jobs.value("SELECT count(*) FROM pgqueue.finished_jobs")
        with contextlib.suppress(AssertionError):
            eventually(
                lambda done=done: (
                    jobs.value("SELECT count(*) FROM pgqueue.finished_jobs") >= done + 10
                ),
                1,
            )
    assert effects.wrong() == []
    assert jobs.states(ids).keys() <= {"succeeded", "cancelled", "failed"}
    failed = jobs.query("SELECT DISTINCT error FROM pgqueue.finished_jobs WHERE state = 'failed'")
    assert all(row["error"].startswith("crash_loop") for row in failed)
    assert jobs.problems() == []
