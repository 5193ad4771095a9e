"""Verdicts about jobs that have keys, run after others or are called back. Pure, as the checker.

Of callbacks nothing more is asked than of other jobs: whoever enqueues a job that has one says that
the callback, by its own key, is committed too. So it must be there, once, and run.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from tests.faults.story import Event, Story

Finding = str

_RATE = re.compile(r"([0-9]+)/([0-9]*)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Part of the period of a rate that is looked at: a move is written a little after the moment that
#: the rate counts, and later where the machine is busy.
_LOOKED_AT = 0.5


def crowding(intervals: Mapping[str, Iterable[tuple[int, int]]], limit: int) -> list[Finding]:
    """Names (of a unique key, of a concurrency key) of which more than `limit` are open at once."""
    found = []
    for name, spans in intervals.items():
        steps = sorted(
            step for begun, ended in spans for step in ((begun, 1), (max(begun, ended), -1))
        )
        steps.sort(key=lambda step: (step[0], step[1]))
        most = now = 0
        for _at, change in steps:
            now += change
            most = max(most, now)
        if most > limit:
            found.append(f"{name}: {most} at a time, {limit} allowed")
    return found


def lines(story: Story) -> list[Finding]:
    """More jobs of a concurrency key at once than it says; those that were killed until then."""
    spans: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for key, job in story.jobs.items():
        name = job.get("concurrency_key")
        if name is not None and (job.get("max_running") or not job.get("rate")):
            spans[name, job.get("max_running") or 1] += [
                (one.begun, one.last) for one in story.executions.get(key, ())
            ]
    return [
        finding
        for (name, limit), some in spans.items()
        for finding in crowding({name: some}, limit)
    ]


def line_order(story: Story) -> list[Finding]:
    """With one at a time, jobs of a key that begin in another order than they were enqueued in."""
    lines: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, job in story.jobs.items():
        if (
            job.get("concurrency_key")
            and not job.get("rate")
            and job.get("max_running") in (None, 1)
        ):
            lines[job["concurrency_key"]].append((int(job["id"]), key))
    found = []
    for name, jobs in lines.items():
        begun = [
            (min(one.begun for one in story.executions[key]), key)
            for _, key in sorted(jobs)
            if key in story.executions
        ]
        for before, after in pairwise(begun):
            if after[0] < before[0]:
                found.append(f"{after[1]}: began before {before[1]} in the line of {name}")
    return found


def rate(story: Story) -> list[Finding]:
    """More jobs of a key that were taken in a time than its rate says."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for job in story.jobs.values():
        if job.get("rate"):
            taken[job["concurrency_key"], job["rate"]] += [
                move["at"]
                for move in story.moves.get(int(job["id"]), ())
                if move["place"] == "running"
            ]
    found = []
    for (name, said), times in taken.items():
        match = _RATE.fullmatch(said)
        assert match is not None
        most, period = int(match[1]), int(match[2] or 1) * _SECONDS[match[3]] * _LOOKED_AT
        times.sort()
        for place, at in enumerate(times):
            if place >= most and at - times[place - most] < period:
                found.append(f"{name}: {most + 1} taken in {at - times[place - most]:.3f} s")
    return found


def unique(story: Story) -> list[Finding]:
    """Two jobs of a unique key that had not ended, at one instant; by what was committed."""
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for key, job in story.jobs.items():
        moves = story.moves.get(int(job["id"]), [])
        if job.get("unique_key") and moves:
            spans[job["unique_key"]].append((moves[0]["at"], _over(moves), key))
    found = []
    for name, some in spans.items():
        for before, after in pairwise(sorted(some)):
            if after[0] < before[1]:
                found.append(f"{after[2]}: came while {before[2]} had {name}")
    return found


def _over(moves: list[Event]) -> float:
    ends = [move["at"] for move in moves if move["place"] == "finished"]
    return float(ends[-1]) if ends else float("inf")


def flow(story: Story) -> list[Finding]:
    """A job that began before one that it runs after had come to its end."""
    keys = story.key_of()
    found = []
    for key, job in story.jobs.items():
        for parent in job.get("after") or ():
            mine = [one.begun for one in story.executions.get(key, ())]
            ends = [
                one.last
                for one in story.executions.get(keys.get(parent, ""), ())
                if one.how == "ok"
            ]
            if mine and (not ends or min(mine) < min(ends)):
                found.append(f"{key}: began before {keys.get(parent, parent)} had ended")
    return found
