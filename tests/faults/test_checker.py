"""The checker, by small histories made by hand: each verdict finds what it should, and no more."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.faults.checker import VERDICTS, check, crowding

Event = dict[str, Any]

MS = 1_000_000
SECOND = 1_000 * MS


class Tale:
    """A history in the making; times are in milliseconds since its beginning, by both clocks."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._moves = 0
        self._ids: dict[str, int] = {}

    def at(self, ms: float, event: str, **fields: Any) -> "Tale":
        self.events.append({"e": event, "t": int(ms * MS), "w": ms / 1000, **fields})
        return self

    def id(self, key: str) -> int:
        return self._ids.setdefault(key, len(self._ids) + 1)

    def enqueue(self, *keys: str, ms: float = 0, how: str | None = "ok") -> "Tale":
        self.at(ms, "enq.invoke", keys=list(keys))
        return self if how is None else self.at(ms + 0.1, f"enq.{how}", keys=list(keys))

    def run(
        self, key: str, attempt: int = 1, ms: tuple[float, float] = (10, 20),
        how: str | None = "ok", pid: int = 7, boss: int = 5, ticks: Iterable[float] = (),
    ) -> "Tale":  # fmt: skip
        mine = {"key": key, "attempt": attempt, "pid": pid}
        self.at(ms[0], "start", **mine, boss=boss)
        for tick in ticks:
            self.at(tick, "tick", **mine)
        return self if how is None else self.at(ms[1], "end", **mine, how=how)

    def move(self, key: str, ms: float, place: str, attempt: int = 1, **more: Any) -> "Tale":
        self._moves += 1
        row = {
            "n": self._moves, "id": self.id(key), "at": ms / 1000, "place": place,
            "attempt": attempt, "lost": 0, "crashes": 0, "worker": 1, "batch": 1, "priority": 0,
            "seq": self.id(key), "state": "succeeded" if place == "finished" else None, **more,
        }  # fmt: skip
        return self.at(10**9, "final.move", **row)

    def final(self, key: str, state: str | None = "succeeded", **more: Any) -> "Tale":
        row = {
            "id": self.id(key), "key": key, "queue": "default", "state": state, "attempt": 1,
            "lost": 0, "crashes": 0, "priority": 0, "run_at": None, "expires_at": None, **more,
        }  # fmt: skip
        return self.at(10**9, "final.job", **row)

    def fault(self, ms: tuple[float, float], scope: str = "process", *pids: int) -> "Tale":
        self.at(ms[0], "fault.on", what="x", scope=scope, targets=list(pids))
        return self.at(ms[1], "fault.off", what="x", scope=scope, targets=list(pids))

    def error(self, key: str, attempt: int, kind: str) -> "Tale":
        return self.at(
            10**9, "final.error", id=self.id(key), attempt=attempt, kind=kind, message=""
        )


def good(key: str = "a") -> Tale:
    """A job that was committed, ran once and succeeded."""
    return (
        Tale()
        .enqueue(key)
        .run(key)
        .move(key, 1, "ready", 0)
        .move(key, 5, "running")
        .move(key, 25, "finished")
        .final(key)
    )


def failed(tale: Tale, **options: Any) -> list[str]:
    return check(tale.events, **options).failed


def test_a_good_history() -> None:
    report = check(good().events, ordered=True, wake=1.0)
    assert report.findings == {name: [] for name in [*VERDICTS, "order", "wake"]}
    assert report.ok
    assert report.figures["committed"] == report.figures["executions"] == 1
    assert report.figures["reruns"] == 0
    assert report.figures["wake_max"] == 0.01


def test_an_empty_history() -> None:
    assert failed(Tale()) == []


def both(second: tuple[float, float], first: float = 20, more: bool = False) -> Tale:
    """Two jobs, or three, each with its moves: the one from 10 to `first`, the other then and then.

    The third is there all the time of the second one.
    """
    tale = Tale().enqueue("a", "b").run("a", ms=(10, first)).run("b", ms=second)
    for key, begun, ended in (("a", 10, first), ("b", *second), ("c", *second)):
        if key != "c" or more:
            tale.move(key, begun - 0.5, "ready", 0).move(key, begun, "running")
            tale.move(key, ended, "finished")
    return tale.enqueue("c").run("c", ms=second) if more else tale


