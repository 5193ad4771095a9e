"""Tasks that no exception moves when their time is over: their process is killed, and they alone
are to blame."""

import re

from tests.acceptance.support import Jobs, children, is_running, stop
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

APP = "tests.worker.hostile_tasks"

TASKS = ["ignore_everything", "aignore_everything", "ablock", "sleep_long"]


def test_what_cannot_be_told_is_killed(jobs: Jobs, worker: StartWorker) -> None:
    # The limit is the worker's: neither these tasks nor their jobs have one.
    running = worker("--processes", "4", "--threads", "2", "--timeout", "1", app=APP)
    stubborn = [jobs.add(f"{APP}.{task}", timeout="1s") for task in TASKS[:3]]
    moved = jobs.add_many(2, f"{APP}.sleep_long")
    beside = jobs.add(f"{APP}.pid")
    for job in stubborn:
        found = jobs.wait(job, "failed", 30)
        assert found["error"] == "pgqueue.JobTimeout: the limit of 1 seconds was passed; " + (
            "the process was killed"
        )
        # One that ended with the process of another was given back, which spends no attempt.
        assert (found["attempt"] - found["lost"], found["crashes"]) == (1, 0)
        assert len(jobs.errors(job)) == 1
    for job in moved:
        # In a main thread it was told, in another its process was killed; it failed once it is.
        found = jobs.wait(job, "failed", 30)
        assert "the limit of 1 seconds was passed" in found["error"]
        assert found["crashes"] == 0
        assert found["attempt"] - found["lost"] == 1
    assert jobs.wait(beside)["attempt"] == 1
    # Two of them may have met in one child.
    killed = re.findall(r"child (\d+) ended: killed: job \d+ went on \d+ s", running.log())
    assert len(killed) >= 2
    assert not any(is_running(int(pid)) for pid in killed)
    jobs.wait_all([jobs.add(f"{APP}.pid") for _ in range(10)])
    eventually(lambda: len(children(running)) == 4)
    stop(running)
