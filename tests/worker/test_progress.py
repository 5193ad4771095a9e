"""The watchdog: jobs are ready, the worker is idle, and nothing is taken."""

import logging

import pytest

from pgqueue.worker.progress import Progress


class Idle:
    """A worker that could take jobs and does not."""

    def __init__(self) -> None:
        self.taken, self.idle, self.now, self.reconnects = 0, True, 0.0, 0
        self.progress = Progress(
            taken=lambda: self.taken,
            idle=lambda: self.idle,
            reconnect=self.reconnect,
            clock=lambda: self.now,
        )

    def reconnect(self) -> None:
        self.reconnects += 1

    def beat(self, seconds: int, waiting: bool = True) -> None:
        for _ in range(seconds // 2):
            self.now += 2
            self.progress.beaten(waiting)


def test_it_connects_anew_after_half_a_minute_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Idle()
    with caplog.at_level(logging.WARNING):
        one.beat(30)
        assert one.reconnects == 0
        one.beat(4)
        assert one.reconnects == 1
        one.beat(70)
    assert one.reconnects == 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("how", ["takes", "is busy", "nothing waits"])
def test_a_worker_that_does_its_work_is_left_alone(how: str) -> None:
    one = Idle()
    one.idle = how != "is busy"
    for _ in range(10):
        one.beat(20, waiting=how != "nothing waits")
        one.taken += how == "takes"
    assert one.reconnects == 0
