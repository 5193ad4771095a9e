"""Jobs that run longer than they may: told first, killed then, and nobody else is blamed."""

import re

from tests.acceptance.support import Jobs, children, closed_gate, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually


def test_a_soft_timeout(jobs: Jobs, worker: StartWorker) -> None:
    tasks = ["spin", "aspin", "aspin_inside", "aspin_anew"]
    ids = [jobs.add(task) for task in tasks]
    retried = jobs.add("spin_twice")
    tidy = jobs.add("spin_tidily")
    running = worker("--processes", "1", "--threads", "6")
    for job in ids:
        found = jobs.wait(job, "failed")
        assert found["error"].startswith("pgqueue.JobTimeout: the limit of 1 seconds was passed")
        assert found["attempt"] == 1
    found = jobs.wait(retried, "failed")
    assert found["attempt"] == 2
    assert len(jobs.errors(retried)) == 2
    assert jobs.wait(tidy)["result"] == "stopped by JobTimeout"
    traceback = jobs.errors(ids[0])[0]["traceback"]
    assert "in spin" in traceback, "the place where it was is shown"
    jobs.wait_all(jobs.add_many(20, "aecho"))
    assert "ended" not in running.log(), "the child lives on"


def test_the_job_s_own_timeout_counts(jobs: Jobs, worker: StartWorker) -> None:
    job = jobs.add("auntil_cancelled", timeout="1 s")
    worker("--processes", "1")
    assert "the limit of 1 seconds" in jobs.wait(job, "failed")["error"]


def test_a_task_in_c_code_is_killed(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        running = worker("--processes", "2", "--threads", "2")
        with closed_gate(db, 2):
            warm = jobs.add_many(4, "gate", 2)
            jobs.wait_at_gate(2, 4)
        jobs.wait_all(warm)
        # Both children are there. One after the other, so that each child gets one of both.
        beside = [jobs.add("gate", 1)]
        jobs.wait_at_gate(1)
        beside.append(jobs.add("gate", 1))
        jobs.wait_at_gate(1, 2)
        before = children(running)
        stuck = jobs.add("spin_in_c")
        jobs.wait(stuck, "running")
        again = jobs.add("spin_in_c_once")
        jobs.wait(again, "running")
        # Those that wait for a slot are not touched by what becomes of those that run.
        behind = jobs.add_many(5, "noop")
        found = jobs.wait(stuck, "failed", 30)
        error = "pgqueue.JobTimeout: the limit of 1 seconds was passed; the process was killed"
        assert found["error"] == error
        assert (found["attempt"], found["lost"], found["crashes"]) == (1, 0, 0)
        found = jobs.wait(again)
        assert (found["result"], found["attempt"], found["lost"]) == (2, 2, 0)
        assert [row["message"] for row in jobs.errors(again)] == [error.partition(": ")[2]]
        eventually(lambda: not any(map(is_running, before)))
        # They ran there too, are not to blame, and run again.
        jobs.wait_at_gate(1, 2)
    for job in beside:
        found = jobs.wait(job)
        assert (found["attempt"], found["lost"], found["crashes"]) == (2, 1, 0)
        assert jobs.errors(job) == []
    jobs.wait_all(behind)
    assert {jobs.look(job)["attempt"] for job in behind} == {1}
    assert len(re.findall(r"went on \d+ s after its limit", running.log())) == 2
    stop(running)
