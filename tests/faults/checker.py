"""Decide from a history whether a run kept its promises. Pure: events in, verdicts out.

Each verdict is a function of the story that gives what it found wrong; a run is good when none
finds anything, but for those that its scenario allows. What a verdict must find is shown by
`test_checker.py` with hand-made histories, and by the mutants of `mutants.py` with real ones.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.faults.keyed import crowding as crowding
from tests.faults.keyed import flow, line_order, lines, rate, unique
from tests.faults.story import Event, Execution, Fault, Story, tell

Finding = str

_TERMINAL = ("succeeded", "failed", "cancelled", "expired")
#: Seconds by which clocks of two processes of one machine may differ, and a row's time its commit.
_SLACK = 0.05
#: Seconds that a row which committed late may be overtaken by others.
_LATE = 1.2
#: Nanoseconds before a crash whose claims it may have taken back: they are not flushed at once.
_UNFLUSHED = 2_000_000_000
#: Crashes after which a job is given up.
_CRASHES = 3


def lost(story: Story) -> list[Finding]:
    """Committed, and not there any more, or said to have succeeded and never run to its end."""
    found = []
    for key in story.committed:
        job = story.jobs.get(key)
        if job is None:
            found.append(f"{key}: committed and not in the table")
        elif job["state"] is None:
            found.append(f"{key}: committed and in no position")
        elif job["state"] == "succeeded" and not _ends(story, key):
            found.append(f"{key}: succeeded, and no execution came to its end")
    return found


def phantom(story: Story) -> list[Finding]:
    """Rolled back, and run."""
    return [f"{key}: rolled back, and run" for key in story.executions if key in story.aborted]


def unexpected(story: Story) -> list[Finding]:
    """Run, and written by nobody."""
    known = story.committed.keys() | story.aborted | story.unknown
    return [f"{key}: run, and written by nobody" for key in story.executions if key not in known]


def recovered(story: Story) -> list[Finding]:
    """Of unknown commit: either run to its end, or absent."""
    found = []
    for key in story.unknown:
        job = story.jobs.get(key)
        if job is None and key in story.executions:
            found.append(f"{key}: of unknown commit, run, and not in the table")
        elif job is not None and job["state"] not in _TERMINAL:
            found.append(f"{key}: of unknown commit, in the table, and {job['state']}")
        elif job is not None and job["state"] == "succeeded" and not _ends(story, key):
            found.append(f"{key}: of unknown commit, succeeded, and never ran to its end")
    return found


def stuck(story: Story) -> list[Finding]:
    """Not over at the end of the liveness phase."""
    return [
        f"{key}: {job['state']} after attempt {job['attempt']}"
        for key, job in story.jobs.items()
        if job["state"] is not None and job["state"] not in _TERMINAL
    ]


def double_finish(story: Story) -> list[Finding]:
    """Finished twice, or by an execution that was over for the database: a zombie's write."""
    found = []
    keys = story.key_of()
    for job, moves in story.moves.items():
        previous: Event | None = None
        for move in moves:
            if move["place"] == "finished" and previous is not None:
                if previous["place"] == "finished":
                    found.append(f"{keys.get(job, job)}: finished twice")
                elif move["state"] == "succeeded" and previous["place"] != "running":
                    found.append(f"{keys.get(job, job)}: finished from {previous['place']}")
            previous = move
    found += _zombies(story, keys)
    return found


def _zombies(story: Story, keys: Mapping[int, str]) -> list[Finding]:
    """Jobs whose result was stored for an attempt that had not come to its end by then."""
    found = []
    for job, moves in story.moves.items():
        key = keys.get(job)
        if key is None or key not in story.executions:
            continue
        for move in moves:
            if move["place"] != "finished" or move["state"] != "succeeded":
                continue
            ends = [
                one.wall_end
                for one in story.executions[key]
                if one.attempt == move["attempt"] and one.how == "ok"
            ]
            if not ends:
                found.append(f"{key}: attempt {move['attempt']} stored, and it never succeeded")
            elif min(ends) > move["at"] + _SLACK:
                found.append(f"{key}: attempt {move['attempt']} stored before it had ended")
    return found


def rerun(story: Story) -> list[Finding]:
    """Run again without a reason: each execution but the first needs one in the one before."""
    found = []
    for key, executions in story.executions.items():
        for before, after in pairwise(executions):
            if not _explained(story, before, after):
                found.append(
                    f"{key}: attempt {after.attempt} after attempt {before.attempt}, "
                    f"which ended {before.how or 'not at all'}"
                )
    return found


