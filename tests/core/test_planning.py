"""What becomes of a schedule that is due: policies, bounds, jitter, ends."""

import datetime as dt
import itertools
from typing import Any

import pytest

from pgqueue.core.planning import GRACE, MOST_AT_ONCE, Due, Plan, Slots, failed, plan

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)


def due(**words: Any) -> Due:
    """A schedule every hour from T0, which has run until T0."""
    given = {"kind": "every", "rule": "1h", "starts_at": T0, "done_until": T0, **words}
    return Due(**given)


def play(one: Due, until: dt.datetime, step: dt.timedelta) -> list[dt.datetime]:
    """Plan at every step and carry it out; give the slots that ran."""
    ran: list[dt.datetime] = []
    at = one.done_until
    while at <= until:
        made = plan(one, at)
        ran += made.slots
        one = after(one, made)
        at += step
    return ran


def after(one: Due, made: Plan) -> Due:
    """The schedule once a plan is carried out."""
    words = {name: getattr(one, name) for name in Due.__slots__}
    last = made.slots[-1] if made.slots else one.last_slot
    done = {
        "done_until": made.done_until,
        "last_slot": last,
        "held_slot": None,
        "runs": one.runs + len(made.slots),
    }
    return Due(**{**words, **done})


def test_nothing_is_early() -> None:
    made = plan(due(), T0 + HOUR - SECOND)
    assert made.slots == []
    assert made.next_slot == made.next_run_at == T0 + HOUR
    assert made.done_until == T0


def test_a_slot_runs_when_it_is_due() -> None:
    made = plan(due(id=7, revision=3), T0 + HOUR)
    assert (made.id, made.revision) == (7, 3)
    assert made.slots == [T0 + HOUR]
    assert made.done_until == T0 + HOUR
    assert made.next_slot == made.next_run_at == T0 + 2 * HOUR


@pytest.mark.parametrize("policy", ["all", "once", "skip"])
def test_slots_that_are_a_little_late_all_run(policy: str) -> None:
    """A change of leaders costs none, whatever the policy."""
    made = plan(due(rule="1s", catch_up=policy), T0 + GRACE)
    assert made.slots == [T0 + n * SECOND for n in range(1, 61)]
    assert made.next_slot == T0 + 61 * SECOND


def test_once_is_one_late_run() -> None:
    made = plan(due(), T0 + 100 * HOUR + 10 * MINUTE)
    assert made.slots == [T0 + 100 * HOUR]
    assert made.next_run_at == T0 + 101 * HOUR


def test_skip_is_none() -> None:
    made = plan(due(catch_up="skip"), T0 + 100 * HOUR + 10 * MINUTE)
    assert made.slots == []
    assert made.done_until == T0 + 100 * HOUR + 10 * MINUTE
    assert made.next_run_at == T0 + 101 * HOUR


def test_all_is_every_slot_in_order_a_batch_at_a_time() -> None:
    one, at = due(catch_up="all"), T0 + 250 * HOUR + 10 * MINUTE
    ran: list[dt.datetime] = []
    for expected in (MOST_AT_ONCE, MOST_AT_ONCE, 50):
        made = plan(one, at)
        assert len(made.slots) == expected
        if expected == MOST_AT_ONCE:
            assert made.next_run_at == at + SECOND
        ran += made.slots
        one, at = after(one, made), at + SECOND
    assert ran == [T0 + n * HOUR for n in range(1, 251)]
    assert plan(one, at).next_run_at == T0 + 251 * HOUR


