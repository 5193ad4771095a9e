"""Jobs that are asked to stop: in the inbox, about to begin, running, about to end."""

from pathlib import Path

import pytest

from tests.helpers import eventually
from tests.worker.child_host import Host, line

APP = "tests.worker.hostile_tasks"


def job(number: int, task: str, *args: object) -> str:
    return line(number, f"{APP}.{task}", *map(str, args))


def started(*paths: Path) -> None:
    eventually(lambda: all(path.exists() for path in paths))


def test_a_coroutine_is_cancelled(tmp_path: Path) -> None:
    with Host(app=APP) as child:
        child.send(job(1, "wait_begun", tmp_path / "1"), job(2, "pid"))
        started(tmp_path / "1")
        child.cancel(1)
        first, second = child.wait(1, 2)
        assert (first["state"], first["reason"]) == ("cancelled", None)
        assert second["result"] == child.pid


def test_of_several_coroutines_the_right_one_is_cancelled(tmp_path: Path) -> None:
    paths = {number: tmp_path / str(number) for number in range(1, 9)}
    with Host(threads=8, app=APP) as child:
        child.send(*(job(number, "wait_begun", path) for number, path in paths.items()))
        started(*paths.values())
        for asked in ([3], [1, 8], [2, 4, 5, 6, 7]):
            child.cancel(*asked)
            assert {found["state"] for found in child.wait(*asked)} == {"cancelled"}
            assert len(child.slots.read()) == 8 - len(child.outcomes)


def test_asking_again_does_not_disturb_the_end(tmp_path: Path) -> None:
    """The supervisor repeats a request with each heartbeat while the job runs."""
    path, release = tmp_path / "1", tmp_path / "release"
    with Host(app=APP) as child:
        child.send(job(1, "clean_up", path, release))
        started(path)
        for _ in range(3):
            child.cancel(1)
            started(tmp_path / "1.cleaning")
        release.touch()
        assert child.wait(1)[0]["state"] == "cancelled"
        assert (tmp_path / "1.clean").exists()


def test_what_goes_on_and_returns_has_succeeded(tmp_path: Path) -> None:
    path, release = tmp_path / "1", tmp_path / "release"
    with Host(app=APP) as child:
        child.send(job(1, "swallow", path, release))
        started(path)
        child.cancel(1)
        child.send(job(2, "pid"))
        release.touch()
        first, second = child.wait(1, 2)
        assert first["result"] == "went on"
        assert second["state"] == "succeeded"


@pytest.mark.parametrize("what", ["error", "snooze", "retry"])
def test_what_is_raised_after_the_request(what: str, tmp_path: Path) -> None:
    with Host(app=APP) as child:
        child.send(job(1, "raise_when_cancelled", tmp_path / "1", what))
        started(tmp_path / "1")
        child.cancel(1)
        (found,) = child.wait(1)
        assert found["state"] == "cancelled"
        # The error is kept for the history of the job.
        expected = {"error": "ValueError", "snooze": None, "retry": "Retry"}[what]
        assert found.get("kind") == expected


def test_a_function_that_fails_after_the_request(tmp_path: Path) -> None:
    with Host(app=APP) as child:
        child.send(job(1, "fail_when_cancelled", tmp_path / "1"))
        started(tmp_path / "1")
        child.cancel(1)
        (found,) = child.wait(1)
        assert (found["state"], found["kind"]) == ("cancelled", "ValueError")
        assert found["message"] == "while stopping"


def test_a_job_in_the_inbox_goes_back_at_once(tmp_path: Path) -> None:
    """Unstarted, without waiting for a slot; with a request in the database it ends there."""
    begun, release = tmp_path / "1", tmp_path / "release"
    with Host(app=APP) as child:
        child.send(
            job(1, "hold", begun, release),
            *(job(number, "touch", tmp_path / str(number)) for number in (2, 3, 4)),
        )
        started(begun)
        child.cancel(3)
        assert child.wait(3) == [{"id": 3, "state": "unstarted"}]
        assert child.outcomes.keys() == {3}
        release.touch()
        child.wait(1, 2, 4)
        assert child.slots.started == 3
        assert not (tmp_path / "3").exists()
        # In order, and the next attempt of the same job is not meant.
        assert (tmp_path / "2").stat().st_mtime_ns <= (tmp_path / "4").stat().st_mtime_ns
        del child.outcomes[3]
        child.send(job(3, "touch", tmp_path / "3"))
        assert child.wait(3)[0]["state"] == "succeeded"


def test_a_request_before_the_coroutine_begins(tmp_path: Path) -> None:
    """Its slot waits for an event loop that somebody else holds up."""
    blocking, release = tmp_path / "blocking", tmp_path / "release"
    with Host(threads=3, app=APP) as child:
        child.send(job(1, "block_loop", blocking, release))
        started(blocking)
        child.send(job(2, "wait_begun", tmp_path / "2"))
        eventually(lambda: len(child.slots.read()) == 2)
        child.cancel(2)
        # Done after what was sent before it: so the request has arrived.
        child.send(job(3, "touch", tmp_path / "3"))
        child.wait(3)
        release.touch()
        assert child.wait(2)[0]["state"] == "cancelled"
        assert not (tmp_path / "2").exists()
        child.wait(1)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_request_hits_no_other_job(threads: int) -> None:
    """Requests that come while jobs begin and end end those they name, or nobody."""
    with Host(threads=threads, app=APP) as child:
        for begin in range(1, 900, 30):
            ids = range(begin, begin + 30)
            asked = set(ids[::3])
            child.send(*(job(number, "brief", 0.001) for number in ids))
            for number in sorted(asked):
                child.cancel(number)
            child.wait(*ids)
            states = {number: child.outcomes[number]["state"] for number in ids}
            assert {states[number] for number in set(ids) - asked} == {"succeeded"}
            assert {states[number] for number in asked} <= {"succeeded", "cancelled", "unstarted"}
        child.send(*(job(number, "brief", 0) for number in range(1000, 1010)))
        assert {found["state"] for found in child.wait(*range(1000, 1010))} == {"succeeded"}
