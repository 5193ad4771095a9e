"""What the SQL functions should do to a job, in plain Python: the model of `test_stateful`.

It knows positions, counters and order, and nothing of how they are stored. Time is a number of
seconds. Whatever the server may choose freely (which of the jobs that are alike) is not here.
"""

import dataclasses
from typing import Any

#: States in which a job is over.
OVER = ("succeeded", "failed", "cancelled", "expired")
CRASH_CAP = 3
LEASE = 30
KEPT = {"succeeded": 7 * 86_400}
KEPT_OTHERWISE = 30 * 86_400


@dataclasses.dataclass(slots=True)
class ModelJob:
    """One job: where it stands, and how often what happened to it."""

    id: int
    queue: str
    priority: int
    seq: int = 0
    state: str | None = None
    run_at: float | None = None
    expires_at: float | None = None
    may_expire: bool = False
    first_priority: int = 0
    attempt: int = 0
    lost: int = 0
    crashes: int = 0
    worker: int | None = None
    batch: int | None = None
    keep_until: float = 0.0
    asked_to_stop: bool = False

    def position(self) -> tuple[Any, ...]:
        """What the server must say about it."""
        if self.state is None:
            return (self.id, None, self.queue, self.priority, None, None, None, None, None)
        starts = self.run_at if self.state == "scheduled" else None
        return (
            self.id, self.state, self.queue, self.priority, self.attempt, self.lost, self.crashes,
            self.worker, starts,
        )  # fmt: skip

    def is_late(self, now: float) -> bool:
        return self.may_expire and self.expires_at is not None and self.expires_at <= now


class Model:
    """All jobs and workers."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.beats: dict[int, float] = {}
        self.paused: dict[str, float | None] = {}
        self._last_seq = 0

    # -- where jobs go ----------------------------------------------------------------------

    def add(self, job: ModelJob) -> None:
        """Take note of a new job that has no position yet."""
        self.jobs[job.id] = job
        self._last_seq = max(self._last_seq, job.id)
        job.may_expire = job.expires_at is not None
        job.first_priority = job.priority

    def file(self, job: ModelJob, now: float) -> None:
        if job.run_at is not None and job.run_at > now:
            job.state = "scheduled"
        else:
            self._enter(job, job.id)

    def _enter(self, job: ModelJob, seq: int | None = None) -> None:
        """Make ready: with its own id as place in the line, or at the end of it.

        The server gives places from the sequence of ids, so the end is above every id so far, and
        below every id to come.
        """
        job.state, job.run_at, job.worker, job.batch = "ready", None, None, None
        if seq is None:
            self._last_seq += 1
        job.seq = self._last_seq if seq is None else seq

    def _wait(self, job: ModelJob, until: float) -> None:
        job.state, job.run_at, job.worker, job.batch = "scheduled", until, None, None

    def end(self, job: ModelJob, state: str, now: float) -> None:
        # The priority is that of the row again; the worker is kept for people to see.
        job.priority = job.first_priority
        job.state, job.run_at, job.asked_to_stop, job.batch = state, None, False, None
        job.keep_until = now + KEPT.get(state, KEPT_OTHERWISE)

    # -- workers ----------------------------------------------------------------------------

    def line(self, queues: list[str], now: float) -> list[list[ModelJob]]:
        """The ready jobs in the order in which they are taken, a list for each queue."""
        named = [queue for queue in queues if not self._is_paused(queue, now)]
        ready = [job for job in self.jobs.values() if job.state == "ready"]
        return [
            sorted(
                (job for job in ready if job.queue == queue),
                key=lambda job: (-job.priority, job.seq),
            )
            for queue in named
        ]

    def _is_paused(self, queue: str, now: float) -> bool:
        until = self.paused.get(queue, -1)
        return until is None or until > now

    def take(self, worker: int, batch: int, queues: list[str], most: int, now: float) -> list[int]:
        """Take the first ones; those that are too late end, and count as taken."""
        taken = [job for queue in self.line(queues, now) for job in queue][:most]
        for job in taken:
            if job.is_late(now):
                self.end(job, "expired", now)
            else:
                job.state, job.worker, job.batch = "running", worker, batch
                job.attempt += 1
        return [job.id for job in taken if job.state == "running"]

    def held_by(self, worker: int) -> list[ModelJob]:
        return [
            job for job in self.jobs.values() if job.state == "running" and job.worker == worker
        ]

    def tell(self, job: ModelJob, outcome: str, delay: float, now: float) -> None:
        """Write down what became of a running job."""
        if outcome in ("unstarted", "unknown_task"):
            job.attempt -= 1
        if outcome in ("crashed", "interrupted", "snoozed"):
            job.lost += 1
        job.crashes += outcome == "crashed"
        if outcome in ("succeeded", "failed", "cancelled"):
            self.end(job, outcome, now)
        elif job.asked_to_stop:
            self.end(job, "cancelled", now)
        elif outcome == "crashed" and job.crashes >= CRASH_CAP:
            self.end(job, "failed", now)
        elif outcome in ("unstarted", "interrupted"):
            self._enter(job, job.id)
        elif outcome == "crashed":
            self._wait(job, now + job.crashes)
        else:
            self._wait(job, now + (delay if outcome in ("retry", "snoozed") else 300))

    def forget(self, worker: int, now: float) -> int:
        held = self.held_by(worker)
        for job in held:
            self.tell(job, "interrupted", 0, now)
        self.beats.pop(worker, None)
        return len(held)

    def rescue(self, now: float) -> tuple[int, int]:
        dead = [worker for worker, at in self.beats.items() if at < now - LEASE]
        return len(dead), sum(self.forget(worker, now) for worker in dead)

    # -- people and upkeep ------------------------------------------------------------------

    def cancel(self, job: ModelJob, now: float) -> str:
        if job.state == "running":
            job.asked_to_stop = True
        elif job.state not in OVER:
            self.end(job, "cancelled", now)
        return job.state

    def retry(self, job: ModelJob, run_at: float | None, now: float) -> str | None:
        """Give the new state; None where it cannot be."""
        if job.state == "ready":
            return "ready"
        if job.state == "running":
            return None
        if job.state in OVER:
            job.lost, job.crashes = job.attempt, 0
        later = run_at is not None and run_at > now
        starts = run_at if later and run_at is not None else now
        job.may_expire = job.expires_at is not None and job.expires_at > starts
        if later:
            self._wait(job, starts)
        else:
            self._enter(job)
        return job.state

    def due(self, now: float) -> list[ModelJob]:
        found = [job for job in self.jobs.values() if job.state == "scheduled"]
        found = [job for job in found if job.run_at is not None and job.run_at <= now]
        return sorted(found, key=lambda job: (job.run_at, job.id))

    def promote(self, most: int, now: float) -> list[ModelJob]:
        moved = self.due(now)[:most]
        for job in moved:
            self._enter(job)
        return moved

    def expire(self, now: float) -> int:
        waiting = [job for job in self.jobs.values() if job.state in ("ready", "scheduled")]
        late = [job for job in waiting if job.is_late(now)]
        for job in late:
            self.end(job, "expired", now)
        return len(late)

    def prune(self, now: float) -> int:
        old = [job for job in self.jobs.values() if job.state in OVER and job.keep_until <= now]
        for job in old:
            del self.jobs[job.id]
        return len(old)
