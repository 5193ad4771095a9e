"""What a job leaves behind in a real worker: the next job does not find it, and the log says it."""

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.support import Jobs, children, descendants, is_running, stop
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

APP = "tests.worker.hostile_tasks"


def add(jobs: Jobs, task: str, *args: object, **columns: object) -> int:
    return jobs.add(f"{APP}.{task}", *args, **columns)


@pytest.mark.parametrize("how", ["open", "aborted", "failing", "nested", "copying"])
def test_a_transaction_left_open_is_rolled_back(how: str, jobs: Jobs, worker: StartWorker) -> None:
    jobs.make_notes()
    running = worker("--processes", "1", app=APP)
    left = add(jobs, "leave_transaction", how)
    jobs.wait(left, "failed" if how == "failing" else "succeeded")
    assert (
        jobs.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'"
        )
        == 0
    )
    used = add(jobs, "use_connection")
    assert jobs.wait(used)["result"] == 0, "idle, as a connection should be"
    assert jobs.notes() == ["well"]
    sentence = "left a transaction open; it was rolled back"
    assert f"job {left} ({APP}.leave_transaction) {sentence}" in running.log()
    assert running.log().count(sentence) == 1
    stop(running)


def test_a_copy_of_the_process_answers_nothing(jobs: Jobs, worker: StartWorker) -> None:
    ids = [add(jobs, task) for task in ["fork_and_return", "afork_and_return"] * 3]
    running = worker("--processes", "1", app=APP)
    jobs.wait_all(ids)
    copies = [jobs.look(job)["result"] for job in ids]
    assert all(copies), "it is the process itself that has answered, to which fork gives a number"
    eventually(lambda: not any(map(is_running, copies)))
    assert {jobs.look(job)["attempt"] for job in ids} == {1}
    assert len(children(running)) == 1 + len(copies), "the copies, which nobody waits for"
    assert stop(running)["jobs"] == len(ids)


def test_closed_descriptors_cost_a_crash(jobs: Jobs, worker: StartWorker) -> None:
    deadly, once = add(jobs, "close_descriptors"), add(jobs, "close_descriptors_once")
    running = worker("--processes", "1", app=APP)
    assert jobs.wait(once)["result"] == 2
    found = jobs.wait(deadly, "failed", 30)
    assert found["error"] == "crash_loop: the process that ran it ended: exited with code 71"
    assert found["crashes"] == 3
    jobs.wait(add(jobs, "pid"))
    stop(running)


def test_a_process_with_many_threads_is_replaced(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", app=APP)
    (before,) = children(running)
    job = add(jobs, "grow_threads", 40)
    assert jobs.wait(job)["result"] == before
    eventually(lambda: not is_running(before))
    after = jobs.wait(add(jobs, "pid"))
    assert after["result"] != before
    assert after["attempt"] == 1
    assert "wants to be replaced: tasks left 40 threads" in running.log()
    stop(running)


def test_leftovers_are_told_with_job_and_task(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--threads", "2", app=APP)
    first = add(jobs, "change", "directory")
    jobs.wait(first)
    second = add(jobs, "change", "variable")
    jobs.wait(second)
    jobs.wait_all([add(jobs, "change", "directory") for _ in range(5)])
    log = running.log()
    assert f"job {first} ({APP}.change) left the working directory changed" in log
    assert f"job {second} ({APP}.change) left the environment changed" in log
    assert log.count("left the working directory changed") == 1
    stop(running)


def test_signals_that_are_not_meant_for_a_child(
    jobs: Jobs, worker: StartWorker, tmp_path: Path
) -> None:
    begun, release = tmp_path / "begun", tmp_path / "release"
    job = add(jobs, "hold", str(begun), str(release))
    running = worker("--processes", "1", app=APP)
    eventually(begun.exists)
    below = descendants(running.pid)
    for number in (
        signal.SIGHUP, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU,
        signal.SIGTERM, signal.SIGINT,
    ):  # fmt: skip
        for pid in below:
            os.kill(pid, number)
    # The stacks of both: of the zygote, and of the child in its job. One after the other, since
    # each is written word for word.
    assert len(below) == 2
    for count, pid in enumerate(reversed(below), 1):
        os.kill(pid, signal.SIGUSR1)
        eventually(lambda count=count: running.log().count("Current thread 0x") == count)
        eventually(lambda: " in hold" in running.log())
    program = add(jobs, "start_program")
    release.touch()
    assert jobs.wait(job)["attempt"] == 1
    # Not one of them is ignored by a program that a task starts.
    ignored = int(jobs.wait(program)["result"], 16)
    named = [n for n in signal.Signals if ignored & 1 << (n - 1) and n not in INHERITED]
    assert named == []
    assert [pid for pid in below if not is_running(pid)] == []
    stop(running)


#: What this very process ignores, a worker inherits it; tests may run under nohup.
INHERITED = {number for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN}
