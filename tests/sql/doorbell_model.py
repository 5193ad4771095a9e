"""A model of the doorbell's handshake, small enough to walk every interleaving of it.

Writers and sleepers are lists of steps; a state of the world is a tuple; a step of any of them
leads to the next state. The steps are those of the proof in `sql/*/31_ring.sql`, with the ones that
are not atomic on a real server taken apart: W2 is a lock and an unlock that others can see, W3
shows the rows, releases the locks and then sends the notification, S1 takes one lock after the
other.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

#: The bucket of the workers that take every queue.
EVERY = "*"

T = TypeVar("T")
Step = tuple[str, ...]
Steps = tuple[Step, ...]
#: What a writer has done, each with the depth it was done at: 1 inside a savepoint, else 0.
Marks = frozenset[tuple[str, int]]


class Row(NamedTuple):
    """A job's row of ready_jobs: uncommitted, ready or gone; who holds it."""

    queue: str
    state: str
    holder: tuple[int, int] | None = None


class Writer(NamedTuple):
    """How far a writer is, and what it holds."""

    at: int = 0
    depth: int = 0
    published: Marks = frozenset()
    rings: Marks = frozenset()
    looking: frozenset[str] = frozenset()


class Sleeper(NamedTuple):
    """How far a sleeper is, and what it holds."""

    at: int = 0
    listens: bool = False
    rung: bool = False
    armed: frozenset[str] = frozenset()
    writers: frozenset[int] = frozenset()
    snapshot: frozenset[int] | None = None
    left: bool = False


class World(NamedTuple):
    """A state of everything."""

    writers: tuple[Writer, ...]
    sleepers: tuple[Sleeper, ...]
    rows: tuple[Row, ...]


class Fault(NamedTuple):
    """A state in which nobody can do a step, and which must not be.

    Attributes:
        kind: "lost": a job is ready and everybody who takes it sleeps; "stuck": somebody can
            neither fall asleep nor go on.
    """

    kind: str
    world: World


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """Who takes part.

    Attributes:
        writers: the steps of each, put together by `statement` and the constants below it.
        sleepers: the queues of each.
        ready: queues of the jobs that are ready from the beginning.
        may_leave: whether the first sleeper may leave at any moment.
        buckets: the bucket of a queue, where it is not the queue's own.
        strangers: buckets whose `writing` lock a stranger holds exclusively.
    """

    name: str
    writers: tuple[Steps, ...]
    sleepers: tuple[tuple[str, ...], ...]
    ready: tuple[str, ...] = ()
    may_leave: bool = False
    buckets: tuple[tuple[str, str], ...] = ()
    strangers: frozenset[str] = frozenset()


def statement(*queues: str) -> Steps:
    """The steps of one INSERT: its rows, then W1 and W2 for the bucket of all and each queue's."""
    steps: Steps = tuple(("insert", queue) for queue in queues)
    for bucket in (EVERY, *queues):
        rung_for = queues if bucket == EVERY else (bucket,)
        steps += (
            ("publish", bucket, *rung_for),
            ("look", bucket, *rung_for),
            ("unlook", bucket),
        )
    return steps


#: W3.
COMMIT: Steps = (("show",), ("release",), ("ring",))
ROLLBACK: Steps = (("undo",),)


def sleep(queues: tuple[str, ...]) -> Steps:
    """The steps of one sleeper: it listens, forgets old rings, then S1 to S5."""
    arms = tuple(("arm", queue) for queue in queues)
    return (("listen",), ("clear",), *arms, ("read",), ("wait",), ("find",), ("sleep",))