@pytest.mark.parametrize(
    ("kind", "rule", "step"),
    [("every", "1s", SECOND), ("cron", "* * * * *", MINUTE), ("rrule", "FREQ=HOURLY", HOUR)],
)
def test_all_is_bounded_to_the_newest(kind: str, rule: str, step: dt.timedelta) -> None:
    at = T0 + 20_000 * step + step / 2 + GRACE
    first = plan(due(kind=kind, rule=rule, catch_up="all", max_catch_up=150), at)
    newest = T0 + ((at - T0) // step) * step
    assert first.slots[0] == newest - 149 * step
    assert len(first.slots) == MOST_AT_ONCE


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"])
def test_once_finds_the_newest_slot_of_uneven_rules(zone: str) -> None:
    one = due(kind="cron", rule="0 3 28-31 * *", timezone=zone)
    at = T0 + dt.timedelta(days=900)
    every = list(itertools.takewhile(lambda slot: slot <= at, Slots(one).walk(T0)))
    assert plan(one, at).slots == every[-1:]


def test_once_runs_late_too() -> None:
    one = due(kind="once", rule="", done_until=T0 - SECOND)
    assert plan(one, T0 - SECOND).next_run_at == T0
    made = plan(one, T0 + 5 * HOUR)
    assert made.slots == [T0]
    assert made.next_run_at is None


def test_the_end_is_kept() -> None:
    one = due(ends_at=T0 + 3 * HOUR)
    assert play(one, T0 + 9 * HOUR, MINUTE) == [T0 + n * HOUR for n in (1, 2, 3)]
    assert plan(due(ends_at=T0), T0).next_run_at is None


def test_repeats_are_counted() -> None:
    assert play(due(repeats=2), T0 + 9 * HOUR, MINUTE) == [T0 + HOUR, T0 + 2 * HOUR]
    late = plan(due(repeats=3, runs=1, catch_up="all"), T0 + 90 * HOUR)
    assert late.slots == [T0 + HOUR, T0 + 2 * HOUR]


def test_a_start_in_the_future() -> None:
    one = due(starts_at=T0 + 5 * HOUR, kind="cron", rule="0 * * * *")
    assert plan(one, T0).next_run_at == T0 + 5 * HOUR


def test_queue_runs_one_at_a_time() -> None:
    made = plan(due(rule="10s", overlap="queue"), T0 + 40 * SECOND)
    assert made.slots == [T0 + 10 * SECOND]
    assert made.next_run_at == T0 + 41 * SECOND


@pytest.mark.parametrize(
    ("policy", "slots"),
    [("all", [2, 3, 4, 5]), ("once", [5]), ("skip", [])],
    ids=lambda value: str(value),
)
def test_a_slot_that_was_held_was_not_missed(policy: str, slots: list[int]) -> None:
    """It waited for the last job for hours; those after it are judged by the policy."""
    one = due(overlap="queue", catch_up=policy, held_slot=T0 + HOUR)
    at = T0 + 5 * HOUR + 30 * MINUTE
    made = plan(one, at)
    assert made.slots == [T0 + HOUR]
    assert made.done_until == T0 + HOUR
    assert made.next_run_at == at + SECOND
    rest = []
    one = after(one, made)
    for _ in range(9):
        made = plan(one, at)
        rest += made.slots
        one = after(one, made)
    assert rest == [T0 + number * HOUR for number in slots]


def test_jitter_is_kept_within_its_bounds_and_always_the_same() -> None:
    one = due(id=4, jitter=10 * MINUTE, catch_up="all")
    slots = list(itertools.islice(Slots(one).walk(T0), 50))
    delays = [Slots(one).run_at(slot) - slot for slot in slots]
    assert all(dt.timedelta(0) <= delay < 10 * MINUTE for delay in delays)
    assert len(set(delays)) > 40
    assert delays == [Slots(one).run_at(slot) - slot for slot in slots]
    other = due(id=5, jitter=10 * MINUTE)
    assert delays != [Slots(other).run_at(slot) - slot for slot in slots]
    assert plan(one, slots[0] + delays[0] - SECOND).slots == []
    assert plan(one, slots[0] + delays[0]).slots == slots[:1]


@pytest.mark.parametrize("policy", ["all", "once", "skip"])
def test_jitter_larger_than_the_interval_loses_none(policy: str) -> None:
    one = due(rule="5m", jitter=17 * MINUTE, catch_up=policy)
    ran = play(one, T0 + 10 * HOUR, 20 * SECOND)
    assert ran == [T0 + n * 5 * MINUTE for n in range(1, len(ran) + 1)]
    assert len(ran) >= 115


def test_sticky_goes_on_from_the_day_it_was_shortened_to() -> None:
    first = dt.datetime(2026, 1, 31, 9, tzinfo=dt.UTC)
    words = {"rule": "1 month", "starts_at": first, "done_until": T0}
    day = dt.timedelta(days=1)
    plain = play(due(**words), T0 + 152 * day, 12 * HOUR)
    sticky = play(due(**words, sticky=True), T0 + 152 * day, 12 * HOUR)
    assert [slot.day for slot in plain] == [31, 28, 31, 30, 31]
    assert [slot.day for slot in sticky] == [31, 28, 28, 28, 28]


def test_what_cannot_be_read_is_an_error_and_looked_at_again() -> None:
    for words in ({"kind": "cron", "rule": "x"}, {"timezone": "Europe/Atlantis"}):
        made = plan(due(**words), T0 + HOUR)
        assert made.slots == []
        assert made.error is not None
        assert made.done_until == T0
        assert made.next_run_at is not None
        assert made.next_run_at > T0 + HOUR


def test_failed_keeps_where_it_stood() -> None:
    made = failed(due(id=1, revision=2), T0 + HOUR, "no", HOUR)
    assert (made.done_until, made.next_run_at, made.error) == (T0, T0 + 2 * HOUR, "no")


def test_a_row_of_the_server_is_read() -> None:
    row = {
        "id": 1, "revision": 2, "kind": "every", "rule": "1h", "timezone": "UTC",
        "starts_at": "2026-01-01T01:00:00+01:00", "ends_at": None, "repeats": None, "runs": 0,
        "sticky": False, "jitter": 1.5, "catch_up": "all", "max_catch_up": 9, "overlap": "skip",
        "done_until": "2026-01-01T00:00:00.000001+00:00", "last_slot": None,
        "held_slot": None,
    }  # fmt: skip
    found = Due.from_row(row)
    assert found.starts_at == T0
    assert found.jitter == 1.5 * SECOND
    assert found.done_until > T0
