"""Outcomes on their way: kept until the server has them, cut down where it wants some again."""

import json
import time
from typing import Any

import pytest

from pgqueue.worker.children import Casualty
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.frames import Answer, SlotState
from pgqueue.worker.stats import Stats
from tests.helpers import eventually


def answer(batch_no: int, *ids: int, rest: int = 0, size: int = 0) -> Answer:
    """Make an answer as children do; the last `rest` of its jobs failed."""
    ok = ids[: len(ids) - rest]
    document: dict[str, Any] = {
        "batch": batch_no,
        "ok": "{" + ",".join(map(str, ok)) + "}",
        "us": "{" + ",".join("7" for _ in ok) + "}",
        "rest": [{"id": job, "us": 7, "state": "failed", "kind": "E"} for job in ids[len(ok) :]],
    }
    if size:
        document["padding"] = "x" * size
    return Answer(
        batch_no=batch_no,
        ids=list(ids),
        started=len(ids),
        busy_us=7,
        document=json.dumps(document).encode(),
    )


def opened(found: Answer) -> dict[str, Any]:
    return dict(json.loads(found.document))


@pytest.fixture
def stats() -> Stats:
    return Stats()


@pytest.fixture
def finisher(stats: Stats) -> Finisher:
    return Finisher(stats)


def test_answers_are_taken_in_order_and_kept_until_stored(finisher: Finisher) -> None:
    assert (len(finisher), finisher.next_in) == (0, None)
    first, second = answer(1, 10, 11), answer(2, 20)
    finisher.add(first)
    finisher.add(second)
    assert (len(finisher), finisher.next_in) == (2, 0.0)
    assert finisher.holds() == {10: 1, 11: 1, 20: 2}
    taken = finisher.take()
    assert taken == [first, second]
    assert finisher.holds() == {}
    finisher.add(answer(3, 30))
    finisher.put_back(taken)
    assert [one.batch_no for one in finisher.take()] == [1, 2, 3]


def test_a_call_is_bounded(finisher: Finisher) -> None:
    for number in range(1, 6):
        finisher.add(answer(number, number, size=3 << 20))
    assert [one.batch_no for one in finisher.take()] == [1, 2, 3]
    assert [one.batch_no for one in finisher.take()] == [4, 5]
    finisher.add(answer(9, 9, size=50 << 20))
    assert len(finisher.take()) == 1, "one at least, however large"


def test_what_was_stored_is_counted(finisher: Finisher, stats: Stats) -> None:
    sent = [answer(1, 10, 11, 12, rest=1), answer(2, 20)]
    finisher.stored(sent, [], [], resent=False)
    assert (stats.jobs, stats.lost_leases, len(finisher)) == (4, 0, 0)


def test_a_lost_lease_is_counted_unless_the_reply_was_lost(
    finisher: Finisher, stats: Stats
) -> None:
    finisher.stored([answer(1, 10, 11)], [11], [], resent=True)
    assert stats.lost_leases == 0
    finisher.stored([answer(1, 10, 11)], [11], [], resent=False)
    assert stats.lost_leases == 1


def test_locked_rows_are_sent_again_a_moment_later(finisher: Finisher, stats: Stats) -> None:
    sent = [answer(1, 10, 11, 12, 13, rest=2), answer(2, 20)]
    finisher.stored(sent, [], [11, 13], resent=False)
    assert stats.jobs == 3
    assert len(finisher) == 1
    assert finisher.holds() == {11: 1, 13: 1}
    wait = finisher.next_in
    assert wait is not None
    assert 0 <= wait < 1
    begun = time.monotonic()
    (again,) = eventually(finisher.take)
    assert time.monotonic() >= begun + wait / 2
    assert (again.batch_no, again.ids, again.started) == (1, [11, 13], 2)
    assert opened(again) == {
        "batch": 1,
        "ok": "{11}",
        "us": "{7}",
        "rest": [{"id": 13, "us": 7, "state": "failed", "kind": "E"}],
    }
    finisher.stored([again], [], [], resent=False)
    assert (stats.jobs, len(finisher)) == (5, 0)


def test_a_new_answer_does_not_wait_for_locked_rows(finisher: Finisher) -> None:
    finisher.stored([answer(1, 10)], [], [10], resent=False)
    finisher.add(answer(2, 20))
    assert finisher.next_in == 0.0
    assert 20 in [job for one in finisher.take() for job in one.ids]


def test_jobs_are_given_back(finisher: Finisher) -> None:
    finisher.give_back({4: [40, 41], 5: [50]})
    first, second = finisher.take()
    assert (first.batch_no, first.ids, first.started) == (4, [40, 41], 0)
    assert opened(first)["rest"] == [
        {"id": 40, "state": "unstarted"},
        {"id": 41, "state": "unstarted"},
    ]
    assert opened(second)["batch"] == 5


def test_everything_is_dropped_with_the_worker(finisher: Finisher) -> None:
    finisher.stored([answer(1, 10)], [], [10], resent=False)
    finisher.add(answer(2, 20))
    finisher.clear()
    assert (len(finisher), finisher.next_in, finisher.holds(), finisher.take()) == (0, None, {}, [])


def test_what_a_dead_child_held(finisher: Finisher) -> None:
    now = time.monotonic()
    limited = SlotState(job_id=3, started=now - 7, deadline=now - 5, retry_in=2.5)
    spent = SlotState(job_id=4, started=now - 7, deadline=now - 5, retry_in=-1.0)
    plain = SlotState(job_id=1, started=now, deadline=0.0, retry_in=-1.0)
    finisher.add_casualties(
        [
            Casualty(batch_no=1, job_id=1, fate="crashed", slot=plain),
            Casualty(batch_no=1, job_id=2, fate="interrupted", slot=None),
            Casualty(batch_no=2, job_id=3, fate="overdue", slot=limited),
            Casualty(batch_no=2, job_id=4, fate="overdue", slot=spent),
            Casualty(batch_no=2, job_id=5, fate="unstarted", slot=None),
        ],
        "exited with code 7",
    )
    first, second = (opened(one) for one in finisher.take())
    assert first == {
        "batch": 1,
        "rest": [
            {
                "id": 1,
                "state": "crashed",
                "kind": "crashed",
                "message": "the process that ran it ended: exited with code 7",
            },
            {"id": 2, "state": "interrupted"},
        ],
    }
    retried, failed, unstarted = second["rest"]
    told = "the limit of 2 seconds was passed; the process was killed"
    assert (retried["state"], retried["delay"], retried["message"]) == ("retry", 2.5, told)
    assert retried["us"] >= 7_000_000
    assert (failed["state"], failed["kind"], failed["message"]) == (
        "failed",
        "pgqueue.JobTimeout",
        told,
    )
    assert unstarted == {"id": 5, "state": "unstarted"}