def _explained(story: Story, before: Execution, after: Execution) -> bool:
    if before.how not in (None, "ok") or before.pid in story.fenced:
        return True
    if any(fault.touches(before, after.begun) for fault in story.faults):
        return True
    if any(fault.lies_over(before.begun - _UNFLUSHED, after.begun) for fault in _crashes(story)):
        return True
    return any(pid in story.dead for pid in (before.pid, before.boss)) and not before.ended


def _crashes(story: Story) -> list[Fault]:
    """Give the crashes of the server: each may take back claims that were not flushed yet."""
    return [fault for fault in story.faults if fault.scope == "crash"]


def attempt_reuse(story: Story) -> list[Finding]:
    """One attempt number, started twice; forgiven where the server lost what it had not flushed."""
    found = []
    for key, executions in story.executions.items():
        seen: dict[int, Execution] = {}
        for one in executions:
            earlier = seen.get(one.attempt)
            if earlier is not None and not _forgotten(story, earlier, one):
                found.append(f"{key}: attempt {one.attempt} started twice")
            seen[one.attempt] = one
    return found


def _forgotten(story: Story, before: Execution, after: Execution) -> bool:
    """Whether the server crashed before it had flushed the claim of the first, and knew nothing of
    it any more when it gave the second."""
    return before.attempt == after.attempt and any(
        fault.lies_over(before.begun - _UNFLUSHED, after.begun) for fault in _crashes(story)
    )


def overlap(story: Story) -> list[Finding]:
    """Two executions of one job at one instant; one that was cut short ends with its last sign.

    Forgiven where the server forgot the first: its worker ends it only when it has come back.
    """
    found = []
    for key, executions in story.executions.items():
        for before, after in _neighbours(executions):
            if after.begun < before.last and not _forgotten(story, before, after):
                found.append(
                    f"{key}: attempt {after.attempt} began {(before.last - after.begun) / 1e6:.0f} "
                    f"ms before attempt {before.attempt} ended"
                )
    return found


def _neighbours(executions: list[Execution]) -> Iterable[tuple[Execution, Execution]]:
    """Each execution with the one before it that lasted longest."""
    longest: Execution | None = None
    for one in sorted(executions, key=lambda one: one.begun):
        if longest is not None:
            yield longest, one
        if longest is None or one.last > longest.last:
            longest = one


def overrun(story: Story) -> list[Finding]:
    """A claim that took more than it was to take."""
    return [
        f"a claim of {claim['limit']} took {len(claim['ids'])}"
        for claim in story.claims
        if len(claim["ids"]) > claim["limit"]
    ]


def atomicity(story: Story) -> list[Finding]:
    """The business row without the job, or the job without its business row."""
    business = Counter(story.business)
    if not business and not story.business:
        return []
    found = [
        f"{key}: written with its business row {n} times" for key, n in business.items() if n > 1
    ]
    found += [f"{key}: its business row and no job" for key in business if key not in story.jobs]
    found += [f"{key}: a job and no business row" for key in story.jobs if key not in business]
    found += [f"{key}: rolled back, and there" for key in story.aborted if key in story.jobs]
    found += [f"{key}: there twice" for key in story.twice]
    return found


def effect(story: Story) -> list[Finding]:
    """An atomic job whose effect is not there exactly once; another's that was done by nobody."""
    count = Counter(one["key"] for one in story.effects if one["atomic"])
    found = []
    for key, job in story.jobs.items():
        if not key.startswith("atomic:"):
            continue
        wanted = 1 if job["state"] == "succeeded" else 0
        if count[key] != wanted:
            found.append(f"{key}: {job['state']}, and its effect is there {count[key]} times")
    done = {(one.key, one.attempt) for one in story.all_executions()}
    for one in story.effects:
        if (one["key"], one["attempt"]) not in done:
            found.append(f"{one['key']}: an effect of attempt {one['attempt']}, which never began")
    plain = {one["key"] for one in story.effects if not one["atomic"]}
    for key, job in story.jobs.items():
        if key.startswith("effect:") and job["state"] == "succeeded" and key not in plain:
            found.append(f"{key}: succeeded, and without its effect")
    return found


