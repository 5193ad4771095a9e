"""Real workers and the doorbell: no wake-up is missed, and a busy system hardly ever rings.

The workers' fallback is further away than any test lasts: a job that nobody rang for is seen to
wait, and by_fallback counts it.
"""

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, asleep, closed_gate, stop
from tests.fixtures.databases import Database, create_database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

INSERT = b"INSERT INTO pgqueue.jobs (task) VALUES ('tests.acceptance.tasks.noop')"


class Ear:
    """A session that listens and does not sleep: it counts what others are rung for."""

    def __init__(self, db: Database) -> None:
        self._connection = db.connect()
        self._connection.execute("LISTEN pgqueue")

    def heard(self) -> int:
        """Give how many notifications have come since the last call."""
        # The server delivers them before it answers the next statement.
        self._connection.execute("SELECT")
        return len(list(self._connection.notifies(timeout=0)))


def rests(jobs: Jobs) -> bool:
    """Whether a worker has asked to be rung and has left no job."""
    return asleep(jobs) > 0 and not jobs.query("SELECT FROM pgqueue.ready_jobs LIMIT 1")


def write_pairs(db: Database, pairs: int, between: float, after: float, seed: int) -> None:
    """Insert two jobs up to `between` seconds apart, and again when both were taken.

    A job whose writer did not ring for it stays, since nobody writes another one.
    """
    spread = random.Random(seed)
    with contextlib.closing(Jobs(db.dsn)) as jobs:
        for _ in range(pairs):
            eventually(lambda: rests(jobs))
            # Most often it sleeps by then, and now and then it is just about to.
            jobs.query("SELECT pg_sleep(%s)", after + spread.uniform(0, 0.01))
            jobs.connection.execute(INSERT)
            jobs.query("SELECT pg_sleep(%s)", spread.uniform(0, between))
            jobs.connection.execute(INSERT)
        eventually(lambda: rests(jobs))


