"""What a worker is told at its start, and the numbers it lives by."""

import os
from dataclasses import dataclass, field

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.queue_list import QueueList


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Say what a worker runs and how.

    Attributes:
        dsn: where the queue is.
        apps: modules (`my.tasks`, `my.app:queue`) whose tasks it runs.
        queues: what it takes jobs from.
        processes: children.
        threads: slots of each child.
        name: for people; None for `host:pid`.
        burst: stop when nothing is ready any more.
        heartbeat: seconds between signs of life.
        lease: seconds its jobs stay its own without one.
        fallback: seconds between looks that nobody rang for; None for the heartbeat.
        grace: seconds that running jobs have to end when the worker is stopped.
        max_batch: most jobs in one claim.
        cancel_grace: seconds that a running job has to stop when it is cancelled, before the
            child that runs it is killed.
        timeout: seconds that a job may run whose task and producer say nothing; None for no limit.
        max_jobs: jobs after which a child is replaced; None for never.
        max_rss: bytes of memory above which a child is replaced between jobs; None for never.
        max_outage: seconds that the database may be away before the worker ends; None for any time.
        listen_dsn: where the listener connects, past a transaction pooler; None for `dsn`.
        reload: import the application anew when its source changes.
        log_level: least level of what the children log, where the application says nothing of it.
        log_json: whether each line of that is a JSON object.
    """

    dsn: str
    apps: tuple[str, ...] = ()
    queues: QueueList = field(default_factory=lambda: QueueList(names=("*",)))
    processes: int = field(default_factory=_cores)
    threads: int = 1
    name: str | None = None
    burst: bool = False
    heartbeat: float = 2.0
    lease: float = 30.0
    fallback: float | None = None
    grace: float = 30.0
    max_batch: int = 500
    cancel_grace: float = 10.0
    timeout: float | None = None
    max_jobs: int | None = None
    max_rss: int | None = None
    max_outage: float | None = None
    listen_dsn: str | None = None
    reload: bool = False
    log_level: str = "info"
    log_json: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one is out of its range.
        """
        _between("processes", self.processes, 1, 1_000)
        _between("threads", self.threads, 1, 1_000)
        _between("max_batch", self.max_batch, 1, 100_000)
        _between("grace", self.grace, 0, 86_400)
        _between("cancel_grace", self.cancel_grace, 0, 86_400)
        if self.timeout is not None:
            _between("timeout", self.timeout, 0.001, 366 * 86_400)
        if self.max_jobs is not None:
            _between("max_jobs", self.max_jobs, 1, 2**31)
        if self.max_rss is not None:
            _between("max_rss", self.max_rss, 1 << 20, 1 << 50)
        if self.max_outage is not None:
            _between("max_outage", self.max_outage, 1, 366 * 86_400)
        _between("heartbeat", self.heartbeat, 0.05, 86_400)
        if self.heartbeat > self.lease / 3:
            raise ConfigurationError(
                f"heartbeat must be at most a third of the lease; got {self.heartbeat:g} s and a "
                f"lease of {self.lease:g} s"
            )
        if self.fallback is not None:
            _between("fallback", self.fallback, 0.05, 86_400)


def _between(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        numbers = [str(one) if isinstance(one, int) else f"{one:g}" for one in (least, most, value)]
        raise ConfigurationError("{} must be between {} and {}; got {}".format(name, *numbers))
