"""Jobs whose time is over while they sit somewhere: in system calls, or with a limit of the worker.

What takes no exception for an answer is killed by the supervisor; see tests/acceptance.
"""

from pathlib import Path

import pytest

from tests.helpers import eventually
from tests.worker.child_host import Host, line
from tests.worker.test_child import options

APP = "tests.worker.hostile_tasks"


@pytest.mark.parametrize("task", ["sleep_long", "receive_long", "select_long"])
def test_a_system_call_of_the_main_thread_is_left(task: str) -> None:
    with Host(app=APP) as child:
        for number in range(1, 4):
            # So long that the task has begun by then.
            child.send(line(number, f"{APP}.{task}", options=options(0.5)))
            (found,) = child.wait(number)
            assert (found["state"], found["kind"]) == ("failed", "pgqueue.JobTimeout")
            assert found["message"] == "the limit of 0.5 seconds was passed"
            assert f"in {task}" in found["traceback"]
        child.send(line(10, f"{APP}.pid"))
        assert child.wait(10)[0]["result"] == child.pid


def test_a_limit_of_the_worker() -> None:
    """For jobs whose task and producer say nothing."""
    with Host(app=APP, timeout=0.05) as child:
        endless = {"timeout": "Infinity", "max_attempts": None, "meta": None}
        child.send(
            line(1, f"{APP}.sleep_long"),
            line(2, f"{APP}.sleep_long", options={"timeout": 0.07, "max_attempts": 1, "meta": {}}),
            line(3, f"{APP}.sleep_long", options=options(None)),
        )
        messages = [found["message"] for found in child.wait(1, 2, 3)]
        limits = ("0.05", "0.07", "0.05")
        assert messages == [f"the limit of {limit} seconds was passed" for limit in limits]
        child.send(line(4, f"{APP}.sleep_long", options=endless))
        eventually(lambda: [slot.deadline for slot in child.slots.read()] == [0.0])


def test_limits_of_coroutines_that_hold_each_other_up() -> None:
    with Host(threads=3, app=f"{APP},tests.acceptance.tasks") as child:
        child.send(
            line(1, f"{APP}.brief", "30", options=options(0.05)),
            line(2, f"{APP}.brief", "0.2"),
            line(3, f"{APP}.brief", "30", options=options(0.05)),
        )
        first, second, third = child.wait(1, 2, 3)
        assert (first["kind"], third["kind"]) == ("pgqueue.JobTimeout",) * 2
        assert second["result"] == "ended"


def test_a_cancel_after_the_limit(tmp_path: Path) -> None:
    """Both reach the coroutine; who asked for its end gets it."""
    path, release = tmp_path / "1", tmp_path / "release"
    with Host(app=APP) as child:
        child.send(
            line(1, f"{APP}.clean_up", str(path), str(release), options=options(1.0)),
        )
        eventually((tmp_path / "1.cleaning").exists)
        child.cancel(1)
        # Frames are read in order: once this is done the request has been.
        child.send(line(2, f"{APP}.pid"))
        eventually(lambda: child.slots.started == 1)
        child.ask_back()
        child.wait(2)
        release.touch()
        assert child.wait(1)[0]["state"] == "cancelled"
        assert (tmp_path / "1.clean").exists()