def test_no_job_of_a_pair_is_missed(
    server: EmbeddedServer, template: str, worker: StartWorker
) -> None:
    """The second of two jobs comes while the worker is about to fall asleep after the first."""
    pairs, places = 100, 4
    found = [create_database(server, template) for _ in range(places)]
    queues = ("*", "default") * (places // 2)
    running = [
        worker(
            "--processes", "1", "--fallback", "600", "--queues", names, dsn=place.dsn, ready=False
        )
        for place, names in zip(found, queues, strict=True)
    ]  # fmt: skip
    with ThreadPoolExecutor(places) as threads:
        for done in [
            threads.submit(write_pairs, place, pairs, 0.012, 0.005, seed)
            for seed, place in enumerate(found)
        ]:
            done.result()
    for place, one in zip(found, running, strict=True):
        with contextlib.closing(Jobs(place.dsn)) as jobs:
            eventually(lambda jobs=jobs: jobs.states() == {"succeeded": 2 * pairs})
            figures = stop(one)
            # Nor did it connect anew, as one does at last that is idle beside jobs.
            assert (figures["by_fallback"], figures["reconnects"]) == (0, 0)
            # It really slept: without a ring these jobs would have waited.
            assert figures["by_ring"] > pairs / 5
            assert jobs.problems() == []


def test_no_job_is_missed_where_two_workers_linger(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    """So many rings that the workers look by themselves for a while before they sleep."""
    running = [worker("--processes", "1", "--fallback", "600") for _ in range(2)]
    spread, total = random.Random(1), 800
    eventually(lambda: asleep(jobs) == 2)
    begun = time.monotonic()
    for _ in range(total):
        jobs.connection.execute(INSERT)
        jobs.query("SELECT pg_sleep(%s)", spread.uniform(0, 0.004))
    seconds = time.monotonic() - begun
    eventually(lambda: jobs.states() == {"succeeded": total})
    figures = [stop(one) for one in running]
    assert sum(one["by_fallback"] for one in figures) == 0
    assert sum(one["reconnects"] for one in figures) == 0
    rings = [one["rings"] for one in figures]
    print(f"{rings} rings for {total} inserts in {seconds:.1f} s")
    # Each notification is heard by both. They may be rung a hundred times a second, and there may
    # be that many more inserts only where a machine is not so slow that it makes fewer.
    assert max(rings) <= 120 * seconds + 30


def late(jobs: Jobs) -> list[dict[str, object]]:
    """Give jobs that began over twenty seconds late, which no busy machine explains."""
    return jobs.query(
        "SELECT j.id, f.started_at - coalesce(j.run_at, j.created_at) AS late"
        " FROM pgqueue.jobs AS j JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id"
        " WHERE f.started_at > coalesce(j.run_at, j.created_at) + interval '20 s'"
        " ORDER BY 2 DESC LIMIT 5"
    )


def test_long_transactions_beside_a_sleeper(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """Jobs of transactions that began before the worker fell asleep and commit after."""
    running = worker("--processes", "1", "--fallback", "600")
    writers = [db.connect() for _ in range(4)]
    for _ in range(25):
        for number, connection in enumerate(writers):
            connection.execute("BEGIN")
            if number % 2:
                connection.execute("SAVEPOINT a")
                connection.execute(INSERT)
                connection.execute("ROLLBACK TO a")
            connection.execute(INSERT)
        jobs.wait(jobs.add("noop", queue="other"))
        for connection in writers:
            connection.execute("COMMIT")
        eventually(lambda: jobs.states().keys() == {"succeeded"})
    assert jobs.states() == {"succeeded": 125}
    assert stop(running)["by_fallback"] == 0


def test_a_burst_in_one_statement(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--fallback", "600")
    for _ in range(3):
        eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.ready_jobs") == 0)
        ids = jobs.add_many(3000, "noop")
        jobs.wait_all(ids)
    figures = stop(running)
    assert (figures["jobs"], figures["by_fallback"]) == (9000, 0)


@pytest.mark.parametrize(("writers", "most"), [(1, 10), (32, 40)])
def test_a_busy_worker_is_hardly_ever_rung_for(
    writers: int, most: int, db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    each = 1000 // writers
    # Most of a minute's work: it has to last until the slowest machine has written.
    jobs.add_many(20_000, "nap", priority=1)
    running = worker("--processes", "1", "--fallback", "600")
    jobs.wait(jobs.add("noop", priority=2))
    ear = Ear(db)

    def write(_number: int) -> int:
        with psycopg.connect(db.dsn, autocommit=True) as connection:
            for _ in range(each):
                connection.execute(INSERT)
        return each

    with ThreadPoolExecutor(writers) as threads:
        written = sum(threads.map(write, range(writers)))
    heard = ear.heard()
    assert jobs.value("SELECT count(*) FROM pgqueue.ready_jobs WHERE priority = 1"), "was busy"
    print(f"{writers} writers: {heard} notifications for {written} single-row inserts")
    assert heard * 1000 / written < most
    assert stop(running)["by_fallback"] == 0
    # They stand behind the others.
    assert jobs.value("SELECT count(*) FROM pgqueue.ready_jobs WHERE priority = 0") == written


def test_a_job_due_soon_starts_when_it_is_due(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--fallback", "600")
    eventually(lambda: "leading" in running.log())
    for delay in (0.25, 0.25, 1.5, 0.05, 0.7):
        job = jobs.value(
            "INSERT INTO pgqueue.jobs (task, run_at) VALUES ('tests.acceptance.tasks.noop',"
            " clock_timestamp() + %s * interval '1 s') RETURNING id",
            delay,
        )
        jobs.wait(job)
    assert (
        jobs.query(
            "SELECT j.id FROM pgqueue.jobs AS j JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id"
            " WHERE f.started_at < j.run_at - interval '1 ms'"
        )
        == []
    )
    assert late(jobs) == []
    assert stop(running)["by_fallback"] == 0


def test_an_idle_worker_is_quiet(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """A beat every two seconds, the leader's look every second, a probe every fifteen; a schedule
    that is not due costs nothing besides."""
    jobs.query("SELECT pgqueue.schedule('s', 't', every => '1 day')")
    running = worker("--processes", "2", "--fallback", "600")
    jobs.wait(jobs.add("noop"))
    eventually(lambda: "leading" in running.log())
    # The leader has planned it.
    eventually(lambda: jobs.value("SELECT next_slot FROM pgqueue.schedules") is not None)
    ear = Ear(db)
    connection = db.connect()
    names = (
        "work", "beat", "promote", "rescue", "arm", "disarm", "still_writing", "ring", "held",
        "due_schedules", "fire_schedules", "declare_schedules", "schedules_due_in",
    )  # fmt: skip

    def calls() -> dict[str, int]:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        return {
            str(name): int(number)
            for name, number in connection.execute(
                "SELECT funcname, sum(calls) FROM pg_stat_user_functions"
                " WHERE schemaname = 'pgqueue' GROUP BY funcname"
            )
        }

    # From one beat to a later one, once it has fallen asleep; what a session did before it fell
    # idle is in the statistics ten seconds later.
    first = calls().get("beat", 0)
    eventually(lambda: calls().get("beat", 0) >= first + 6)
    before, begun = calls(), time.monotonic()
    eventually(lambda: calls()["beat"] >= before["beat"] + 2)
    after = calls()
    seconds = time.monotonic() - begun
    spent = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    print(f"{seconds:.1f} s idle: {spent}")
    # Statistics of a session that is not idle arrive late as well, by up to a second.
    assert spent["work"] <= 1
    assert spent["arm"] + spent["disarm"] + spent["still_writing"] + spent["held"] <= 1
    assert spent["promote"] <= seconds + 5
    assert spent["beat"] <= seconds / 2 + 2
    assert spent["schedules_due_in"] <= spent["promote"] + 1
    assert spent["due_schedules"] + spent["fire_schedules"] + spent["declare_schedules"] <= 2
    assert ear.heard() == 0
    assert stop(running)["by_fallback"] == 0


def test_a_paused_backlog_does_not_keep_it_awake(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    jobs.query("SELECT pgqueue.pause('mail')")
    jobs.add_many(100, "noop", queue="mail")
    running = worker("--processes", "1", "--fallback", "600")
    ids = [jobs.add("noop") for _ in range(20)]
    jobs.wait_all(ids)
    calls = stop(running)["calls"]
    assert calls < 100, "a look or two for each ring"


def test_no_slot_is_free(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """A worker that is full takes nothing, rings for nobody, and goes on by itself."""
    with closed_gate(db, 1):
        full = jobs.add_many(2, "gate", 1)
        running = worker("--processes", "2", "--fallback", "600")
        jobs.wait_at_gate(1, 2)
        # What waits for a slot does not sleep.
        assert asleep(jobs) == 0
        ear = Ear(db)
        waiting = [jobs.add("noop") for _ in range(100)]
        assert ear.heard() == 0
        assert jobs.states(waiting) == {"ready": 100}
    jobs.wait_all([*full, *waiting])
    figures = stop(running)
    assert figures["by_fallback"] == 0
    assert figures["calls"] < 100
