"""Workers over time and in odd company: no leaks, no spinning, no outcome lost to a neighbour."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.support import (
    Jobs,
    asleep,
    children,
    closed_gate,
    descendants,
    figures,
    stop,
)
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually


def holdings(running: RunningWorker) -> dict[int, tuple[int, int]]:
    """Count the open files and threads of every process of a worker."""
    return {
        pid: (len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")))
        for pid in [running.pid, *descendants(running.pid)]
    }


def memory(pid: int) -> int:
    """Give the megabytes a process holds for itself alone."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        // 1024
    )


def settle(db: Database, jobs: Jobs) -> None:
    """Wait until a worker of two children with two slots each has all that it will ever have.

    Its listener, and in each child the threads of both slots and of the event loop: which child
    runs how many of a few short jobs is left to chance.
    """
    with closed_gate(db, 1):
        ids = jobs.add_many(4, "agate", 1)
        jobs.wait_at_gate(1, 4)
    jobs.wait_all(ids)
    eventually(lambda: asleep(jobs) == 1)


def test_nothing_piles_up(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2", "--threads", "2")
    settle(db, jobs)

    def work(count: int) -> None:
        tasks = ("noop", "echo", "aecho", "fail", "describe")
        ids = [job for task in tasks for job in jobs.add_many(count // len(tasks), task, "x")]
        eventually(lambda: jobs.states(ids).keys() <= {"succeeded", "failed"}, 60)
        assert jobs.states(ids)["failed"] == count // len(tasks)

    work(2_500)
    before = holdings(running)
    large = {pid: memory(pid) for pid in before}
    for _ in range(3):
        work(2_500)
    eventually(lambda: holdings(running) == before)
    for pid, was in large.items():
        assert memory(pid) <= was + 16, "megabytes"
    assert stop(running)["jobs"] == 10_004


def test_a_child_that_dies_leaves_no_files_open(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "2", "--threads", "2")
    settle(db, jobs)

    def files() -> list[int]:
        zygote = descendants(running.pid)[0]
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (running.pid, zygote)]

    before = files()
    for _ in range(5):
        victims = set(children(running))
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda victims=victims: len(set(children(running)) - victims) == 2)
        jobs.wait_all(jobs.add_many(20, "noop"))
    eventually(lambda: files() == before)
    stop(running)


def test_rows_that_somebody_holds(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    """A curious human with FOR UPDATE: his jobs wait for him, the others do not, nobody spins."""
    with closed_gate(db, 1):
        held = jobs.add_many(2, "gate", 1)
        running = worker("--processes", "1", "--threads", "4", "--grace", "600")
        jobs.wait_at_gate(1, 2)
        begun = time.monotonic()
        curious = db.connect(autocommit=False)
        curious.execute("SELECT FROM pgqueue.running_jobs FOR UPDATE")
        beside = jobs.add_many(2, "gate", 1)
        jobs.wait_at_gate(1, 4)
    jobs.wait_all(beside)
    others = jobs.add_many(100, "noop")
    jobs.wait_all(others)
    assert jobs.states(held) == {"running": 2}
    # Told to stop, it does not end before it has written down what it knows.
    running.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in running.log())
    assert jobs.value("SELECT pg_sleep(0.5)::text") == ""
    assert running.process.poll() is None
    curious.rollback()
    seconds = time.monotonic() - begun
    assert running.process.wait(PATIENCE) == 0
    assert jobs.states(held) == {"succeeded": 2}
    found = figures(running)
    assert found["jobs"] == 104
    # A try every 50 ms while he looked, not one after the other.
    assert found["calls"] < 120 + 25 * seconds


POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.result = '"poison"' THEN
        RAISE EXCEPTION 'no such thing here' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER poison BEFORE INSERT ON pgqueue.finished_jobs
FOR EACH ROW EXECUTE FUNCTION poison();
"""


@pytest.mark.parametrize("code", ["22023", "P0001", "PQ001"])
def test_a_result_that_the_server_refuses(jobs: Jobs, worker: StartWorker, code: str) -> None:
    """As a trigger of the application's does, or one of ours that a callback meets."""
    jobs.query(POISON.replace("{code}", code))
    with jobs.connection.transaction():
        ids = jobs.add_many(50, "echo", "well")
        bad = jobs.add("echo", "poison")
        ids += jobs.add_many(50, "noop")
        failing = jobs.add("fail")
    running = worker("--processes", "1")
    jobs.wait_all(ids)
    found = jobs.wait(bad, "failed")
    assert found["error"] == (
        "ResultNotStorable: the result could not be stored; the server refused it"
    )
    jobs.wait(failing, "failed")
    counted = stop(running)
    assert (counted["jobs"], counted["lost_leases"]) == (102, 0)


TROUBLE = """
CREATE SEQUENCE tries;
CREATE TABLE code AS SELECT '' AS code;
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.tries') <= 3 THEN
        RAISE EXCEPTION 'try again' USING ERRCODE = (SELECT code FROM public.code);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER trouble BEFORE INSERT ON pgqueue.finished_jobs
FOR EACH ROW EXECUTE FUNCTION trouble();
"""


def test_trouble_that_passes(jobs: Jobs, worker: StartWorker) -> None:
    jobs.query(TROUBLE)
    running = worker("--processes", "1")
    codes = ("40001", "40P01", "53100", "55P03", "57014")
    for code in codes:
        jobs.query("UPDATE code SET code = %s", code)
        jobs.query("ALTER SEQUENCE tries RESTART")
        jobs.wait_all(jobs.add_many(20, "echo", 1))
        assert jobs.value("SELECT last_value FROM tries") > 20, code
    rows = jobs.query("SELECT DISTINCT attempt, lost FROM pgqueue.finished_jobs")
    assert rows == [{"attempt": 1, "lost": 0}]
    counted = stop(running)
    assert (counted["jobs"], counted["lost_leases"]) == (20 * len(codes), 0)
    assert "Traceback" not in running.log()


def test_large_results_and_arguments(jobs: Jobs, worker: StartWorker) -> None:
    text = "x" * 1_000_000
    ids = jobs.add_many(10, "echo", text)
    small = jobs.add_many(20, "noop")
    running = worker("--processes", "2")
    jobs.wait_all([*ids, *small], timeout=60)
    whole = jobs.value(
        "SELECT count(*) FROM pgqueue.finished_jobs WHERE length(result::text) = 1000002"
    )
    assert whole == 10
    stop(running)
