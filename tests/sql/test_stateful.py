"""Random walks through the SQL functions, beside a model in plain Python; after every step both
must say the same of every job.

`PGQUEUE_STATEFUL_EXAMPLES=2000` walks longer.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests import factories
from tests.sql.calls import column, one, refused, work
from tests.sql.model import OVER, Model, ModelJob
from tests.sql.sleeper import Connection

F = TypeVar("F", bound=Callable[..., None])

EXAMPLES = int(os.environ.get("PGQUEUE_STATEFUL_EXAMPLES", "30"))
STEPS = 40

#: Second 0 of the model; the triggers, which go by the server's clock, are long before it.
_EPOCH = 2_208_988_800  # 2040-01-01
_AT = "to_timestamp(%s)"
_LOOK = f"""
SELECT id, state, queue, priority::integer, attempt, lost, crashes::integer, worker_id::integer,
    CASE WHEN state = 'scheduled' THEN extract(epoch FROM run_at)::float8 - {_EPOCH} END
FROM pgqueue.job_overview
ORDER BY id
"""
_BEFORE = -1_000_000_000

QUEUES = st.sampled_from(["a", "b"])
LISTS = st.sampled_from([["a"], ["b"], ["a", "b"], ["b", "a"]])
PRIORITIES = st.sampled_from([0, 0, 0, 1, -1, 32767, -32768])
RUN_ATS = st.sampled_from([None, None, None, -2_000_000_000, 5, 50, 500])
EXPIRES = st.sampled_from([None, None, None, 20, 200])
#: Which of the jobs that could be meant.
PICKS = st.integers(0, 30)
OUTCOMES = st.sampled_from(
    ["succeeded", "failed", "cancelled", "retry", "snoozed", "unknown_task", "crashed", "crashed",
     "interrupted", "unstarted"]
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """Something a walk may do next.

    Attributes:
        name: of the method.
        drawn: its arguments.
        when: whether it makes sense now.
    """

    name: str
    drawn: dict[str, st.SearchStrategy[Any]]
    when: Callable[[Any], object]


_actions: list[Action] = []


def action(
    *,
    weight: int = 1,
    when: Callable[[Any], object] = lambda _walk: True,
    **drawn: st.SearchStrategy[Any],
) -> Callable[[F], F]:
    """Let a method be a step of a walk.

    Not a rule of Hypothesis, which leaves most rules out of most walks to go deep into few of them:
    a job needs five different ones in the right order to come anywhere.
    """

    def put(method: F) -> F:
        _actions.extend([Action(method.__name__, drawn, when)] * weight)
        return method

    return put


class Walk(RuleBasedStateMachine):
    """One walk, on a database that the one before has left.

    Args:
        c: its connection.
    """

    def __init__(self, c: Connection) -> None:
        super().__init__()
        self.c = c
        self.model = Model()
        self.now = 0.0
        self.batch = 0
        self.hints: dict[int, str] = {}

    @initialize(priorities=st.lists(PRIORITIES, min_size=4, max_size=8), expires=EXPIRES)
    def begin(self, priorities: list[int], expires: int | None) -> None:
        """Begin with some jobs and two workers, lest most walks never come to a running job."""
        self.c.execute("TRUNCATE pgqueue.jobs, pgqueue.workers, pgqueue.queues")
        for number, priority in enumerate(priorities):
            self.insert("ab"[number % 2], priority, None, expires if number % 3 == 0 else None, 1)
        self.register()
        self.register()

    @property
    def at(self) -> float:
        return _EPOCH + self.now

    def call(self, function: str, *arguments: Any, at: str = "at") -> Any:
        """Call a function with the time it is."""
        places = ", ".join(["%s"] * len(arguments) + ([f"{at} => {_AT}"] if at else []))
        return one(
            self.c, f"SELECT * FROM pgqueue.{function}({places})", *arguments,
            *([self.at] if at else []),
        )  # fmt: skip

    def choose(self, pick: int, *states: str | None) -> ModelJob | None:
        """Give one of the jobs in these states, or of all."""
        found = [job for job in self.model.jobs.values() if not states or job.state in states]
        return found[pick % len(found)] if found else None

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        possible = [one for one in _actions if one.when(self)]
        chosen = possible[data.draw(st.integers(0, len(possible) - 1))]
        drawn = {name: data.draw(strategy) for name, strategy in chosen.drawn.items()}
        note(f"{chosen.name} {drawn}")
        getattr(self, chosen.name)(**drawn)

    # -- producers --------------------------------------------------------------------------

    def values(self, run_at: float | None, expires: float | None) -> list[float | None]:
        return [None if at is None else _EPOCH + at for at in (run_at, expires)]

    def added(self, job: ModelJob) -> None:
        self.model.add(job)
        self.model.file(job, _BEFORE)

    @action(
        queue=QUEUES, priority=PRIORITIES, run_at=RUN_ATS, expires=EXPIRES, number=st.integers(1, 3)
    )
    def add(
        self, queue: str, priority: int, run_at: int | None, expires: int | None, number: int
    ) -> None:
        self.insert(queue, priority, run_at, expires, number)

    def insert(
        self, queue: str, priority: int, run_at: int | None, expires: int | None, number: int
    ) -> None:
        ids = column(
            self.c,
            "INSERT INTO pgqueue.jobs (task, queue, priority, run_at, expires_at)"
            f" SELECT 't', %s, %s, {_AT}, {_AT} FROM generate_series(1, %s) RETURNING id",
            queue, priority, *self.values(run_at, expires), number,
        )  # fmt: skip
        for job_id in ids:
            self.added(ModelJob(job_id, queue, priority, run_at=run_at, expires_at=expires))

    @action(queue=QUEUES, priority=PRIORITIES, run_at=RUN_ATS, expires=EXPIRES)
    def enqueue(self, queue: str, priority: int, run_at: int | None, expires: int | None) -> None:
        job_id = one(
            self.c,
            "SELECT pgqueue.enqueue('t', queue => %s, priority => %s,"
            f" run_at => {_AT}, expires_at => {_AT})",
            queue, priority, *self.values(run_at, expires),
        )  # fmt: skip
        self.added(ModelJob(job_id, queue, priority, run_at=run_at, expires_at=expires))

    @action(queues=st.lists(QUEUES, min_size=1, max_size=3), priority=PRIORITIES)
    def enqueue_many(self, queues: list[str], priority: int) -> None:
        jobs = [{"task": "t", "queue": queue, "priority": priority} for queue in queues]
        ids = column(self.c, "SELECT pgqueue.enqueue_many(%s)", json.dumps(jobs))
        assert ids == sorted(ids)
        for job_id, queue in zip(ids, queues, strict=True):
            self.added(ModelJob(job_id, queue, priority))

    @action(queue=QUEUES, run_at=RUN_ATS)
    def stray(self, queue: str, run_at: int | None) -> None:
        starts = one(self.c, f"SELECT {_AT}", self.values(run_at, None)[0])
        job_id = factories.stray(self.c, queue=queue, run_at=starts)
        self.model.add(ModelJob(job_id, queue, 0, run_at=run_at))

    def file_strays(self) -> None:
        strays = [job for job in self.model.jobs.values() if job.state is None]
        for job in strays:
            self.model.file(job, self.now)
        assert self.call("file_strays")[0] == len(strays)

    # -- workers ----------------------------------------------------------------------------

    def register(self) -> None:
        worker = self.call("register_worker", "w")
        self.model.beats[worker] = self.now

    def worker(self, pick: int) -> int:
        workers = sorted(self.model.beats)
        return workers[pick % len(workers)]

    @action(
        weight=4,
        when=lambda self: self.model.beats,
        pick=PICKS,
        queues=LISTS,
        most=st.sampled_from([1, 2, 100]),
        rows=st.booleans(),
    )
    def take(self, pick: int, queues: list[str], most: int, rows: bool) -> None:
        worker = self.worker(pick)
        self.batch += 1
        if rows:
            query = f"SELECT job_id FROM pgqueue.dequeue(%s, %s::text[], %s, %s, at => {_AT})"
            found = column(self.c, query, worker, queues, most, self.batch, self.at)
        else:
            row = self.work(worker, queues, most)
            self.hints[worker] = row.hint_out
            found = row.job_ids
        assert found == self.model.take(worker, self.batch, queues, most, self.now)

    def work(self, worker: int, queues: list[str], most: int, **more: Any) -> Any:
        at = one(self.c, f"SELECT {_AT}", self.at)
        return work(self.c, worker, self.batch, tuple(queues), most, at=at, **more)

    @action(
        weight=2,
        when=lambda self: self.hints.keys() & self.model.beats.keys(),
        pick=PICKS,
        most=st.sampled_from([1, 2, 100]),
    )
    def take_above_the_floor(self, pick: int, most: int) -> None:
        """Take with a hint: what lies below it may be left, the rest comes in order."""
        workers = sorted(self.hints.keys() & self.model.beats.keys())
        worker = workers[pick % len(workers)]
        self.batch += 1
        could = {job.id for line in self.model.line(["a", "b"], self.now) for job in line}
        row = self.work(worker, ["a", "b"], most, hint=self.hints[worker])
        self.hints[worker] = row.hint_out
        found = row.job_ids or []
        assert len(found) <= most
        assert len(set(found)) == len(found)
        assert set(found) <= could
        for job_id in found:
            job = self.model.jobs[job_id]
            job.state, job.worker, job.batch = "running", worker, self.batch
            job.attempt += 1
        for job_id in could - set(found):
            job = self.model.jobs[job_id]
            if job.is_late(self.now) and factories.state(self.c, job_id) == "expired":
                self.model.end(job, "expired", self.now)

    @action(
        weight=4,
        when=lambda self: self.choose(0, "running"),
        picks=st.lists(PICKS, min_size=1, max_size=3),
        outcome=OUTCOMES,
        delay=st.sampled_from([0, 7]),
        arrays=st.booleans(),
    )
    def tell_some(self, picks: list[int], outcome: str, delay: int, arrays: bool) -> None:
        for pick in picks:
            self.tell(pick, outcome, delay, arrays)

    @action(
        weight=6,
        when=lambda self: self.choose(0, "running"),
        pick=PICKS,
        outcome=OUTCOMES,
        delay=st.sampled_from([0, 7]),
        arrays=st.booleans(),
    )
    def tell_one(self, pick: int, outcome: str, delay: int, arrays: bool) -> None:
        self.tell(pick, outcome, delay, arrays)

    def tell(self, pick: int, outcome: str, delay: int, arrays: bool) -> None:
        job = self.choose(pick, "running")
        if job is None:
            return
        if arrays:
            assert self.finish(job, outcome, delay) == []
        elif outcome == "succeeded" and pick % 2:
            self.answer(job, {"ok": f"{{{job.id}}}", "us": "{5}"})
        else:
            later = {"delay": delay} if outcome in ("retry", "snoozed") else {}
            self.answer(job, {"rest": [{"id": job.id, "state": outcome, "us": 5, **later}]})
        self.model.tell(job, outcome, delay, self.now)

    def finish(self, job: ModelJob, outcome: str, delay: int, **wrong: int) -> list[int]:
        named = {"worker": job.worker, "attempt": job.attempt, "batch": job.batch, **wrong}
        later = f"{delay} s" if outcome in ("retry", "snoozed") else None
        query = (
            "SELECT pgqueue.finish(%s, %s::bigint[], %s::integer[], %s::text[],"
            f" delays => %s::interval[], batch_no => %s, at => {_AT})"
        )
        return list(
            one(self.c, query, named["worker"], [job.id], [named["attempt"]], [outcome], [later],
                named["batch"], self.at)
        )  # fmt: skip

    def answer(self, job: ModelJob, outcome: dict[str, Any]) -> None:
        self.batch += 1
        assert job.worker is not None
        row = self.work(job.worker, ["a"], 0, answers=[{"batch": job.batch, **outcome}])
        assert (row.refused, row.again) == (None, None)

    @action(
        when=lambda self: self.choose(0, "running"),
        pick=PICKS,
        outcome=OUTCOMES,
        wrong=st.sampled_from(["worker", "attempt", "batch"]),
    )
    def tell_wrongly(self, pick: int, outcome: str, wrong: str) -> None:
        """A late answer changes nothing."""
        job = self.choose(pick, "running")
        if job is not None:
            assert self.finish(job, outcome, 0, **{wrong: 4711}) == [job.id]

    @action(when=lambda self: self.model.beats, pick=PICKS)
    def beat(self, pick: int) -> None:
        worker = self.worker(pick)
        self.model.beats[worker] = self.now
        beat = self.call("beat", worker)
        asked = [job.id for job in self.model.held_by(worker) if job.asked_to_stop]
        assert sorted(beat[4] or []) == asked
        assert beat[0]

    @action(when=lambda self: self.model.beats, pick=PICKS)
    def held(self, pick: int) -> None:
        worker = self.worker(pick)
        query = "SELECT job_id, attempt, batch_no FROM pgqueue.held(%s)"
        held = sorted(self.model.held_by(worker), key=lambda job: job.id)
        found = self.c.execute(query, (worker,)).fetchall()
        assert found == [(job.id, job.attempt, job.batch) for job in held]

    @action(when=lambda self: self.model.beats, pick=PICKS)
    def forget(self, pick: int) -> None:
        worker = self.worker(pick)
        assert self.call("forget_worker", worker) == self.model.forget(worker, self.now)

    def rescue(self) -> None:
        assert self.call("rescue") == self.model.rescue(self.now)

    # -- people -----------------------------------------------------------------------------

    @action(pick=PICKS)
    def cancel(self, pick: int) -> None:
        job = self.choose(pick, "ready", "scheduled", "running", *OVER)
        if job is not None:
            assert self.call("cancel", job.id) == self.model.cancel(job, self.now)

    @action(pick=PICKS)
    def cancel_late(self, pick: int) -> None:
        """Leave a request behind for a job that had just gone back, and let the leader find it."""
        job = self.choose(pick, "ready", "scheduled")
        if job is not None:
            self.c.execute("INSERT INTO pgqueue.cancel_requests (job_id) VALUES (%s)", (job.id,))
            assert self.call("apply_cancels") == 1
            self.model.cancel(job, self.now)

    @action(pick=PICKS, wait=st.sampled_from([None, -5, 5, 100]))
    def retry(self, pick: int, wait: int | None) -> None:
        job = self.choose(pick, "ready", "scheduled", "running", *OVER)
        if job is None:
            return
        run_at = None if wait is None else self.now + wait
        query = f"SELECT pgqueue.retry(%s, {_AT}, {_AT})"
        parameters = (job.id, None if run_at is None else _EPOCH + run_at, self.at)
        state = self.model.retry(job, run_at, self.now)
        if state is None:
            said = f"job {job.id} must be over or scheduled to be retried; it is running"
            with refused("PQ003", said, "wait for it, or cancel it first"):
                one(self.c, query, *parameters)
        else:
            assert one(self.c, query, *parameters) == state

    @action(pick=PICKS, priority=PRIORITIES)
    def set_priority(self, pick: int, priority: int) -> None:
        job = self.choose(pick, "ready", "scheduled", "running", *OVER)
        if job is not None:
            assert self.call("set_priority", job.id, priority, at="") == job.state
            if job.state in ("ready", "scheduled"):
                job.priority = priority

    @action(pick=PICKS, queue=QUEUES)
    def set_queue(self, pick: int, queue: str) -> None:
        job = self.choose(pick, "ready", "scheduled", "running", *OVER)
        if job is not None:
            assert self.call("set_queue", job.id, queue, at="") == job.state
            if job.state != "running":
                job.queue = queue

    @action(pick=PICKS)
    def delete(self, pick: int) -> None:
        job = self.choose(pick)
        if job is None:
            return
        if job.state == "running":
            said = f"job {job.id} must not be running to be deleted"
            with refused("PQ003", said, "cancel it first, or wait for it"):
                self.call("delete_job", job.id, at="")
        else:
            assert self.call("delete_job", job.id, at="") is True
            assert self.call("delete_job", job.id, at="") is False
            del self.model.jobs[job.id]

    @action(queue=QUEUES, seconds=st.sampled_from([None, 30]), ends=st.booleans())
    def pause_or_resume(self, queue: str, seconds: int | None, ends: bool) -> None:
        if ends or queue in self.model.paused:
            self.resume(queue)
        else:
            self.pause(queue, seconds)

    def pause(self, queue: str, seconds: int | None) -> None:
        self.call("pause", queue, None if seconds is None else f"{seconds} s")
        self.model.paused[queue] = None if seconds is None else self.now + seconds

    def resume(self, queue: str) -> None:
        assert self.call("resume", queue, at="") is (queue in self.model.paused)
        self.model.paused.pop(queue, None)

    # -- upkeep -----------------------------------------------------------------------------

    @action(
        weight=3,
        what=st.sampled_from(
            ["promote", "promote", "rescue", "rescue", "expire", "prune", "file_strays",
             "resume_due", "register"]
        )
    )  # fmt: skip
    def look_after(self, what: str) -> None:
        getattr(self, what)()

    def resume_due(self) -> None:
        over = [q for q, at in self.model.paused.items() if at is not None and at <= self.now]
        assert self.call("resume_due") == len(over)
        for queue in over:
            del self.model.paused[queue]

    def promote(self) -> None:
        assert self.call("promote")[0] == len(self.model.promote(1000, self.now))

    def expire(self) -> None:
        assert self.call("expire")[0] == self.model.expire(self.now)

    def prune(self) -> None:
        assert self.call("prune")[0] == self.model.prune(self.now)

    @action(weight=2, seconds=st.sampled_from([1, 5, 5, 20, 40, 400, 8 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    # -- after every step -------------------------------------------------------------------

    @invariant()
    def both_say_the_same(self) -> None:
        expected = [job.position() for job in sorted(self.model.jobs.values(), key=lambda j: j.id)]
        assert self.c.execute(_LOOK).fetchall() == expected
        problems = self.c.execute("SELECT problem, job_id FROM pgqueue.check_invariants()")
        strays = [job.id for job in self.model.jobs.values() if job.state is None]
        assert sorted(problems) == [("job in no position", job) for job in sorted(strays)]


@pytest.mark.dirty
def test_the_functions_do_what_the_model_says(c: Connection) -> None:
    run_state_machine_as_test(
        lambda: Walk(c),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
