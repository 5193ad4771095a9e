"""Until when a worker's jobs are its own: a clock that only moves when told to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.worker.lease import Lease, clock

#: As in sql/*/74_rescue.sql: where the lock is free, from the last sign of life on.
RESCUED_BY_LOCK = 8.0
#: How long whoever rescues by the lock must have been connected, hence the server have been up.
CONNECTED_FOR = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [(30, 27), (100, 90), (6, 4), (15, 13), (5.9, 3.54), (3, 1.8), (1, 0.6)],
)
def test_it_is_over_before_others_think_so(seconds: float, limit: float, time: Clock) -> None:
    lease = Lease(seconds, clock=time)
    time.now += limit - 0.01
    assert not lease.is_over()
    time.now += 0.02
    assert lease.is_over()
    lease.renewed(time.now - limit / 2)
    assert not lease.is_over()
    assert lease.silence == pytest.approx(limit / 2)
    time.now += limit / 2 + 0.001
    assert lease.is_over(), "it counts from when the sign of life was sent"


def test_an_old_sign_of_life_changes_nothing(time: Clock) -> None:
    lease = Lease(30, clock=time)
    lease.renewed(time.now)
    lease.renewed(time.now - 20)
    assert lease.silence == 0


def test_with_the_lock_it_is_over_sooner(time: Clock) -> None:
    lease = Lease(30, clock=time)
    lease.has_lock = True
    time.now += 6.9
    assert not lease.is_over()
    time.now += 0.2
    assert lease.is_over()


def test_a_server_that_is_down_takes_nothing_away(time: Clock) -> None:
    lease = Lease(30, clock=time)
    lease.has_lock = True
    for _ in range(8):
        time.now += 2
        lease.server_down(time.now)
        assert not lease.is_over()
    time.now += 6.9
    assert not lease.is_over()
    time.now += 0.2
    assert lease.is_over(), "it may have been up since, and somebody else connected"
    lease.server_down(time.now)
    time.now += 4
    assert lease.is_over(), "the lease itself is over, whatever the server does"


def test_rare_signs_of_life_want_no_lock() -> None:
    assert Lease(30, heartbeat=2).wants_lock
    assert not Lease(30, heartbeat=8).wants_lock


def test_the_clock_goes_on() -> None:
    before = clock()
    assert clock() >= before


@given(
    seconds=st.floats(0.2, 300),
    beats=st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 5)), max_size=20),
    silence=st.floats(0, 400),
    has_lock=st.booleans(),
)
def test_nothing_runs_here_that_others_may_have(
    seconds: float, beats: list[tuple[float, float]], silence: float, has_lock: bool
) -> None:
    """Whenever rescue() might take this worker's jobs, the lease was over some time before."""
    time = Clock()
    lease = Lease(seconds, clock=time)
    lease.has_lock = has_lock
    taken = time.now
    for pause, delay in beats:
        time.now += pause
        sent = time.now
        # The server takes it at some moment between this and the reply.
        taken = sent + delay / 2
        time.now += delay
        lease.renewed(sent)
    time.now += silence
    margin = min(1.0, 0.1 * seconds)
    age = time.now + margin - taken
    if age >= seconds or (has_lock and age >= RESCUED_BY_LOCK):
        assert lease.is_over()


@given(
    outage=st.floats(0, 60),
    tries=st.floats(0.05, 2.0),
    until=st.floats(0, 100),
    seconds=st.floats(6, 300),
)
def test_nobody_rescues_soon_after_the_server_is_up_again(
    outage: float, tries: float, until: float, seconds: float
) -> None:
    """A worker that sees the server refuse it holds on; others need a session of ten seconds."""
    time = Clock()
    lease = Lease(seconds, clock=time)
    lease.has_lock = True
    beaten, up = time.now, time.now + outage
    end = up + until
    while time.now + tries < end:
        time.now += tries
        if time.now < up:
            lease.server_down(time.now)
    age = time.now - beaten
    rescued = age >= seconds or (age >= RESCUED_BY_LOCK and time.now - up >= CONNECTED_FOR)
    if rescued:
        assert lease.is_over()