def early(story: Story) -> list[Finding]:
    """Taken before its time, or given up before it, by the server's clock."""
    found = []
    for key, job in story.jobs.items():
        for move in story.moves.get(int(job["id"]), ()):
            run_at, until = job["run_at"], job["expires_at"]
            if move["place"] == "running" and run_at is not None and move["at"] < run_at:
                found.append(f"{key}: taken {run_at - move['at']:.3f} s before its time")
            expired = move["place"] == "finished" and move["state"] == "expired"
            if expired and (until is None or move["at"] < until):
                found.append(f"{key}: expired before its time")
    return found


def accounting(story: Story) -> list[Finding]:
    """Counters that do not agree with what is written down of the attempts."""
    found = []
    for key, job in story.jobs.items():
        if job["state"] is None:
            continue
        kinds = Counter(error["kind"] for error in story.errors.get(int(job["id"]), ()))
        crashed = kinds["crashed"]
        if job["crashes"] != crashed:
            found.append(f"{key}: {job['crashes']} crashes counted, {crashed} written down")
        if crashed > _CRASHES:
            found.append(f"{key}: tried again after {crashed} crashes")
        if job["state"] != "succeeded":
            continue
        failed = sum(kinds.values()) - crashed - kinds["lost"]
        if moves := story.moves.get(int(job["id"])):
            # An attempt that was interrupted may tell of an error too, and is counted as lost.
            failed = sum(
                move["place"] == "scheduled" and move["state"] == "retry" for move in moves
            )
        if job["attempt"] - job["lost"] - failed != 1:
            found.append(
                f"{key}: succeeded at attempt {job['attempt']}, with {job['lost']} lost "
                f"and {failed} failed"
            )
    return found


def sanity(story: Story) -> list[Finding]:
    """What the tables say and the history does not, faults of the invariants, odd events."""
    found = [f"{one['problem']}: job {one['id']} {one['detail'] or ''}" for one in story.problems]
    found += [f"{one['what']}" for one in story.surprises]
    for key, executions in story.executions.items():
        if key not in story.jobs and key not in story.aborted and key in story.committed:
            found.append(f"{key}: run {len(executions)} times, and not in the table")
    for key, job in story.jobs.items():
        attempts = [one.attempt for one in story.executions.get(key, ())]
        if attempts and job["attempt"] is not None and max(attempts) > job["attempt"]:
            found.append(f"{key}: attempt {max(attempts)} was run, {job['attempt']} counted")
    return found


def resources(story: Story) -> list[Finding]:
    """More of something after the run than before it."""
    before, after = story.resources.get("before", {}), story.resources.get("after", {})
    return [
        f"{after[name]} {name} after the run, {number} before"
        for name, number in before.items()
        if after.get(name, 0) > number
    ]


def order(story: Story) -> list[Finding]:
    """With one worker of one slot: taken out of order, or started in another order than taken.

    In each queue, highest priority first, within it by seq; a row that has just become ready may be
    overtaken.
    """
    queues: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, job in story.jobs.items():
        queues[job["queue"]].append((key, int(job["id"])))
    return [finding for jobs in queues.values() for finding in _disorder(story, jobs)]


#: What is first in a queue: priority, lowest for the highest, then seq; and whose it is.
_Rank = tuple[int, int, str]


def _disorder(story: Story, jobs: list[tuple[str, int]]) -> Iterable[Finding]:
    entered: list[tuple[float, _Rank]] = []
    batches: dict[tuple[float, int], list[_Rank]] = defaultdict(list)
    for key, job in jobs:
        rank: _Rank | None = None
        for move in story.moves.get(job, ()):
            if move["place"] == "ready":
                rank = (-move["priority"], move["seq"], key)
                entered.append((move["at"] + _LATE, rank))
            elif move["place"] == "running" and rank is not None:
                batches[move["at"], move["batch"]].append(rank)
    entered.sort()
    taken: set[_Rank] = set()
    waiting: list[_Rank] = []
    place = 0
    for (at, _batch), ranks in sorted(batches.items()):
        while place < len(entered) and entered[place][0] <= at:
            heapq.heappush(waiting, entered[place][1])
            place += 1
        for one in sorted(ranks):
            taken.add(one)
            while waiting and waiting[0] in taken:
                heapq.heappop(waiting)
            if waiting and waiting[0] < one:
                yield f"{one[2]}: taken before {waiting[0][2]}"
        begun = [
            (story.executions[key][0].begun, key)
            for _, _, key in sorted(ranks)
            if len(story.executions.get(key, ())) == 1
        ]
        for before, after in pairwise(begun):
            if after[0] < before[0]:
                yield f"{after[1]}: started before {before[1]} of the same batch"