class Model:
    """Walk all interleavings of one scenario.

    Args:
        scenario: who takes part.
        writers, sleepers: the steps, where they are not those of the scenario.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        writers: tuple[Steps, ...] | None = None,
        sleepers: tuple[Steps, ...] | None = None,
    ) -> None:
        self.scenario = scenario
        self.writers = writers or scenario.writers
        self.sleepers = sleepers or tuple(sleep(queues) for queues in scenario.sleepers)
        buckets = dict(scenario.buckets)
        self._bucket = {
            queue: buckets.get(queue, queue)
            for queue in (EVERY, *scenario.ready, *sum(scenario.sleepers, ()), *self._written())
        }
        #: How many states the last walk saw, and in how many of them nothing can happen any more.
        self.states = self.ends = 0

    def find_fault(self) -> Fault | None:
        """Walk every interleaving; give the first fault, None when there is none."""
        start = World(
            (Writer(),) * len(self.writers),
            (Sleeper(),) * len(self.sleepers),
            tuple(Row(queue, "ready") for queue in self.scenario.ready),
        )
        seen = {start}
        todo = [start]
        self.ends = 0
        while todo:
            world = todo.pop()
            moves = list(self._moves(world))
            if not moves:
                self.ends += 1
                if not self._all_sleep(world):
                    return Fault("stuck", world)
                if self._is_lost(world):
                    return Fault("lost", world)
            for following in moves:
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
            self.states = len(seen)
        return None

    def _written(self) -> list[str]:
        return [step[1] for steps in self.writers for step in steps if len(step) > 1]

    def _all_sleep(self, world: World) -> bool:
        return all(
            sleeper.left or steps[sleeper.at] == ("sleep",)
            for steps, sleeper in zip(self.sleepers, world.sleepers, strict=True)
        )

    def _is_lost(self, world: World) -> bool:
        """Whether a job is ready for somebody; they all sleep, since nobody can do a step."""
        takers = [
            queues
            for queues, sleeper in zip(self.scenario.sleepers, world.sleepers, strict=True)
            if not sleeper.left
        ]
        return any(
            row.state == "ready" and any(_takes(queues, row.queue) for queues in takers)
            for row in world.rows
        )

    def _moves(self, world: World) -> Iterator[World]:
        for index, writer in enumerate(world.writers):
            # A row that nobody sees yet changes nothing for the others: it is written at once.
            if self._next_word(index, writer) == "insert":
                yield self._write(world, index, writer)
                return
        for index, writer in enumerate(world.writers):
            if writer.at < len(self.writers[index]):
                yield self._write(world, index, writer)
        for index, sleeper in enumerate(world.sleepers):
            if sleeper.left:
                continue
            following = self._sleep(world, index, sleeper)
            if following is not None and following != world:
                yield following
            if index == 0 and self.scenario.may_leave:
                gone = _put(world.sleepers, index, Sleeper(left=True))
                yield World(world.writers, gone, world.rows)

    def _next_word(self, index: int, writer: Writer) -> str | None:
        steps = self.writers[index]
        return steps[writer.at][0] if writer.at < len(steps) else None

    def _write(self, world: World, index: int, writer: Writer) -> World:
        """Do the next step of a writer."""
        word, *rest = self.writers[index][writer.at]
        after = writer._replace(at=writer.at + 1)
        rows, sleepers = world.rows, world.sleepers
        holder = (index, writer.depth)
        if word == "insert":
            rows = (*rows, Row(rest[0], "uncommitted", holder))
        elif word == "take":
            # A claim, a cancel, a set_priority: it skips what others hold.
            rows = tuple(
                row._replace(holder=holder)
                if row.state == "ready" and row.holder is None and row.queue == rest[0]
                else row
                for row in rows
            )
        elif word == "publish":
            bucket = self._bucket[rest[0]]
            if bucket in self.scenario.strangers:
                # Refused: ring without looking.
                after = _ringing(after, rest[1:])
            else:
                after = after._replace(published=after.published | {(bucket, writer.depth)})
        elif word == "look":
            bucket = self._bucket[rest[0]]
            if any((queue, writer.depth) not in writer.rings for queue in rest[1:]):
                if self._is_watched(world, bucket):
                    after = _ringing(after, rest[1:])
                else:
                    after = after._replace(looking=writer.looking | {bucket})
        elif word == "unlook":
            after = after._replace(looking=writer.looking - {self._bucket[rest[0]]})
        elif word == "savepoint":
            after = after._replace(depth=1)
        elif word == "back":
            after = after._replace(
                depth=0, published=_outside(after.published), rings=_outside(after.rings)
            )
            rows = tuple(_undone(row) if row.holder == (index, 1) else row for row in rows)
        elif word == "show":
            rows = tuple(_done(row) if _is_held_by(row, index) else row for row in rows)
        elif word == "release":
            after = after._replace(published=frozenset())
        elif word == "ring":
            rung = {queue for queue, _ in writer.rings}
            sleepers = tuple(
                sleeper._replace(rung=True)
                if sleeper.listens and any(_takes(queues, queue) for queue in rung)
                else sleeper
                for sleeper, queues in zip(sleepers, self.scenario.sleepers, strict=True)
            )
        elif word == "undo":
            after = Writer(at=after.at)
            rows = tuple(_undone(row) if _is_held_by(row, index) else row for row in rows)
        else:
            raise ValueError(f"a writer has no step {word!r}")
        return World(_put(world.writers, index, after), sleepers, rows)

    def _sleep(self, world: World, index: int, sleeper: Sleeper) -> World | None:
        """Do the next step of a sleeper; None while it has to wait."""
        steps = self.sleepers[index]
        word, *rest = steps[sleeper.at]
        after = sleeper._replace(at=sleeper.at + 1)
        rows = world.rows
        queues = self.scenario.sleepers[index]
        if word == "listen":
            after = after._replace(listens=True)
        elif word == "clear":
            after = after._replace(rung=False)
        elif word == "arm":
            if any(self._bucket[rest[0]] in writer.looking for writer in world.writers):
                # Refused: give all back and begin again.
                first = next(at for at, step in enumerate(steps) if step[0] == "arm")
                after = sleeper._replace(at=first, armed=frozenset())
            else:
                after = after._replace(armed=sleeper.armed | {self._bucket[rest[0]]})
        elif word == "snapshot":
            ready = (number for number, row in enumerate(rows) if row.state == "ready")
            after = after._replace(snapshot=frozenset(ready))
        elif word == "read":
            after = after._replace(writers=self._publishing(world, queues))
        elif word == "wait":
            if any(world.writers[number].published for number in sleeper.writers):
                return None
        elif word == "find":
            seen = {
                number
                for number, row in enumerate(rows)
                if row.state == "ready" and _takes(queues, row.queue)
                if sleeper.snapshot is None or number in sleeper.snapshot
            }
            held = {number for number in seen if rows[number].holder is not None}
            rows = tuple(
                row._replace(state="gone") if number in seen - held else row
                for number, row in enumerate(rows)
            )
            if held and rest != ["free"]:
                # Somebody holds one: look again a little later.
                after = sleeper
        elif word == "sleep":
            if not sleeper.rung:
                return None
            # Awake: give the locks back, and go through it all again.
            after = Sleeper(listens=sleeper.listens, rung=True)
        else:
            raise ValueError(f"a sleeper has no step {word!r}")
        if after.at == len(steps):
            # Only a mutant that does not end in its sleep: it goes on for ever.
            after = Sleeper(listens=sleeper.listens)
        return World(world.writers, _put(world.sleepers, index, after), rows)

    def _is_watched(self, world: World, bucket: str) -> bool:
        """Whether somebody holds `sleep(bucket)`, be it a writer that is looking."""
        return any(bucket in sleeper.armed for sleeper in world.sleepers) or any(
            bucket in writer.looking for writer in world.writers
        )

    def _publishing(self, world: World, queues: tuple[str, ...]) -> frozenset[int]:
        """Who holds `writing` of a bucket of these queues."""
        buckets = {self._bucket[queue] for queue in queues}
        return frozenset(
            number
            for number, writer in enumerate(world.writers)
            if any(bucket in buckets for bucket, _ in writer.published)
        )


def _takes(queues: tuple[str, ...], queue: str) -> bool:
    return EVERY in queues or queue in queues


def _ringing(writer: Writer, queues: list[str]) -> Writer:
    return writer._replace(rings=writer.rings | {(queue, writer.depth) for queue in queues})


def _outside(marks: Marks) -> Marks:
    return frozenset(mark for mark in marks if mark[1] == 0)


def _is_held_by(row: Row, writer: int) -> bool:
    return row.holder is not None and row.holder[0] == writer


def _done(row: Row) -> Row:
    return row._replace(state="ready" if row.state == "uncommitted" else "gone", holder=None)


def _undone(row: Row) -> Row:
    return row._replace(state="gone" if row.state == "uncommitted" else "ready", holder=None)


def _put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])