def _two(
    verdict: str, wrong: tuple[float, float], right: tuple[float, float], **columns: Any
) -> tuple[Tale, Tale]:
    """Give a history in which two jobs of a key come too close, and one in which they do not."""
    tales = []
    for span in (wrong, right):
        tale = both(span, first=19, more=verdict == "lines" and span is wrong)
        if verdict == "line_order" and span is wrong:
            # The first in the line begins after the second.
            tale = Tale().enqueue("a", "b").run("a", ms=(30, 40)).run("b", ms=span)
        for key in ("a", "b", *(("c",) if verdict == "lines" and span is wrong else ())):
            tale.final(key, **columns)
        tales.append(tale)
    return tales[0], tales[1]


#: Of each verdict: a history in which it finds something, and its like in which nothing is wrong.
CASES: list[tuple[str, Tale, Tale]] = [
    ("lost", good().enqueue("b"), good().enqueue("b", how="abort")),
    (
        "lost",
        Tale().enqueue("a").final("a"),
        Tale().enqueue("a").final("a", "cancelled", attempt=0),
    ),
    ("lost", Tale().enqueue("a").run("a").final("a", None), good()),
    (
        "lost",
        Tale().enqueue("a").run("a", how=None).final("a"),
        Tale().enqueue("a").run("a", how="ValueError").final("a", "failed"),
    ),
    (
        "phantom",
        Tale().enqueue("a", how="abort").run("a"),
        Tale().enqueue("a", how="abort"),
    ),
    ("unexpected", good().run("b"), good()),
    (
        "recovered",
        Tale().enqueue("a", how="unknown").final("a", "ready", attempt=0),
        Tale().enqueue("a", how="unknown"),
    ),
    # Killed in the middle of its transaction: it may have committed, or not.
    ("recovered", Tale().enqueue("a", how=None).final("a"), Tale().enqueue("a", how=None)),
    ("recovered", Tale().enqueue("a", how="unknown").run("a"), Tale().enqueue("a", how="unknown")),
    (
        "stuck",
        Tale().enqueue("a").final("a", "running"),
        Tale().enqueue("a").final("a", "expired", attempt=0),
    ),
    ("double_finish", good().move("a", 30, "finished"), good()),
    # Given up and taken by another, then the first one's result is stored for it.
    (
        "double_finish",
        Tale()
        .enqueue("a")
        .run("a", how=None, pid=1)
        .fault((11, 30), "process", 1)
        .run("a", 2, (40, 90))
        .move("a", 5, "running")
        .move("a", 35, "running", 2)
        .move("a", 35, "finished", 2)
        .final("a", attempt=2, lost=1),
        Tale()
        .enqueue("a")
        .run("a", how=None, pid=1)
        .fault((11, 30), "process", 1)
        .run("a", 2, (40, 90))
        .move("a", 5, "running")
        .move("a", 35, "running", 2)
        .move("a", 95, "finished", 2)
        .final("a", attempt=2, lost=1),
    ),
    (
        "double_finish",
        Tale().enqueue("a").run("a", how="ValueError").move("a", 25, "finished").final("a"),
        good(),
    ),
    ("double_finish", good("b").move("c", 1, "ready").move("c", 2, "finished"), good("b")),
    # No fault lay over the first execution, or one of another process did.
    (
        "rerun",
        good().fault((11, 30), "process", 99).run("a", 2, (40, 50)),
        good().fault((11, 30), "process", 7).run("a", 2, (40, 50)),
    ),
    (
        "rerun",
        good().fault((41, 45), "server").run("a", 2, (40, 50)),
        good().fault((15, 30), "server").run("a", 2, (40, 50)),
    ),
    # A crash takes back claims of a moment before, and what they began goes on for nothing.
    (
        "rerun",
        good().fault((1, 5), "server").run("a", 1, (40, 50)),
        good().fault((1, 5), "crash").run("a", 1, (40, 50)),
    ),
    (
        "rerun",
        Tale().enqueue("a").run("a", how=None).run("a", 2, (40, 50)),
        Tale().enqueue("a").run("a", how=None).at(30, "proc.dead", pid=5).run("a", 2, (40, 50)),
    ),
    (
        "rerun",
        good().at(30, "proc.fenced", pid=5).run("a", 2, (40, 50)),
        good().at(30, "proc.fenced", pid=7).run("a", 2, (40, 50)),
    ),
    (
        "rerun",
        good().run("a", 2, (40, 50)),
        Tale().enqueue("a").run("a", how="ValueError").run("a", 2, (40, 50)),
    ),
    (
        "attempt_reuse",
        good().fault((11, 30), "server").run("a", 1, (40, 50)),
        good().fault((11, 30), "crash").run("a", 1, (40, 50)),
    ),
    (
        "overlap",
        good().fault((11, 30), "server").run("a", 2, (15, 50)),
        good().fault((11, 30), "server").run("a", 2, (21, 50)),
    ),
    # A server that crashed may have forgotten the first; but not that it had been taken before.
    (
        "overlap",
        good().fault((11, 30), "crash").run("a", 2, (15, 50)),
        good().fault((11, 13), "crash").run("a", 1, (15, 50)),
    ),
    # An execution that was cut short ends with its last sign of life.
    (
        "overlap",
        Tale().enqueue("a").run("a", how=None, ticks=(30, 60)).run("a", 2, (50, 70), pid=8),
        Tale().enqueue("a").run("a", how=None, ticks=(30, 45)).run("a", 2, (50, 70), pid=8),
    ),
    (
        "overrun",
        good().at(1, "claim", limit=2, ids=[1, 2, 3]),
        good().at(1, "claim", limit=3, ids=[1, 2, 3]),
    ),
    (
        "atomicity",
        good().at(10**9, "final.business", key="b"),
        good().at(10**9, "final.business", key="a"),
    ),
    (
        "atomicity",
        good().at(10**9, "final.business", key="a").final("b"),
        good().at(10**9, "final.business", key="a"),
    ),
    (
        "effect",
        good("atomic:1"),
        good("atomic:1").at(10**9, "final.effect", key="atomic:1", attempt=1, atomic=True),
    ),
    (
        "effect",
        good("effect:1").at(10**9, "final.effect", key="effect:1", attempt=2, atomic=False),
        good("effect:1").at(10**9, "final.effect", key="effect:1", attempt=1, atomic=False),
    ),
    (
        "effect",
        Tale().enqueue("atomic:1").final("atomic:1", "failed").at(
            10**9, "final.effect", key="atomic:1", attempt=1, atomic=True
        ),
        Tale().enqueue("atomic:1").final("atomic:1", "failed"),
    ),
    (
        "early",
        Tale().enqueue("a").run("a").move("a", 5, "running").final("a", run_at=0.006),
        Tale().enqueue("a").run("a").move("a", 5, "running").final("a", run_at=0.004),
    ),
    (
        "early",
        Tale().move("a", 5, "finished", 0, state="expired").final("a", "expired", expires_at=1.0),
        Tale().move("a", 5, "finished", 0, state="expired").final("a", "expired", expires_at=0.0),
    ),
    ("accounting", good("b").final("b", attempt=2), good("b").final("b", attempt=2, lost=1)),
    (
        "accounting",
        good("b").final("b", attempt=2, lost=1).move("b", 26, "scheduled", state="retry"),
        good("b").final("b", attempt=2, lost=0).move("b", 26, "scheduled", state="retry"),
    ),
    (
        "accounting",
        Tale().enqueue("b").run("b").final("b", attempt=2).error("b", 1, "lost"),
        Tale().enqueue("b").run("b").final("b", attempt=2).error("b", 1, "ValueError"),
    ),
    (
        "accounting",
        good("b").final("b", attempt=2, lost=1).error("b", 1, "crashed"),
        good("b").final("b", attempt=2, lost=1, crashes=1).error("b", 1, "crashed"),
    ),
    (
        "sanity",
        good().at(10**9, "final.problem", problem="job in two positions", id=1, detail="x"),
        good(),
    ),
    ("sanity", good().at(1, "surprise", what="a worker ended by itself"), good()),
    ("sanity", good().at(30, "end", key="z", attempt=1, pid=1, how="ok"), good()),
    (
        "sanity",
        good().fault((11, 30), "server").run("a", 2, (40, 50)),
        good().fault((11, 30), "server").run("a", 2, (40, 50)).final("a", attempt=2, lost=1),
    ),
    (
        "resources",
        good()
        .at(0, "resources", when="before", found={"connections": 1})
        .at(99, "resources", when="after", found={"connections": 2}),
        good()
        .at(0, "resources", when="before", found={"connections": 1})
        .at(99, "resources", when="after", found={"connections": 1}),
    ),
    ("lines", *_two("lines", (15, 25), (20, 30), concurrency_key="k", max_running=2)),
    ("line_order", *_two("line_order", (10, 20), (20, 30), concurrency_key="k")),
    ("rate", *_two("rate", (10, 20), (720, 730), concurrency_key="k", rate="1/s")),
    ("unique", *_two("unique", (15, 25), (20, 30), unique_key="k")),
    (
        "flow",
        both((15, 25), first=20).final("a").final("b", after=[1]),
        both((20, 25), first=20).final("a").final("b", after=[1]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "wrong", "right"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_each_verdict_both_ways(verdict: str, wrong: Tale, right: Tale) -> None:
    assert verdict in failed(wrong)
    # A job that is dumped twice is made so by hand, to change what `good` says of it.
    assert verdict not in failed(right)
    assert verdict not in failed(wrong, allows=[verdict])


def test_every_verdict_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(VERDICTS)


def test_order() -> None:
    def taken(*order: str, ready: float = 0, priority: dict[str, int] | None = None) -> list[str]:
        tale = Tale()
        ranks = priority or {}
        for key in sorted(order):
            tale.move(key, ready, "ready", 0, priority=ranks.get(key, 0)).final(key)
        for number, key in enumerate(order):
            tale.move(key, 5000 + number, "running", batch=number)
        return failed(tale, ordered=True)

    assert taken("a", "b", "c") == []
    assert taken("a", "c", "b") == ["order"]
    assert taken("c", "a", "b", priority={"c": 3}) == []
    assert taken("a", "b", "c", priority={"c": 3}) == ["order"]
    # One that became ready just now may be overtaken.
    assert taken("b", "a", ready=4500) == []


def test_order_within_a_batch() -> None:
    tale = Tale()
    for key in "ab":
        tale.enqueue(key).move(key, 0, "ready", 0).move(key, 5000, "running").final(key)
    assert failed(Tale(), ordered=True) == []
    tale.run("a", ms=(5010, 5020)).run("b", ms=(5001, 5002))
    assert failed(tale, ordered=True) == ["order"]


def test_crowding() -> None:
    spans = {"key": [(0, 10), (10, 20), (15, 30)]}
    assert crowding(spans, 1) == ["key: 2 at a time, 1 allowed"]
    assert crowding(spans, 2) == []
    assert crowding({"a": [(0, 10)], "b": [(5, 15)]}, 1) == []


def test_wake_and_rescue_times() -> None:
    tale = (
        Tale()
        .enqueue("a")
        .run("a", ms=(2000, 0), how=None)
        .at(2500, "proc.dead", pid=7)
        .move("a", 3000, "ready")
        .run("a", 2, (4000, 4001), pid=8)
        .final("a", attempt=2, lost=1)
    )
    report = check(tale.events, wake=1.0)
    assert report.failed == ["wake"]
    assert report.figures["return_max"] == 0.5
    assert report.figures["wake_max"] == 2.0
    assert report.figures["rescue_max"] == report.figures["rescue_p50"] == 1.5
    assert check(tale.events, wake=3.0).ok


def test_a_later_job_is_not_awaited() -> None:
    tale = Tale().enqueue("later:1").run("later:1", ms=(9000, 9001)).final("later:1", run_at=8.0)
    assert check(tale.events, wake=1.0).ok
