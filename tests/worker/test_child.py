"""A child process that is spoken to in frames, as the supervisor does."""

import time

import pytest

from pgqueue.worker.frames import SlotState
from tests.helpers import eventually
from tests.worker.child_host import Host, line

Outcome = dict[str, object]

OK: Outcome = {"state": "succeeded"}


def options(timeout: object = None, meta: object = None) -> dict[str, object]:
    return {"timeout": timeout, "max_attempts": None, "meta": meta}


def test_a_batch_is_answered() -> None:
    with Host() as child:
        child.send(line(1, "noop"), line(2, "echo", [7]), line(3, "nobody"), line(4, "fail"))
        first, second, third, fourth = child.wait(1, 2, 3, 4)
        assert first == OK
        assert (second["state"], second["result"]) == ("succeeded", [7])
        assert third == {"id": 3, "state": "unknown_task"}
        assert (fourth["state"], fourth["kind"]) == ("failed", "ValueError")
        assert child.slots.started == 4
        assert child.slots.read() == []
        assert child.quit() == 0


def test_answers_come_in_pieces_not_one_by_one() -> None:
    with Host() as child:
        ids = range(1, 2001)
        child.send(*(line(job, "noop") for job in ids))
        assert child.wait(*ids) == [OK] * 2000
        assert child.answers < 200


@pytest.mark.parametrize("threads", [2, 4])
def test_no_outcome_waits_for_a_neighbour(threads: int) -> None:
    """A slot that has just ended a job, while another took the last one, still tells of it."""
    with Host(threads=threads) as child:
        for begin in range(1, 400, 4):
            short, long = range(begin, begin + 3), begin + 3
            child.send(*(line(job, "noop") for job in short), line(long, "until_cancelled"))
            child.wait(*short)
            child.cancel(long)
            child.wait(long)


def test_unstarted_jobs_are_given_back() -> None:
    with Host() as child:
        child.send(line(1, "until_cancelled"), line(2, "noop"), line(3, "noop"))
        eventually(lambda: [slot.job_id for slot in child.slots.read()] == [1])
        child.ask_back()
        assert child.wait(2, 3) == [{"id": job, "state": "unstarted"} for job in (2, 3)]
        assert 1 not in child.outcomes
        child.ask_back()
        child.cancel(1)
        (first,) = child.wait(1)
        assert (first["state"], first["reason"]) == ("cancelled", None)


def test_quit_lets_every_slot_end_its_job() -> None:
    with Host(threads=3) as child:
        child.send(line(1, "noop"), line(2, "until_cancelled"), line(3, "until_cancelled"))
        child.wait(1)
        eventually(lambda: len(child.slots.read()) == 2)
        child.send(line(4, "until_cancelled"), line(5, "noop"))
        eventually(lambda: len(child.slots.read()) == 3)
        child.ask_back()
        child.cancel(4)
        child.wait(4)
        child.cancel(2, 3)
        assert child.quit() == 0
        assert {child.outcomes[job]["state"] for job in (2, 3)} == {"cancelled"}


def test_a_late_wish_is_not_meant_for_the_next_attempt() -> None:
    with Host() as child:
        child.send(line(1, "noop"))
        child.wait(1)
        child.cancel(1)
        del child.outcomes[1]
        child.send(line(1, "tell_context"))
        (found,) = child.wait(1)
        assert found["result"]["cancelled"] is False


def test_the_slots_tell_what_runs_and_until_when() -> None:
    with Host(threads=2) as child:
        child.send(
            line(1, "until_cancelled"),
            line(2, "until_cancelled", options=options(50.0)),
        )
        eventually(lambda: len(child.slots.read()) == 2)
        first, second = sorted(child.slots.read(), key=lambda slot: slot.job_id)
        assert first == SlotState(1, first.started, 0.0, -1.0)
        assert second == SlotState(2, second.started, second.started + 50.0, -1.0)
        assert second.started <= time.monotonic()
        child.cancel(1, 2)
        child.wait(1, 2)


def test_deadlines() -> None:
    with Host(threads=8) as child:
        tasks = ["spin", "aspin", "aspin_inside", "aspin_anew", "spin_tidily", "aecho"]
        child.send(*(line(job, task) for job, task in enumerate(tasks, 1)))
        *late, tidy, other = child.wait(*range(1, 7))
        for found in late:
            assert (found["state"], found["kind"]) == ("failed", "pgqueue.JobTimeout")
            assert found["message"].startswith("the limit of 1 seconds was passed")
        assert tidy["result"] == "stopped by JobTimeout"
        assert other == OK
        child.send(*(line(job, "aecho", job) for job in range(10, 30)))
        assert [found["result"] for found in child.wait(*range(10, 30))] == list(range(10, 30))


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 1e-3, 30 * 86_400, 5e15])
def test_any_limit(timeout: float) -> None:
    with Host(threads=2) as child:
        for begin in range(1, 200, 10):
            ids = range(begin, begin + 10)
            child.send(*(line(job, "noop", options=options(timeout)) for job in ids))
            found = child.wait(*ids)
            assert {one["state"] for one in found} <= {"succeeded", "failed"}
        child.send(line(1000, "echo", 1), line(1001, "aecho", 2, options=options(timeout)))
        assert child.wait(1000, 1001)[0]["result"] == 1


def test_a_limit_hits_no_other_job() -> None:
    """An exception that comes when its job has just ended must not reach the next one."""
    with Host() as child:
        for begin in range(1, 1000, 10):
            limited, free = range(begin, begin + 5), range(begin + 5, begin + 10)
            child.send(
                *(line(job, "nap", options=options(0.002)) for job in limited),
                *(line(job, "noop") for job in free),
            )
            child.wait(*limited)
            assert child.wait(*free) == [OK] * 5


def test_async_jobs_that_would_end_the_loop() -> None:
    with Host(threads=2) as child:
        tasks = ["aleave", "aleave_inside", "cancel_itself"]
        for begin in (1, 11, 21):
            child.send(*(line(begin + n, task) for n, task in enumerate(tasks)))
            child.send(line(begin + 5, "aecho", 5))
            first, second, third, fourth = child.wait(begin, begin + 1, begin + 2, begin + 5)
            assert (first["kind"], first["message"]) == ("SystemExit", "3")
            assert (second["kind"], second["message"]) == ("SystemExit", "4")
            assert third["kind"].endswith("CancelledError")
            assert fourth["result"] == 5


def test_odd_options() -> None:
    with Host() as child:
        child.send(
            line(1, "succeed_broken_backoff"),
            line(2, "fail_broken_backoff", options=options(60.0)),
            line(3, "tell_context", options=options(meta={"$t": "set", "v": [1]})),
            line(4, "noop", options=options("Infinity")),
        )
        first, second, third, fourth = child.wait(1, 2, 3, 4)
        assert first["result"] == "well"
        assert second["message"] == "no backoff today"
        assert third["result"]["meta"] == {}
        assert fourth == OK


def test_a_broken_line_is_answered() -> None:
    deep = "[" * 3000 + "]" * 3000
    with Host() as child:
        child.send(line(1, "noop"), f'[2,1,0,"x",{deep},{{}},"q",0,null]', line(3, "noop"))
        first, second, third = child.wait(1, 2, 3)
        assert (first, third) == (OK, OK)
        assert (second["state"], second["kind"]) == ("failed", "BadArguments")


def test_a_child_ends_with_its_supervisor() -> None:
    with Host() as child:
        child.send(line(1, "spin", options=options(3600.0)))
        eventually(lambda: len(child.slots.read()) == 1)
    assert child.exit_code == 0
