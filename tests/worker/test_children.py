"""What the supervisor concludes from a child's numbers: how much it gets, and who is to blame."""

import socket
import time
from collections.abc import Iterator

import pytest

from pgqueue.worker.children import HARD_AFTER, ChildProcess, in_words, shared_memory
from pgqueue.worker.frames import Slots


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    """A child with two slots that is ready."""
    ours, theirs = socket.socketpair()
    with ours, theirs, open(shared_memory(Slots.size(2)), "rb+") as memory:
        found = ChildProcess(connection=ours, slots=Slots(memory.fileno(), 2), ready=True)
        yield found
        found.slots.close()


def hold(child: ChildProcess, *ids: int, batch_no: int = 1) -> None:
    child.held.update(dict.fromkeys(ids, batch_no))


def test_a_new_child_gets_one_job_a_slot(child: ChildProcess) -> None:
    assert child.room(500) == 2
    hold(child, 1)
    assert child.room(500) == 1
    hold(child, 2)
    assert child.room(500) == 0


def test_short_jobs_are_given_ahead(child: ChildProcess) -> None:
    child.mean_us = 1000.0
    assert child.room(500) == 50
    hold(child, *range(30))
    assert child.room(500) == 0, "refilled when half empty"
    child.held.clear()
    hold(child, *range(25))
    assert child.room(500) == 25
    child.mean_us = 0.0
    assert child.room(500) == 500, "never more than a batch at once"


def test_long_jobs_are_not(child: ChildProcess) -> None:
    child.mean_us = 5_000_000.0
    assert child.room(500) == 2


def test_who_gets_nothing(child: ChildProcess) -> None:
    for flag in ("quitting", "asked_back"):
        setattr(child, flag, True)
        assert child.room(500) == 0
        setattr(child, flag, False)
    child.ready = False
    assert child.room(500) == 0


def fates(child: ChildProcess) -> dict[int, str]:
    return {casualty.job_id: casualty.fate for casualty in child.casualties()}


def test_what_ran_has_crashed_and_what_had_begun_is_not_to_blame(child: ChildProcess) -> None:
    hold(child, 1, 2, 3)
    hold(child, 4, 5, batch_no=2)
    child.answered = 10
    child.slots.set_started(13)
    child.slots.enter(0, 2, time.monotonic(), 0.0, -1.0)
    child.slots.enter(1, 3, time.monotonic(), 0.0, -1.0)
    assert fates(child) == {
        1: "interrupted", 2: "crashed", 3: "crashed", 4: "unstarted", 5: "unstarted",
    }  # fmt: skip
    assert [casualty.batch_no for casualty in child.casualties()] == [1, 1, 1, 2, 2]


def test_whom_we_killed_for(child: ChildProcess) -> None:
    now = time.monotonic()
    hold(child, 1, 2, 3)
    child.killed = True
    child.slots.set_started(2)
    child.slots.enter(0, 1, now - 60, now - HARD_AFTER - 1, 5.0)
    child.slots.enter(1, 2, now - 60, now + 60, 5.0)
    assert fates(child) == {1: "overdue", 2: "interrupted", 3: "unstarted"}


def test_how_a_process_ended_in_words() -> None:
    assert in_words(7 << 8) == "exited with code 7"
    assert in_words(0) == "exited with code 0"
    assert in_words(9) == "killed by SIGKILL (possibly out of memory)"
    assert in_words(11 | 0x80) == "killed by SIGSEGV"
    assert in_words(63) == "killed by signal 63"
