"""What the supervisor concludes from a child's numbers: how much it gets, and who is to blame."""

import socket
import time
from collections.abc import Iterator

import pytest

from pgqueue.worker.children import (
    HARD_AFTER,
    ChildProcess,
    Setbacks,
    in_words,
    shared_memory,
)
from pgqueue.worker.frames import Answer, Slots


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
    child.killed = "job 1 went on"
    child.slots.set_started(2)
    child.slots.enter(0, 1, now - 60, now - HARD_AFTER - 1, 5.0)
    child.slots.enter(1, 2, now - 60, now + 60, 5.0)
    assert fates(child) == {1: "overdue", 2: "interrupted", 3: "unstarted"}


def test_why_a_child_must_be_killed(child: ChildProcess) -> None:
    now = time.monotonic()
    hold(child, 1, 2, 3)
    child.slots.set_started(2)
    child.slots.enter(0, 1, now - 60, now - HARD_AFTER + 1, 5.0)
    child.slots.enter(1, 2, now - 60, 0.0, -1.0)
    child.cancels[3] = now - 1
    assert child.overstayed(now) is None, "what does not run needs no killing"
    assert child.overstayed(now + 2) == "job 1 went on 6 s after its limit"
    child.slots.leave(0)
    child.cancels[2] = now - 1
    assert child.overstayed(now) == "job 2 went on after it was cancelled"
    child.killed = "that"
    assert fates(child) == {1: "interrupted", 2: "cancelled", 3: "unstarted"}


def test_a_child_that_closed_its_socket_has_crashed(child: ChildProcess) -> None:
    hold(child, 1)
    child.slots.set_started(1)
    child.slots.enter(0, 1, time.monotonic(), 0.0, -1.0)
    child.killed, child.cut_off = "it closed its connection", True
    assert fates(child) == {1: "crashed"}


def test_a_child_gets_no_more_jobs_than_it_may(child: ChildProcess) -> None:
    child.most, child.mean_us = 10, 1000.0
    assert child.room(500) == 10
    child.give(1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert child.is_used_up
    back = Answer(batch_no=1, ids=[9, 10], started=0, busy_us=0, document=b"")
    child.take(back)
    assert not child.is_used_up, "what it gives back does not count"
    child.take(Answer(batch_no=1, ids=[*range(1, 9)], started=8, busy_us=8000, document=b""))
    assert child.room(500) == 2
    child.retiring = True
    assert child.room(500) == 0


def test_slots_that_are_busy_elsewhere_stay_free(child: ChildProcess) -> None:
    child.mean_us = 1000.0
    child.lent = 1
    assert child.room(500) == 1, "and nothing is given ahead"
    child.lent = 2
    assert child.room(500) == 0


def test_setbacks_are_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    setbacks = Setbacks()
    assert not setbacks.end()
    waits = []
    for number in range(6):
        assert setbacks.add() == (number == 0)
        waits.append(setbacks.wait)
        now[0] += setbacks.wait
    assert waits == [1, 2, 4, 8, 10, 10]
    assert setbacks.wait == 0
    assert setbacks.end()
    assert not setbacks.end()
    assert not setbacks.add(), "not so soon again"
    assert not setbacks.end(), "nor that it is over"
    now[0] += 60
    assert setbacks.add()


def test_how_a_process_ended_in_words() -> None:
    assert in_words(7 << 8) == "exited with code 7"
    assert in_words(0) == "exited with code 0"
    assert in_words(9) == "killed by SIGKILL (possibly out of memory)"
    assert in_words(11 | 0x80) == "killed by SIGSEGV"
    assert in_words(63) == "killed by signal 63"