#: Every verdict that is asked of every run.
VERDICTS: Mapping[str, Callable[[Story], list[Finding]]] = {
    function.__name__: function
    for function in (
        lost, phantom, unexpected, recovered, stuck, double_finish, rerun, attempt_reuse, overlap,
        overrun, atomicity, effect, early, accounting, sanity, resources, lines, line_order, rate,
        unique, flow,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts of a run, and its figures.

    Attributes:
        findings: what each verdict found.
        allowed: verdicts that do not count.
        figures: counts and times, see `figures`.
    """

    findings: Mapping[str, list[Finding]]
    allowed: frozenset[str]
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not any(found for name, found in self.findings.items() if name not in self.allowed)

    @property
    def failed(self) -> list[str]:
        """Names of the verdicts that found something they should not."""
        return [name for name, found in self.findings.items() if found and name not in self.allowed]

    def count(self, name: str) -> int:
        return len(self.findings.get(name, ()))


def check(
    events: Iterable[Event],
    *,
    allows: Iterable[str] = (),
    ordered: bool = False,
    wake: float | None = None,
) -> Report:
    """Judge a run.

    Args:
        events: of all its processes.
        allows: verdicts that may find something.
        ordered: there was one worker with one slot, so that order is promised.
        wake: most seconds from commit to start, where no fault and no backlog was in the way.
    """
    story = tell(events)
    found = {name: verdict(story) for name, verdict in VERDICTS.items()}
    if ordered:
        found["order"] = order(story)
    if wake is not None:
        found["wake"] = [
            f"{key}: started {seconds:.3f} s after its commit"
            for key, seconds in _wake(story)
            if seconds > wake
        ]
    return Report(found, frozenset(allows), figures(story))


def figures(story: Story) -> dict[str, Any]:
    """Count, and give the times of waking and rescuing in seconds."""
    waits = sorted(seconds for _, seconds in _wake(story))
    rescues = sorted(_rescues(story))
    returns = sorted(_returns(story))
    runs = sum(len(found) - 1 for found in story.executions.values())
    return {
        "committed": len(story.committed),
        "aborted": len(story.aborted),
        "unknown": len(story.unknown),
        "recovered": sum(1 for key in story.unknown if _ends(story, key)),
        "executions": sum(map(len, story.executions.values())),
        "reruns": runs,
        "refused": story.refused,
        "wake_p50": _share(waits, 0.5),
        "wake_p99": _share(waits, 0.99),
        "wake_max": _share(waits, 1.0),
        "rescues": len(rescues),
        "rescue_p50": _share(rescues, 0.5),
        "rescue_p95": _share(rescues, 0.95),
        "rescue_max": _share(rescues, 1.0),
        "return_p50": _share(returns, 0.5),
        "return_p95": _share(returns, 0.95),
        "return_max": _share(returns, 1.0),
    }


def _wake(story: Story) -> Iterable[tuple[str, float]]:
    """From commit to first start, of jobs that were to start at once."""
    for key, at in story.committed.items():
        job = story.jobs.get(key)
        executions = story.executions.get(key)
        if executions and (job is None or job["run_at"] is None or not key.startswith("later:")):
            yield key, (executions[0].begun - at) / 1e9


def _rescues(story: Story) -> Iterable[float]:
    """From the death of an execution's process to the next start of its job."""
    for executions in story.executions.values():
        for before, after in pairwise(executions):
            died = story.dead.get(before.pid)
            if not before.ended and died is not None:
                yield (after.begun - died) / 1e9


def _returns(story: Story) -> Iterable[float]:
    """From the death of an execution's process until its job may run again, whoever waits before
    it: the part of a rescue that does not depend on how much else there is to do."""
    for key, executions in story.executions.items():
        job = story.jobs.get(key)
        for one in executions:
            died = story.dead_wall.get(one.pid)
            if job is None or one.ended or died is None:
                continue
            moves = story.moves.get(int(job["id"]), ())
            later = [m["at"] for m in moves if m["place"] == "ready" and m["at"] > died - _SLACK]
            if later:
                yield max(0.0, later[0] - died)


def _ends(story: Story, key: str) -> bool:
    return any(one.how == "ok" for one in story.executions.get(key, ()))


def _share(values: list[float], share: float) -> float | None:
    if not values:
        return None
    return round(values[min(len(values) - 1, int(share * len(values)))], 3)
