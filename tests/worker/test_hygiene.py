"""What one job leaves behind in its process, and what the next one finds."""

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.support import is_running
from tests.helpers import ROOT, eventually
from tests.worker.child_host import Host, line
from tests.worker.hostile_tasks import CHANGES, SEEN_AT_ONCE

APP = "tests.worker.hostile_tasks"

NAMES = {
    "directory": "the working directory",
    "deleted directory": "the working directory",
    "variable": "the environment",
    "variable gone": "the environment",
    "environment": "the environment",
    "path": "sys.path",
    "path anew": "sys.path",
    "umask": "the umask",
    "recursion": "the recursion limit",
    "stdout": "stdout",
    "stderr closed": "stderr",
    "stdout closed": "stdout",
    "switch": "the switch interval of threads",
    "sockets": "the default timeout of sockets",
    "garbage": "garbage collection",
    "locale": "the locale",
    "alarm": "an alarm",
    "handler": "signal handlers",
    "ignored": "signal handlers",
    "wakeup": "the wakeup descriptor of signals",
}


def job(number: int, task: str, *args: object) -> str:
    return line(number, f"{APP}.{task}", *args)


def test_every_change_is_tested() -> None:
    assert NAMES.keys() == CHANGES.keys()
    assert CHANGES.keys() >= SEEN_AT_ONCE


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_changed_is_as_before_for_the_next_job(what: str) -> None:
    with Host(app=APP, env={"LC_ALL": "C.UTF-8"}) as child:
        child.send(job(1, "describe_process"))
        (before,) = child.wait(1)
        # In one batch, so that they follow each other at once.
        child.send(job(2, "change", what), job(3, "describe_process"), job(4, "change", what))
        second, third, fourth = child.wait(2, 3, 4)
        assert (second["state"], fourth["state"]) == ("succeeded", "succeeded")
        assert third["result"] == before["result"]
        told = f"job 2 ({APP}.change) "
        log = child.log()
        assert told in log
        assert NAMES[what] in log.partition(told)[2].splitlines()[0]
        # Once for a task and a kind.
        assert f"job 4 ({APP}.change)" not in log
        assert "arguments" not in log
        assert child.quit() == 0


def test_what_a_job_before_has_set_in_its_context() -> None:
    with Host(app=APP) as child:
        child.send(job(1, "count_context"), job(2, "count_context"))
        assert [found["result"] for found in child.wait(1, 2)] == [1, 1]


def test_while_another_slot_runs_a_job_nothing_is_set_back(tmp_path: Path) -> None:
    first, second, third = (str(tmp_path / name) for name in "abc")
    with Host(threads=2, app=APP) as child:
        child.send(job(1, "change_beside", first, second), job(2, "hold", third, second))
        eventually(lambda: (tmp_path / "a").exists() and (tmp_path / "c").exists())
        Path(second).touch()
        assert child.wait(1, 2)[0]["result"] == "/"
        child.send(job(3, "change_beside", first, second))
        child.wait(3)
        child.send(job(4, "directory"))
        assert child.wait(4)[0]["result"] == str(ROOT)
        assert "left the working directory changed" in child.log()


def assert_gone(pid: int) -> None:
    eventually(lambda: not is_running(pid))


@pytest.mark.parametrize("task", ["fork_and_return", "afork_and_return"])
def test_a_copy_that_returns_ends(task: str) -> None:
    with Host(app=APP) as child:
        for number in range(1, 6):
            child.send(job(number, task))
            (found,) = child.wait(number)
            copy = found["result"]
            assert copy > 0, "the copy has not answered"
            assert_gone(copy)
        child.send(job(10, "fork_and_raise"), job(11, "pid"))
        first, second = child.wait(10, 11)
        assert first["message"] == "from the child"
        assert second["result"] == child.pid
        assert child.quit() == 0


def test_what_is_no_error_is_an_outcome() -> None:
    with Host(app=f"{APP},tests.acceptance.tasks") as child:
        child.send(
            job(1, "raise_generator_exit"),
            line(2, "leave"),
            line(3, "interrupt"),
            line(4, "aleave"),
            job(5, "pid"),
        )
        *failed, last = child.wait(1, 2, 3, 4, 5)
        kinds = ["GeneratorExit", "SystemExit", "KeyboardInterrupt", "SystemExit"]
        assert [(found["state"], found["kind"]) for found in failed] == [
            ("failed", kind) for kind in kinds
        ]
        assert last["result"] == child.pid


def test_closed_descriptors_are_a_crash() -> None:
    with Host(app=APP) as child:
        child.send(job(1, "pid"), job(2, "close_descriptors"))
        eventually(lambda: not is_running(child.pid))
        # Its slot is still taken, so the supervisor knows whom to blame.
        assert [slot.job_id for slot in child.slots.read()] == [2]
    assert child.exit_code == 71


def test_threads_that_stay_are_counted(tmp_path: Path) -> None:
    release = str(tmp_path / "release")
    with Host(app=APP) as child:
        child.send(*(job(number, "use_executor") for number in range(1, 6)))
        child.wait(*range(1, 6))
        child.send(*(job(number, "leave_threads", 2, release) for number in range(6, 9)))
        child.wait(6, 7, 8)
        assert f"job 6 ({APP}.leave_threads) left 2 threads running" in child.log()
        assert child.log().count("threads running") == 1
        assert child.worn == 0
        child.send(job(10, "leave_threads", 40, release), job(11, "leave_threads", 1, release))
        child.wait(10, 11)
        assert child.worn == 1
        assert "wants to be replaced: tasks left 46 threads" in child.log()
        # They keep it from nothing: the zygote's children end by os._exit.
        Path(release).touch()
        assert child.quit() == 0


def test_threads_that_end_are_forgotten(tmp_path: Path) -> None:
    with Host(app=APP) as child:

        def threads() -> int:
            return len(os.listdir(f"/proc/{child.pid}/task"))

        child.send(job(10, "pid"))
        child.wait(10)
        before = threads()
        for number in range(1, 8):
            release = tmp_path / f"release-{number}"
            child.send(job(number, "leave_threads", 30, str(release)))
            child.wait(number)
            release.touch()
            eventually(lambda: threads() == before)
        assert child.worn == 0


def test_a_signal_that_nobody_sends_here_is_survived() -> None:
    """The test's own process has no handler for these, unlike the zygote's children."""
    with Host(app=APP) as child:
        child.send(job(1, "pid"))
        child.wait(1)
        os.kill(child.pid, signal.SIGURG)
        child.send(job(2, "pid"))
        assert child.wait(2)[0]["result"] == child.pid
