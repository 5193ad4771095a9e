"""The history of a run, put in order for the checker: enqueues, executions, faults, moves.

Pure: reads events, opens nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

#: Times are nanoseconds; this stands for "it never ended".
NEVER = 1 << 62


@dataclass(slots=True)
class Execution:
    """One run of the job's function.

    Attributes:
        last: its last sign of life: its end, else a tick, else its start.
        how: `ok`, the name of the exception it ended with, or None: it was cut short.
    """

    key: str
    attempt: int
    pid: int
    boss: int
    begun: int
    last: int
    wall: float = 0.0
    wall_end: float = 0.0
    how: str | None = None

    @property
    def ended(self) -> bool:
        return self.how is not None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was broken for a while."""

    what: str
    scope: str
    targets: frozenset[int]
    on: int
    off: int

    def lies_over(self, begun: int, ended: int) -> bool:
        return self.on <= ended and begun <= self.off

    def touches(self, execution: Execution, until: int) -> bool:
        """Whether it may be the reason why an execution, or its outcome, was lost."""
        if not self.lies_over(execution.begun, until):
            return False
        return self.scope != "process" or bool(self.targets & {execution.pid, execution.boss})


@dataclass(slots=True)
class Story:
    """All of a run, by what it is about."""

    committed: dict[str, int] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    dead: dict[int, int] = field(default_factory=dict)
    dead_wall: dict[int, float] = field(default_factory=dict)
    fenced: set[int] = field(default_factory=set)
    claims: list[Event] = field(default_factory=list)
    surprises: list[Event] = field(default_factory=list)
    refused: int = 0
    jobs: dict[str, Event] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    errors: dict[int, list[Event]] = field(default_factory=dict)
    effects: list[Event] = field(default_factory=list)
    business: list[str] = field(default_factory=list)
    moves: dict[int, list[Event]] = field(default_factory=dict)
    problems: list[Event] = field(default_factory=list)
    resources: dict[str, dict[str, int]] = field(default_factory=dict)

    def all_executions(self) -> Iterable[Execution]:
        for found in self.executions.values():
            yield from found

    def key_of(self) -> dict[int, str]:
        """Give the key of each job id."""
        return {int(job["id"]): key for key, job in self.jobs.items()}


def tell(events: Iterable[Event]) -> Story:
    """Put events in order."""
    story = Story()
    open_ones: dict[tuple[str, int, int], Execution] = {}
    broken: dict[tuple[str, str, frozenset[int]], list[int]] = defaultdict(list)
    invoked: set[str] = set()
    executions: dict[str, list[Execution]] = defaultdict(list)
    errors: dict[int, list[Event]] = defaultdict(list)
    moves: dict[int, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda one: int(one["t"])):
        at = int(event["t"])
        match event["e"]:
            case "enq.invoke":
                invoked.update(event["keys"])
            case "enq.ok":
                story.committed.update(dict.fromkeys(event["keys"], at))
            case "enq.abort":
                story.aborted.update(event["keys"])
            case "enq.unknown":
                story.unknown.update(event["keys"])
            case "start":
                one = Execution(
                    key=event["key"], attempt=event["attempt"], pid=event["pid"],
                    boss=event.get("boss", 0), begun=at, last=at, wall=event.get("w", 0.0),
                )  # fmt: skip
                executions[one.key].append(one)
                open_ones[one.key, one.attempt, one.pid] = one
            case "tick" | "end":
                found = open_ones.get((event["key"], event["attempt"], event["pid"]))
                if found is None:
                    story.surprises.append({**event, "what": "an end or tick without a start"})
                    continue
                found.last = at
                if event["e"] == "end":
                    found.how = event["how"]
                    found.wall_end = event.get("w", 0.0)
            case "fault.on":
                broken[event["what"], event["scope"], frozenset(event["targets"])].append(at)
            case "fault.off":
                name = event["what"], event["scope"], frozenset(event["targets"])
                story.faults.append(Fault(*name, on=broken[name].pop(), off=at))
            case "proc.dead":
                story.dead[event["pid"]] = at
                story.dead_wall[event["pid"]] = event.get("w", 0.0)
            case "proc.fenced":
                story.fenced.add(event["pid"])
            case "claim":
                story.claims.append(event)
            case "surprise":
                story.surprises.append(event)
            case "refused":
                story.refused += event["n"]
            case "final.job":
                if event["key"] in story.jobs:
                    story.twice.append(event["key"])
                story.jobs[event["key"]] = event
            case "final.error":
                errors[event["id"]].append(event)
            case "final.effect":
                story.effects.append(event)
            case "final.business":
                story.business.append(event["key"])
            case "final.move":
                moves[event["id"]].append(event)
            case "final.problem":
                story.problems.append(event)
            case "resources":
                story.resources[event["when"]] = event["found"]
    for name, begins in broken.items():
        story.faults += [Fault(*name, on=begun, off=NEVER) for begun in begins]
    # Who said that it would commit and nothing after that was killed meanwhile.
    story.unknown |= invoked - story.committed.keys() - story.aborted
    story.unknown -= story.committed.keys()
    story.executions = dict(executions)
    story.errors = dict(errors)
    story.moves = {
        job: sorted(found, key=lambda one: int(one["n"])) for job, found in moves.items()
    }
    return story
